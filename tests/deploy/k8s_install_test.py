"""The chart against a real kube-apiserver (OCU_KUBE_APISERVER): dry run, install, upgrade, uninstall, install again; the job that makes keys
really files them, with the rights of its own service account. That server is 1.20, so the chart is installed without the line that asks for
1.28 and without PodDisruptionBudgets, which had another version then."""
import json
import os
import shutil
import subprocess
import sys

import pytest

from chart import BUILD, CHART, DAEMONS, ROOT, TWO, objects

sys.path.insert(0, str(ROOT / "tests/support"))
from kube import PORT, Api, Jobs, Refused, decoded  # noqa: E402
from pods import Cluster  # noqa: E402
from stack import Mcp, eventually  # noqa: E402

NAMESPACE = "ocu-ns"
VALUES = ["--namespace", NAMESPACE, "--set", "compute.nodes[0].hostname=worker-1", "--set", "podDisruptionBudget.enabled=false",
          "--set", "sandboxd.fuseResource="]
SECOND = ["--set", "compute.nodes[1].hostname=worker-2", "--set", "compute.nodes[1].name=b"]
MADE = {f"rel-{n}" for n in [*DAEMONS, "operator", "caller", "ca"]}
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture(scope="module")
def api():
    a = Api(os.environ["OCU_KUBE_APISERVER"])
    try:
        eventually(a.ready, timeout=60, every=0.2)
        a.use(NAMESPACE)
        yield a
    finally:
        a.stop()


@pytest.fixture(scope="module")
def chart(tmp_path_factory):
    copy = tmp_path_factory.mktemp("chart") / "ocu"
    shutil.copytree(CHART, copy)
    text = (copy / "Chart.yaml").read_text()
    (copy / "Chart.yaml").write_text("".join(line for line in text.splitlines(True) if not line.startswith("kubeVersion:")))
    return copy


def rendered(**more):
    return objects({"podDisruptionBudget": {"enabled": False}, "sandboxd": {"image": {"repository": "x"}, "fuseResource": ""}, **more})


class Runner:
    """The jobs' containers, with the pod's service account at hand where the pod asks for it."""

    def __init__(self, api, tmp):
        self.api, self.tmp, self.cluster = api, tmp, Cluster(rendered(compute={"nodes": TWO}))
        self.said = {}

    def __call__(self, job):
        part = job["metadata"]["labels"]["app.kubernetes.io/component"]
        return self.keys(job) if part == "keys" else self.cluster.once(part)[0] == 0

    def account(self, name):
        token = self.api.call("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{name}/token",
                              {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}})["status"]["token"]
        folder = self.tmp / "account"
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(token)
        (folder / "namespace").write_text(NAMESPACE)
        shutil.copy(self.api.dir / "certs/apiserver.crt", folder / "ca.crt")
        return folder

    def keys(self, job):
        spec = job["spec"]["template"]["spec"]
        folder, work = self.account(spec["serviceAccountName"]), self.tmp / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for c in [*spec["initContainers"], *spec["containers"]]:
            script = (f"mkdir -p /run/ocu-work; mount -t tmpfs none /mnt; mkdir /mnt/keys; mount --bind {work} /mnt/keys; mount -t tmpfs none /var/tmp; "
                      f"mount -t tmpfs none /run; mkdir -p {ACCOUNT}; mount --bind {folder} {ACCOUNT}; exec \"$@\"")
            args = [a.replace("/keys/", "/mnt/keys/") for a in c["args"]]
            p = subprocess.run(["unshare", "--mount", "--propagation", "private", "env", "KUBERNETES_SERVICE_HOST=127.0.0.1", f"KUBERNETES_SERVICE_PORT={PORT}",
                                "bash", "-ec", script, "bash", BUILD / "bin/occ", *args], capture_output=True, text=True, timeout=60)
            self.said[c["name"]] = p.stdout + p.stderr
            if p.returncode:
                return False
        return True


@pytest.fixture(scope="module")
def jobs(api, tmp_path_factory):
    runner = Runner(api, tmp_path_factory.mktemp("jobs"))
    j = Jobs(api, NAMESPACE, runner)
    j.runner = runner
    yield j
    j.stop()
    runner.cluster.down()


