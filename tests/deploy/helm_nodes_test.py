"""Several nodes for sandboxes: each has objects of its own that select nothing of another's, and the first does not notice a second.
Shows: NFR-FLEX-13, NFR-FLEX-09."""
import re
import shutil
import subprocess

import pytest
import yaml

import chart
from chart import BUILD, COMPUTE, DAEMONS, NAMESPACE, RELEASE, TWO, daemon, of_kind, parts, pods, render, template
from reach import selects

MANY = [{"hostname": f"worker-{i}", "name": f"n{i}"} for i in range(64)]


@pytest.mark.parametrize("nodes,says", [
    ([], "compute.nodes is empty"),
    ([{"hostname": "a"}, {"hostname": "a", "name": "b"}], 'the hostname "a" twice'),
    ([{"hostname": "a", "name": "x"}, {"hostname": "b", "name": "x"}], 'the name "x" twice'),
    ([{"hostname": "a"}, {"hostname": "b"}], "two nodes without a name"),
    ([{"hostname": "a"}, {"hostname": "b", "name": ""}], "two nodes without a name"),
    ([{"hostname": "a", "name": "B"}], "compute.nodes.0.name"),
    ([{"hostname": "a", "name": "-b"}], "compute.nodes.0.name"),
    ([{"hostname": "a", "name": "b-"}], "compute.nodes.0.name"),
    ([{"hostname": "a", "name": "b.c"}], "compute.nodes.0.name"),
    ([{"hostname": "a", "name": "n" * 33}], "compute.nodes.0.name"),
    ([{"hostname": "a", "name": 7}], "compute.nodes.0.name"),
    ([{"name": "b"}], "hostname is required"),
    ([{"hostname": "a", "filesUrl": "http://plain.example"}], "compute.nodes.0.filesUrl"),
    ([{"hostname": "a", "cordoned": "yes"}], "compute.nodes.0.cordoned"),
    ([*MANY, {"hostname": "one-more"}], "64"),
])
def test_nodes_that_are_wrong_are_refused(nodes, says):
    p = template({"compute": {"nodes": nodes}}, check=False)
    assert p.returncode != 0 and says in p.stderr, p.stderr


def test_operatord_takes_its_nodes_from_nowhere_else():
    p = template({"operatord": {"image": {"repository": "x"}, "config": {"nodes": []}}}, check=False)
    assert p.returncode != 0 and "nodes is not allowed" in p.stderr, p.stderr


def test_a_name_too_long_for_a_service_is_refused():
    def rendered(length, check):
        return template({"fullname": "f" * 40, "compute": {"nodes": [{"hostname": "a", "name": "n" * length}]}}, check=check)

    refused = rendered(13, False)
    assert refused.returncode != 0 and "too long beside fullname" in refused.stderr, refused.stderr
    for o in chart.load(rendered(12, True).stdout):
        assert all(len(v) <= 63 for v in o["metadata"]["labels"].values())
        assert o["kind"] not in ("Service", "Job") or len(o["metadata"]["name"]) <= 63


# --- objects ---

def selector_of(o):
    selector = o["spec"]["selector"]
    return {"matchLabels": selector} if o["kind"] == "Service" else selector


@pytest.mark.parametrize("row", ["minimal", "two nodes", "three nodes"])
def test_what_selects_pods_selects_those_of_its_own_name(row):
    """Two DaemonSets must not share pods, a pod in two disruption budgets cannot be evicted, and a Service is one node's."""
    objects = render(row)
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects).items()}
    kinds = of_kind(objects, "Service", "DaemonSet", "StatefulSet", "PodDisruptionBudget")
    assert len(kinds) == 3 * len(parts(row))
    for o in kinds:
        assert [f"{RELEASE}-{name}" for name in labels if selects(selector_of(o), labels[name])] == [o["metadata"]["name"]], o["kind"]


@pytest.mark.parametrize("row", ["two nodes", "three nodes"])
def test_each_node_has_pods_and_sockets_of_its_own(row):
    objects, found = render(row), pods(render(row))
    for n in chart.MATRIX[row]["compute"]["nodes"]:
        suffix = f"-{n['name']}" if n.get("name") else ""
        for d in [*COMPUTE, "preflight"]:
            pod = found[d + suffix]
            assert pod["spec"]["nodeSelector"]["kubernetes.io/hostname"] == n["hostname"]
            assert pod["metadata"]["labels"].get("ocu.local/node") == n.get("name")
            assert pod["spec"]["containers"][0]["name"] == ("sandboxd" if d == "preflight" else d)
            assert d == "preflight" or {"name": "config", "configMap": {"name": f"{RELEASE}-{d}{suffix}"}} in pod["spec"]["volumes"]
        for d in ("brokerd", "egressd"):
            volume = next(v for v in of_kind(objects, "PersistentVolume") if v["metadata"]["name"] == f"{NAMESPACE}-{RELEASE}-handover-{d}{suffix}")
            terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
            assert terms == [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [n["hostname"]]}]}]
            claim = next(c for c in of_kind(objects, "PersistentVolumeClaim") if c["metadata"]["name"] == f"{RELEASE}-handover-{d}{suffix}")
            assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
            assert volume["spec"]["claimRef"] == {"namespace": NAMESPACE, "name": claim["metadata"]["name"]}
    claims = [c["metadata"]["name"] for c in of_kind(objects, "PersistentVolumeClaim")]
    assert len(set(claims)) == len(claims) == 5 * len(chart.MATRIX[row]["compute"]["nodes"])


