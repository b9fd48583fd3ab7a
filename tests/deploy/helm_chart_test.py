"""The chart: what it renders is valid, keeps every daemon apart and gives none more than it needs.
Shows: NFR-SEC-52, NFR-SEC-16, NFR-FLEX-07, NFR-FLEX-09, NFR-FLEX-13."""
import copy
import json
import re
import subprocess
import textwrap

import pytest
import yaml

import chart
from chart import BUILD, CHART, DAEMONS, MATRIX, MINIMAL, ROOT, containers, daemon, helm, of_kind, parts, pods, render, template

RESTRICTED = ["gateway", "operatord", "auditd", "brokerd", "egressd", "keys", "test"]
PRIVILEGED = ["sandboxd", "preflight"]


def strict(objects):
    p = subprocess.run(["node", ROOT / "tests/deploy/strict.mjs"], input=json.dumps(objects), capture_output=True, text=True, timeout=600)
    assert p.returncode in (0, 1) and not p.stderr, p.stderr
    assert (p.returncode == 0) == (not p.stdout)
    return p.stdout


@pytest.mark.parametrize("row", MATRIX)
def test_lint(row):
    out = helm("lint", "--strict", CHART, values=chart.merged(MATRIX[row])).stdout
    assert "0 chart(s) failed" in out and "[WARNING]" not in out


def test_every_object_is_valid_to_the_last_field():
    """Of every row, in one run: it is loading the types that takes its time."""
    assert strict([o for row in MATRIX for o in render(row)]) == ""


WRONG = [
    (lambda o: o["spec"]["template"]["spec"].update(automountServiceAccountTokn=False), "automountServiceAccountTokn"),
    (lambda o: o["spec"]["template"]["spec"]["containers"][0]["securityContext"].update(readOnly=True), "readOnly"),
    (lambda o: o["spec"]["template"]["spec"]["containers"][0]["ports"][0].update(containerPort="8080"), "not assignable"),
    (lambda o: o["spec"]["template"]["spec"]["containers"][0].pop("name"), '"name"\' is missing'),
    (lambda o: o["spec"].pop("selector"), "selector"),
    (lambda o: o.update(kind="StatefulSett"), "no schema"),
]


def test_the_validation_does_refuse():
    wrong = [copy.deepcopy(of_kind(render("minimal"), "StatefulSet")[0]) for _ in WRONG]
    for i, (change, _) in enumerate(WRONG):
        wrong[i]["metadata"]["name"] = f"wrong-{i}"
        change(wrong[i])
    said = strict(wrong).splitlines()
    for i, (_, says) in enumerate(WRONG):
        assert any(f" wrong-{i}: " in line and says in line for line in said), (says, said)


# --- values ---

@pytest.mark.parametrize("values,says", [
    ({"gatway": {}}, "gatway is not allowed"),
    ({"gateway": {"image": {"repository": "x"}, "config": {"tool_timeuot": "1s"}}}, "tool_timeuot is not allowed"),
    ({"gateway": {"image": {"repository": "x"}, "config": {"listen": "0.0.0.0:1"}}}, "listen is not allowed"),
    ({"operatord": {"image": {"repository": "x"}, "config": {"sessions_total": 0}}}, "sessions_total"),
    ({"operatord": {"image": {"repository": "x"}, "config": {"session_idle": "15 minutes"}}}, "session_idle"),
    ({"operatord": {"image": {"repository": "x"}, "config": {"egress_rung": "open"}}}, "egress_rung"),
    ({"operatord": {"image": {"repository": "x"}, "config": {"egress_allow": [{"hots": "a"}]}}}, "hots is not allowed"),
    ({"access": {"mcp": [{}]}}, "access.mcp.0"),
    ({"access": {"everybody": []}}, "everybody is not allowed"),
    ({"compute": {"nodes": [{"hostname": "a", "zone": "b"}]}}, "zone is not allowed"),
    ({"sandboxd": {"image": {"repository": "x"}, "privileged": True}}, "privileged is not allowed"),
    ({"gateway": {"image": {"repository": "x", "digest": "sha256:short"}}}, "digest"),
    ({"gateway": {"image": {"repository": "x"}, "replicas": 2}}, "replicas is not allowed"),
    ({"compute": {"nodes": []}}, "compute.nodes is empty: name at least one node"),
    ({"pki": {"source": "certManager"}}, "pki.certManager.issuer"),
    ({"operatord": {"image": {"repository": "x"}, "config": {"profile": "untrusted"}}}, "permits no sandbox tier"),
    ({"collector": {"address": "siem:6514", "peers": chart.PEER}}, "collector.secret"),
    ({"collector": {"address": "siem:6514", "secret": "siem"}}, "collector.peers"),
    ({"collector": {"address": "siem"}}, "collector.address"),
    ({"auditd": {"image": {"repository": "x"}, "config": {"syslog_address": "siem:6514"}}}, "syslog_address is not allowed"),
    ({"archive": {"url": "https://s3/trail", "peers": chart.PEER}}, "archive.secret"),
    ({"archive": {"url": "https://s3/trail", "secret": "s3"}}, "archive.peers"),
    ({"archive": {"url": "http://s3/trail"}}, "archive.url"),
    ({"archive": {"url": "https://s3/"}}, "archive.url"),
    ({"archive": {"lock": "forever"}}, "archive.lock"),
    ({"archive": {"hotDays": 91}}, "archive.hotDays"),
    ({"auditd": {"image": {"repository": "x"}, "config": {"archive_url": "https://s3/trail"}}}, "archive_url is not allowed"),
])
def test_values_that_are_wrong_are_refused(values, says):
    p = template(values, check=False)
    assert p.returncode != 0 and says in p.stderr, p.stderr