def test_the_server_takes_every_object(api):
    for o in rendered():
        api.call("POST", api.path(o, NAMESPACE) + "?dryRun=All", o)
    bad = next(o for o in rendered() if o["kind"] == "StatefulSet")
    bad["spec"]["template"]["metadata"]["labels"] = {"not": "selected"}
    with pytest.raises(Refused) as e:
        api.call("POST", api.path(bad, NAMESPACE) + "?dryRun=All", bad)
    assert e.value.status == 422


def test_the_server_takes_the_keys_as_they_are_printed(api, tmp_path):
    """pki.source=existing: occ kubernetes secrets | kubectl apply -f -"""
    occ = [BUILD / "bin/occ"]
    subprocess.run([*occ, "init", "--no-chown", "--dir", tmp_path / "d"], check=True, capture_output=True)
    printed = subprocess.run([*occ, "kubernetes", "secrets", "--dir", tmp_path / "d", "--prefix", "kept"], check=True, capture_output=True, text=True).stdout
    objects = json.loads(printed)["items"]
    for o in objects:
        api.call("POST", api.path(o, NAMESPACE) + "?dryRun=All", o)
    assert {o["metadata"]["name"] for o in objects} == {n.replace("rel-", "kept-") for n in MADE} | {"kept-pki"}


def test_install_makes_everything(api, chart, jobs):
    api.helm("install", "rel", chart, *VALUES)
    assert jobs.seen == ["rel-preflight", "rel-keys"]
    assert {n for n in api.names(NAMESPACE) if not n.startswith("sh.helm")} == MADE
    assert {"rel-pki", *(f"rel-{d}" for d in DAEMONS)} <= api.names(NAMESPACE, "configmaps")
    assert api.names(NAMESPACE, "statefulsets", "/apis/apps/v1") == {"rel-gateway", "rel-operatord", "rel-auditd"}
    assert api.names(NAMESPACE, "daemonsets", "/apis/apps/v1") == {"rel-brokerd", "rel-egressd", "rel-sandboxd"}
    assert len(api.names(NAMESPACE, "networkpolicies", "/apis/networking.k8s.io/v1")) == 30
    # The job, its account and its rights are gone.
    assert api.names(NAMESPACE, "jobs", "/apis/batch/v1") == set()
    assert api.names(NAMESPACE, "roles", "/apis/rbac.authorization.k8s.io/v1") == set()
    assert "rel-keys" not in api.names(NAMESPACE, "serviceaccounts")