def config_of(objects, part):
    return next(yaml.safe_load(o["data"][f"{daemon(part)}.yaml"]) for o in of_kind(objects, "ConfigMap") if o["metadata"]["name"] == f"{RELEASE}-{part}")


def addresses(suffix):
    return {"sandboxd_control_url": f"tls+tcp://{RELEASE}-sandboxd{suffix}:9302", "sandboxd_exec_url": f"tls+tcp://{RELEASE}-sandboxd{suffix}:9301",
            "brokerd_url": f"tls+tcp://{RELEASE}-brokerd{suffix}:9401", "egressd_url": f"tls+tcp://{RELEASE}-egressd{suffix}:9501"}


def test_operatord_is_told_of_every_node():
    assert addresses("").items() <= config_of(render("device"), "operatord").items() and "nodes" not in config_of(render("device"), "operatord")
    two, three = config_of(render("two nodes"), "operatord"), config_of(render("three nodes"), "operatord")
    assert two["nodes"] == [{"name": "", **addresses("")}, {"name": "b", **addresses("-b")}]
    assert not addresses("").keys() & two.keys()
    assert three["nodes"] == [
        {"name": "a", **addresses("-a"), "cordoned": True, "files_url": f"https://{RELEASE}-brokerd-a.{NAMESPACE}.svc:8443"},
        {"name": "b-2", **addresses("-b-2"), "files_url": f"https://{RELEASE}-brokerd-b-2.{NAMESPACE}.svc:8443"},
        {"name": "3", **addresses("-3"), "files_url": "https://files-3.bank.example"}]


@pytest.mark.parametrize("said", [{"name": "a"}, {"cordoned": True}, {"filesUrl": "https://files.example"}])
def test_what_is_said_of_a_single_node_reaches_operatord(said):
    objects = chart.objects({"compute": {"nodes": [{"hostname": "w", **said}]}})
    suffix = "-a" if "name" in said else ""
    assert config_of(objects, "operatord")["nodes"] == [
        {"name": said.get("name", ""), **addresses(suffix), **({"cordoned": True} if "cordoned" in said else {}),
         **({"files_url": said["filesUrl"]} if "filesUrl" in said else {})}]


def test_a_sandboxd_knows_which_node_it_is():
    """So that it refuses a grant for another one."""
    assert "instance" not in config_of(render("two nodes"), "sandboxd")
    assert config_of(render("two nodes"), "sandboxd-b")["instance"] == "b"
    assert [config_of(render("three nodes"), f"sandboxd-{n}")["instance"] for n in ("a", "b-2", "3")] == ["a", "b-2", "3"]


# --- a second node joins ---

# What may differ afterwards, of all that was there before. The policies name the new pods beside the old ones; the job is rendered only
# while there are no keys.
ARROWS = [("gateway", "sandboxd"), ("operatord", "sandboxd"), ("operatord", "brokerd"), ("operatord", "egressd"), *((d, "operatord") for d in COMPUTE),
          *((d, "auditd") for d in COMPUTE)]
CHANGED = {("ConfigMap", "rel-operatord"), ("StatefulSet", "rel-operatord"), ("Job", "rel-keys"), ("NetworkPolicy", "rel-names"),
           *(("NetworkPolicy", f"rel-{a}-to-{b}") for a, b in ARROWS), *(("NetworkPolicy", f"rel-{b}-from-{a}") for a, b in ARROWS)}
NEW = {("Job", "rel-preflight-b"), *((kind, f"rel-{d}-b") for d in COMPUTE for kind in ("ConfigMap", "Service", "PersistentVolumeClaim", "DaemonSet",
                                                                                       "PodDisruptionBudget")),
       *(("PersistentVolume", f"ocu-ns-rel-handover-{d}-b") for d in ("brokerd", "egressd")),
       *(("PersistentVolumeClaim", f"rel-handover-{d}-b") for d in ("brokerd", "egressd"))}


def texts(values):
    out = {}
    for text in template(values).stdout.split("\n---\n"):
        o = yaml.safe_load(text)
        if o:
            assert (o["kind"], o["metadata"]["name"]) not in out
            out[o["kind"], o["metadata"]["name"]] = text.strip()
    return out