def test_every_object_of_the_schema_is_closed():
    def walk(node, path):
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert "additionalProperties" in node, path
                # The user's own maps (labels, annotations, resources) have keys nobody can list, and text as values.
                assert node["additionalProperties"] is False or "type" in node["additionalProperties"], path
            for key, value in node.items():
                walk(value, f"{path}/{key}")
        elif isinstance(node, list):
            for i, value in enumerate(node):
                walk(value, f"{path}/{i}")

    walk(json.loads((CHART / "values.schema.json").read_text()), "")


def test_the_schema_is_what_the_daemons_options_make_it():
    made = subprocess.run([ROOT / "deploy/helm/values-schema"], capture_output=True, text=True, check=True).stdout
    assert made == (CHART / "values.schema.json").read_text(), "run deploy/helm/values-schema > deploy/helm/ocu/values.schema.json"


@pytest.mark.parametrize("row", MATRIX)
def test_every_daemon_takes_its_configuration(row, tmp_path):
    configs = {o["metadata"]["labels"]["app.kubernetes.io/component"]: o["data"] for o in of_kind(render(row), "ConfigMap") if "ocu.json" not in o["data"]}
    assert set(configs) == set(parts(row))
    for part, data in configs.items():
        file = tmp_path / f"{daemon(part)}.yaml"
        file.write_text(data[file.name])
        p = subprocess.run([BUILD / "bin" / f"ocu-{daemon(part)}", "--config", file, "--check"], capture_output=True, text=True)
        assert p.returncode == 0, p.stderr


def test_what_the_chart_says_of_the_design_is_in_the_daemons_tables():
    said = yaml.safe_load((CHART / "files/daemons.yaml").read_text())
    for daemon in DAEMONS:
        reference = (ROOT / f"docs/reference/{daemon}.md").read_text()
        for name, port in said["ports"][daemon].items():
            assert f":{port}\"" in reference, (daemon, name)
    sandboxd = (ROOT / "docs/reference/sandboxd.md").read_text()
    for custodian in ("brokerd", "egressd"):
        assert f"| `{custodian}_uid` | number, 0 to 4294967294 | `{said['uid'][custodian]}`" in sandboxd


# --- rights ---

def own_context(container):
    return container["securityContext"]