def test_what_is_installed_runs(api):
    """The keys as the server holds them, in the pods as it holds them."""
    objects = [o for o in rendered() if o["kind"] in ("ConfigMap", "StatefulSet", "DaemonSet", "Pod", "Job")]
    cluster = Cluster(objects)
    for name in MADE:
        cluster.store[name] = decoded(api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}"))
    cluster.config["rel-pki"] = {k: v.encode() for k, v in api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/rel-pki")["data"].items()}
    try:
        cluster.up()
        eventually(cluster.all_ready, timeout=60, every=0.2)
        assert Mcp("127.0.0.1", 8080, cluster.store["rel-caller"]["caller.token"].decode().strip()).bash("echo on") == "on\n"
    finally:
        cluster.down()


def test_the_job_may_make_secrets_and_nothing_else(api, jobs):
    rules = next(o for o in rendered() if o["kind"] == "Role")
    binding = next(o for o in rendered() if o["kind"] == "RoleBinding")
    account = next(o for o in rendered() if o["kind"] == "ServiceAccount" and o["metadata"]["name"] == "rel-keys")
    for o in (account, rules, binding):
        api.call("POST", api.path(o, NAMESPACE), o)
    token = (jobs.runner.account("rel-keys") / "token").read_text()
    secrets = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    one = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe"}}
    api.call("POST", secrets, one, token=token)
    for method, path in (("GET", secrets), ("GET", f"{secrets}/rel-gateway"), ("DELETE", f"{secrets}/probe"), ("POST", "/api/v1/namespaces/default/secrets"),
                         ("POST", f"/api/v1/namespaces/{NAMESPACE}/pods")):
        with pytest.raises(Refused) as e:
            api.call(method, path, one if method == "POST" else None, token=token)
        assert e.value.status == 403, (method, path)
    api.call("DELETE", f"{secrets}/probe")
    for o in (binding, rules, account):
        api.call("DELETE", f"{api.path(o, NAMESPACE)}/{o['metadata']['name']}")


def test_upgrade_keeps_the_keys_and_touches_one_daemon(api, chart, jobs):
    def versions(resource):
        return {o["metadata"]["name"]: o["metadata"]["generation"] for o in api.call("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/{resource}")["items"]}

    def keys():
        return {n: decoded(api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/{n}")) for n in MADE}

    before, held = {**versions("statefulsets"), **versions("daemonsets")}, keys()
    jobs.seen.clear()
    api.helm("upgrade", "rel", chart, *VALUES, "--set", "gateway.config.threads=4")
    assert jobs.seen == ["rel-preflight"]
    after = {**versions("statefulsets"), **versions("daemonsets")}
    assert {n for n in before if before[n] != after[n]} == {"rel-gateway"}
    assert keys() == held
    api.helm("rollback", "rel", "1")
    assert "threads" not in api.call("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/rel-gateway")["data"]["gateway.yaml"]


def test_a_node_joins_and_leaves_and_the_first_one_is_not_touched(api, chart, jobs):
    """The server takes the upgrade: nothing that cannot be changed would be."""
    def held():
        found = {}
        for path in (f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets", f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims",
                     f"/api/v1/namespaces/{NAMESPACE}/services", "/api/v1/persistentvolumes"):
            for o in api.call("GET", path)["items"]:
                found[path.rsplit("/", 1)[1], o["metadata"]["name"]] = (o["metadata"]["uid"], o["spec"])
        return found

    before = held()
    jobs.seen.clear()
    api.helm("upgrade", "rel", chart, *VALUES, *SECOND)
    assert jobs.seen == ["rel-preflight", "rel-preflight-b"]
    after = held()
    assert {k: after[k] for k in before} == before
    assert {name for kind, name in after if kind == "daemonsets"} == {f"rel-{d}{s}" for d in ("brokerd", "egressd", "sandboxd") for s in ("", "-b")}
    api.helm("upgrade", "rel", chart, *VALUES)
    release_protection(api)
    left = {k for k in held() if k not in before}
    assert left == {("persistentvolumeclaims", f"rel-{d}-b") for d in ("brokerd", "egressd", "sandboxd")}
    # It may come back to its state.
    api.helm("upgrade", "rel", chart, *VALUES, *SECOND)
    back = held()
    assert all(back[k][0] == after[k][0] for k in left)
    api.helm("upgrade", "rel", chart, *VALUES)
    release_protection(api)
    for _, name in left:
        api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims/{name}")
    release_protection(api)


def release_protection(api):
    """What the controllers for volume protection do once no pod uses a claim: they let go."""
    for path in (f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims", "/api/v1/persistentvolumes"):
        for o in api.call("GET", path)["items"]:
            if "deletionTimestamp" in o["metadata"]:
                api.call("PATCH", f"{path}/{o['metadata']['name']}", {"metadata": {"finalizers": None}}, kind="application/merge-patch+json")


def test_uninstall_leaves_keys_and_state_and_install_takes_them_up(api, chart, jobs):
    api.helm("uninstall", "rel")
    release_protection(api)
    assert api.names(NAMESPACE, "statefulsets", "/apis/apps/v1") == set()
    assert {n for n in api.names(NAMESPACE) if not n.startswith("sh.helm")} == MADE
    assert api.names(NAMESPACE, "persistentvolumeclaims") == {"rel-brokerd", "rel-egressd", "rel-sandboxd"}
    jobs.seen.clear()
    api.helm("install", "rel", chart, *VALUES)
    assert jobs.seen == ["rel-preflight"]
    assert api.names(NAMESPACE, "statefulsets", "/apis/apps/v1") == {"rel-gateway", "rel-operatord", "rel-auditd"}


def test_half_made_keys_are_refused_by_name(api, chart, jobs):
    api.helm("uninstall", "rel")
    release_protection(api)
    api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}/secrets/rel-ca")
    p = api.helm("install", "rel", chart, *VALUES, check=False)
    assert p.returncode != 0
    assert "rel-pki is there already" in jobs.runner.said["file"]
    # The failed job stays, for its log.
    assert "rel-keys" in api.names(NAMESPACE, "jobs", "/apis/batch/v1")


def test_a_node_that_lacks_something_ends_the_install(api, chart, jobs, monkeypatch):
    monkeypatch.setattr("pods.IMAGES", jobs.runner.tmp)
    jobs.seen.clear()
    api.helm("uninstall", "rel")
    p = api.helm("install", "rel", chart, *VALUES, check=False)
    assert p.returncode != 0 and jobs.seen == ["rel-preflight"]
    assert "LACKS  image" in (jobs.runner.cluster.dir / "preflight.log").read_text()