@pytest.mark.parametrize("keys", [{"source": "generate"}, {"source": "certManager", "certManager": {"issuer": "i"}}])
def test_the_first_node_does_not_notice_the_second(keys):
    before, after = texts({"pki": keys}), texts({"pki": keys, "compute": {"nodes": TWO}})
    assert {k for k in before if before[k] != after.get(k)} == CHANGED
    certificates = {("Certificate", f"rel-{d}-b") for d in COMPUTE} if keys["source"] == "certManager" else set()
    assert after.keys() - before.keys() == NEW | certificates
    old, new = (yaml.safe_load(t["StatefulSet", "rel-operatord"]) for t in (before, after))
    for o in (old, new):
        assert o["spec"]["template"]["metadata"]["annotations"].pop("checksum/config")
    assert old == new
    old, new = (yaml.safe_load(t["Job", "rel-keys"])["spec"]["template"]["spec"] for t in (before, after))
    added = [a for a in new["initContainers"][0]["args"] if a not in old["initContainers"][0]["args"]]
    assert added == [f"--dns=brokerd=rel-brokerd-b{rest}" for rest in ("", ".ocu-ns", ".ocu-ns.svc")]


def test_a_node_without_a_name_has_the_names_there_were_when_there_was_one():
    """Of version 0.1.0 of the chart: what cannot be changed on an object, and what holds state."""
    objects = render("two nodes")
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}
    for d in COMPUTE:
        assert {("DaemonSet", f"rel-{d}"), ("Service", f"rel-{d}"), ("PersistentVolumeClaim", f"rel-{d}")} <= names
        o = next(o for o in of_kind(objects, "DaemonSet") if o["metadata"]["name"] == f"rel-{d}")
        labels = {"app.kubernetes.io/name": "ocu", "app.kubernetes.io/instance": "rel", "app.kubernetes.io/component": d}
        assert o["spec"]["selector"] == {"matchLabels": labels}
        assert set(o["spec"]["template"]["metadata"]["labels"]) == {*labels, "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}
    for d in ("brokerd", "egressd"):
        assert ("PersistentVolumeClaim", f"rel-handover-{d}") in names
        volume = next(o for o in of_kind(objects, "PersistentVolume") if o["metadata"]["name"] == f"ocu-ns-rel-handover-{d}")
        assert volume["spec"]["hostPath"]["path"] == f"/var/lib/ocu-handover/ocu-ns/rel/{d}"


# --- as many as there may be ---

def test_sixty_four_nodes(tmp_path):
    """operatord takes the list, and the job makes a certificate with the name of every brokerd."""
    objects = chart.objects({"compute": {"nodes": MANY}})
    assert len(of_kind(objects, "DaemonSet")) == 3 * 64
    file = tmp_path / "operatord.yaml"
    file.write_text(yaml.safe_dump(config_of(objects, "operatord")))
    p = subprocess.run([BUILD / "bin/ocu-operatord", "--config", file, "--check"], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    args = [a.replace("/keys/", f"{tmp_path}/") for a in pods(objects)["keys"]["spec"]["initContainers"][0]["args"]]
    subprocess.run([BUILD / "bin/occ", *args], check=True, capture_output=True)
    for d in DAEMONS:
        cert = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", tmp_path / f"ocu/pki/{d}/cert.pem"], check=True,
                              capture_output=True, text=True).stdout
        found = {f"rel-brokerd-n{i}.ocu-ns.svc" for i in range(64) if f"DNS:rel-brokerd-n{i}.ocu-ns.svc" in cert}
        assert len(found) == (64 if d == "brokerd" else 0)


def test_the_notes_name_the_nodes_and_what_an_added_one_wants(tmp_path):
    """Helm prints them to whom it installs for and nowhere else; here they are rendered as an object."""
    copy = tmp_path / "ocu"
    shutil.copytree(chart.CHART, copy)
    notes = (copy / "templates/NOTES.txt").read_text()
    (copy / "templates/notes.yaml").write_text('{{ define "notes" }}' + notes + '{{ end }}\nkind: Notes\ntext: |\n{{ include "notes" . | indent 2 }}\n')

    def said(*args, **values):
        p = chart.helm("template", RELEASE, copy, "--namespace", NAMESPACE, "--kube-version", "1.28.0", "--show-only", "templates/notes.yaml", *args,
                       values={"compute": {"nodes": TWO}, "access": {"files": chart.PEER}, **values})
        return chart.load(p.stdout)[0]["text"]

    assert said().startswith("Open Computer Use runs sandboxes on worker-1, worker-2 (b).\n") and "certificate" not in said()
    upgraded = said("--is-upgrade")
    assert "must have the names rel-brokerd-b.ocu-ns.svc;" in upgraded
    page = re.search(r'"(.*)", (docs/\S+)$', upgraded, re.M)
    assert f"\n## {page[1]}\n" in (chart.ROOT / page[2]).read_text()
    assert "certificate" not in said("--is-upgrade", pki={"source": "certManager", "certManager": {"issuer": "i"}})
    assert "certificate" not in said("--is-upgrade", access={})