@pytest.mark.parametrize("row", MATRIX)
def test_pod_security_restricted_for_all_but_sandboxd(row):
    """The controls of Pod Security Standards "restricted", v1.28."""
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    found = pods(render(row))
    assert set(found) >= {*parts(row), "test"} and {daemon(name) for name in found} <= {*RESTRICTED, *PRIVILEGED}
    for name in (name for name in found if daemon(name) in RESTRICTED):
        pod = found[name]
        spec, context = pod["spec"], pod["spec"]["securityContext"]
        assert not any(spec.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")), name
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "sysctls" not in context and not [a for a in pod["metadata"].get("annotations", {}) if "apparmor" in a]
        for c in containers(pod):
            own = own_context(c)
            assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert not {"privileged", "procMount", "runAsUser", "seccompProfile"} & own.keys()
            assert not any("hostPort" in p for p in c.get("ports", []))
        for v in spec["volumes"]:
            assert set(v) - {"name"} <= allowed, (name, v)


@pytest.mark.parametrize("row", MATRIX)
def test_the_exceptions_of_sandboxd_are_these(row):
    found = pods(render(row))
    device = MATRIX[row].get("sandboxd", {}).get("fuseResource") == ""
    for name in (name for name in found if daemon(name) in PRIVILEGED):
        pod = found[name]
        assert not any(pod["spec"].get(k) for k in ("hostNetwork", "hostPID", "hostIPC"))
        own = own_context(pod["spec"]["containers"][0])
        assert own["privileged"] is False and own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN", "NET_ADMIN", "SETUID", "SETGID", "CHOWN", "DAC_OVERRIDE", "KILL"]}
        host = {v["hostPath"]["path"] for v in pod["spec"]["volumes"] if "hostPath" in v}
        assert host == {"/var/cache/ocu/images"} | ({"/dev/fuse"} if device else set())
        limits = pod["spec"]["containers"][0]["resources"].get("limits", {})
        assert ("squat.ai/fuse" in limits) != device
        for mount in pod["spec"]["containers"][0]["volumeMounts"]:
            if mount["name"] == "images":
                assert mount["readOnly"] is True


def test_the_page_of_privileges_lists_what_is_rendered():
    """docs/security-kubernetes.md names each capability, mount of the host and setting that sandboxd's pod keeps, and no other."""
    page = (ROOT / "docs/security-kubernetes.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \|", page.split("## What sandboxd keeps", 1)[1].split("\n## ", 1)[0], re.M)
    pod = pods(render("device"))["sandboxd"]
    own = own_context(pod["spec"]["containers"][0])
    kept = {*own["capabilities"]["add"], f"runAsUser {own['runAsUser']}", f"seccompProfile {pod['spec']['securityContext']['seccompProfile']['type']}",
            "AppArmor " + pod["metadata"]["annotations"]["container.apparmor.security.beta.kubernetes.io/sandboxd"]}
    kept |= {f"hostPath {v['hostPath']['path']}" for v in pod["spec"]["volumes"] if "hostPath" in v}
    assert set(rows) == kept


@pytest.mark.parametrize("row", MATRIX)
def test_no_token_of_the_cluster_but_for_the_job_that_makes_keys(row):
    objects = render(row)
    for o in of_kind(objects, "ServiceAccount"):
        assert o["automountServiceAccountToken"] is False
    for name, pod in pods(objects).items():
        assert pod["spec"]["automountServiceAccountToken"] is False and pod["spec"]["enableServiceLinks"] is False
        tokens = [s for v in pod["spec"]["volumes"] for s in v.get("projected", {}).get("sources", []) if "serviceAccountToken" in s]
        assert bool(tokens) == (name == "keys"), name
    roles = of_kind(objects, "Role", "ClusterRole")
    if row == "existing":
        assert roles == []
    else:
        assert [r["rules"] for r in roles] == [[{"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["create"]}]]
        assert "hook-succeeded" in roles[0]["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def test_what_helm_test_said_can_be_read_after_it():
    """helm test --logs reads the log when the hook has ended: a pod that is removed then has none."""
    pod, = of_kind(render("minimal"), "Pod")
    assert pod["metadata"]["annotations"] == {"helm.sh/hook": "test", "helm.sh/hook-delete-policy": "before-hook-creation"}


# --- keys ---

def secrets_of(pod):
    """{secret: keys} that a pod's containers are given, by volume, by environment and by imagePullSecrets' neighbours."""
    out = {}
    for v in pod["spec"]["volumes"]:
        for s in [v, *v.get("projected", {}).get("sources", [])]:
            if "secret" in s:
                secret = s["secret"]
                assert secret.get("items"), f"all of secret {secret} is mounted"
                out.setdefault(secret.get("name") or secret["secretName"], set()).update(i["key"] for i in secret["items"])
    for c in containers(pod):
        assert "envFrom" not in c
        for e in c.get("env", []):
            assert "secretKeyRef" not in e.get("valueFrom", {})
    return out


OWN = {"gateway": {"mcp-session.key"}, "operatord": {"session.key", "caller.key", "issued-tokens.json"}, "auditd": {"envelope.key"}}


@pytest.mark.parametrize("row", MATRIX)
def test_each_daemon_gets_its_own_keys_and_no_others(row):
    objects = render(row)
    prefix = MATRIX[row].get("pki", {}).get("prefix") or MATRIX[row].get("fullname") or chart.RELEASE
    full = MATRIX[row].get("fullname") or chart.RELEASE
    for name, pod in pods(objects).items():
        got = secrets_of(pod)
        if name in parts(row):
            collector, archive = (MATRIX[row].get(k) if name == "auditd" else None for k in ("collector", "archive"))
            tls = {"ca.crt", "tls.crt", "tls.key"}
            manager = MATRIX[row].get("pki", {}).get("source") == "certManager"
            # One secret a daemon, whichever node it is on; cert-manager's is the part's own.
            assert got == {f"{prefix}-{daemon(name)}": {"token.key"} | OWN.get(name, set()) | (set() if manager else {"cert.pem", "key.pem"}),
                           **({f"{full}-{name}-tls": tls} if manager else {}), **({collector["secret"]: tls} if collector else {}),
                           **({archive["secret"]: {"ca.crt", "access-key", "secret-key"}} if archive else {})}
        else:
            assert got == ({f"{prefix}-caller": {"caller.token"}} if name == "test" else {})
    # The CA's key and the operator's are in no pod at all; no object of the chart holds key material.
    assert of_kind(objects, "Secret") == []
    assert "PRIVATE KEY" not in json.dumps(objects)


@pytest.mark.parametrize("row,suffixes", [("minimal", [""]), ("two nodes", ["", "-b"]), ("three nodes", ["-a", "-b-2", "-3"])])
def test_sockets_of_descriptors_are_shared_by_exactly_two(row, suffixes):
    holders = {}
    for name, pod in pods(render(row)).items():
        for v in pod["spec"]["volumes"]:
            claim = v.get("persistentVolumeClaim", {}).get("claimName")
            if claim:
                holders.setdefault(claim, set()).add(name)
    handover = {k: v for k, v in holders.items() if "handover" in k}
    assert handover == {f"{chart.RELEASE}-handover-{d}{s}": {f"{d}{s}", f"sandboxd{s}"} for d in ("brokerd", "egressd") for s in suffixes}
    assert all(len(v) == 1 for k, v in holders.items() if k not in handover)


@pytest.mark.parametrize("row", ["cert-manager", "three nodes"])
def test_certificates_name_their_daemon_and_no_other(row):
    found = {c["metadata"]["name"]: c["spec"] for c in of_kind(render(row), "Certificate")}
    assert set(found) == {f"{chart.RELEASE}-{part}" for part in parts(row)}
    for part in parts(row):
        spec, service = found[f"{chart.RELEASE}-{part}"], f"{chart.RELEASE}-{part}"
        assert spec["uris"] == [f"spiffe://ocu.local/ocu/{daemon(part)}"] and spec["secretName"] == f"{service}-tls"
        assert spec["dnsNames"] == [service, f"{service}.{chart.NAMESPACE}", f"{service}.{chart.NAMESPACE}.svc"]


# --- running ---

def test_one_instance_of_each_on_its_place():
    objects = render("full")
    assert {o["spec"]["replicas"] for o in of_kind(objects, "StatefulSet")} == {1}
    where = {name: pod["spec"].get("nodeSelector", {}) for name, pod in pods(objects).items()}
    compute = {"kubernetes.io/hostname": "worker-1", "topology.kubernetes.io/region": "eu-central-1", "sandboxes": "yes"}
    control = {"pool": "control", "topology.kubernetes.io/region": "eu-central-1"}
    for name, selector in where.items():
        assert selector == (compute if name in ("brokerd", "egressd", "sandboxd", "preflight") else control), name


def test_probes_ask_what_the_daemons_serve():
    ports = yaml.safe_load((CHART / "files/daemons.yaml").read_text())["ports"]
    health = (ROOT / "libocu/daemon_health.c").read_text()
    for name in DAEMONS:
        c = pods(render("minimal"))[name]["spec"]["containers"][0]
        assert {p["name"]: p["containerPort"] for p in c["ports"]} == ports[name]
        for kind, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert c[kind]["httpGet"] == {"path": path, "port": "metrics"}
            assert f'"{path}"' in health


@pytest.mark.parametrize("row", MATRIX)
def test_a_daemon_is_reached_before_it_is_ready_and_while_another_is_away(row):
    """There is one of each: to take its address away would turn its answers into refused connections."""
    services = of_kind(render(row), "Service")
    assert len(services) >= len(DAEMONS) and all(s["spec"]["publishNotReadyAddresses"] for s in services)


def test_images_are_pinned_as_asked():
    images = {c["image"] for pod in pods(render("full")).values() for c in containers(pod)}
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert "registry.example/team/ocu/gateway@sha256:" + "a" * 64 in images
    assert f"registry.example/team/ocu/auditd:{version}" in images
    assert version == re.search(r"^VERSION := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1]


def test_a_changed_configuration_starts_the_pod_anew_and_no_other():
    def sums(values):
        objects = chart.objects(values)
        return {name: pod["metadata"].get("annotations", {}).get("checksum/config") for name, pod in pods(objects).items()}

    before, after = sums({}), sums({"brokerd": {"image": {"repository": "ocu/brokerd"}, "config": {"workers": 8}}})
    assert {name for name in before if before[name] != after[name]} == {"brokerd"}


@pytest.mark.parametrize("row", ["minimal", "two nodes"])
def test_disruption_budgets_cover_every_daemon(row):
    assert {b["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]: b["spec"]["minAvailable"]
            for b in of_kind(render(row), "PodDisruptionBudget")} == {part: 1 for part in parts(row)}
    assert of_kind(render("existing"), "PodDisruptionBudget") == []


def test_the_dashboard_shows_only_what_the_daemons_count():
    code = "\n".join(p.read_text() for d in [*DAEMONS, "libocu"] for p in (ROOT / d).glob("*.c"))
    counted = set(re.findall(r'"(ocu_[a-z_]+)"', code))
    board = json.loads((CHART / "files/dashboard.json").read_text())
    shown, labels = set(), set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            shown |= {re.sub(r"_bucket$", "", m) for m in re.findall(r"ocu_[a-z_]+", target["expr"])}
            labels |= {label.strip() for by in re.findall(r"sum by \(([^)]*)\)", target["expr"]) for label in by.split(",")} - {"le"}
    assert shown and shown <= counted, shown - counted
    assert all(re.search(rf'{label}=\\"', code) for label in labels), labels
    assert json.loads(next(o for o in of_kind(render("full"), "ConfigMap") if "ocu.json" in o["data"])["data"]["ocu.json"]) == board


@pytest.mark.parametrize("row", ["full", "three nodes"])
def test_the_monitor_finds_every_daemon(row):
    monitor = of_kind(render(row), "ServiceMonitor")[0]["spec"]
    services = of_kind(render(row), "Service")
    for s in services:
        assert monitor["selector"]["matchLabels"].items() <= s["metadata"]["labels"].items()
        assert monitor["endpoints"][0]["port"] in {p["name"] for p in s["spec"]["ports"]}
    assert {s["metadata"]["labels"][monitor["jobLabel"]] for s in services} == set(parts(row)) and len(services) == len(parts(row))


def test_older_clusters_are_refused():
    p = helm("template", "r", CHART, "--kube-version", "1.27.9", values=MINIMAL, check=False)
    assert p.returncode != 0 and "1.28" in p.stderr


def test_the_values_on_the_install_page_are_taken():
    page = (ROOT / "docs/install-kubernetes.md").read_text()
    blocks = [yaml.safe_load(textwrap.dedent(b)) for b in re.findall(r"^ *```yaml\n(.*?)^ *```", page, re.S | re.M)]
    assert len(blocks) == 2
    p = helm("template", "ocu", CHART, "--namespace", "ocu", "--kube-version", "1.28.0", values={**blocks[0], **blocks[1]})
    objects = chart.load(p.stdout)
    # The names the page uses.
    named = {(o["kind"], o["metadata"]["name"]) for o in objects}
    assert {("Job", "ocu-preflight"), ("Job", "ocu-keys"), ("StatefulSet", "ocu-operatord"), ("Service", "ocu-gateway")} <= named
    # Every value the page's table names is one of the chart's.
    known = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in re.findall(r"`((?:compute|control|dns|egress|sandboxd|pki|podDisruptionBudget|serviceMonitor|dashboard|gateway|image)\.[\w.]+)`", page):
        node = known
        for key in path.split("."):
            assert isinstance(node, dict) and (key in node or key == "allowed_hosts"), path
            node = node.get(key)
