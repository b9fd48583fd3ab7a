"""The rendered pods, run with exactly the users, rights, volumes and configuration they ask for. Shows: NFR-FLEX-09, NFR-SEC-52."""
import copy
import json
import shutil
import socket
import ssl
import subprocess
import sys

import pytest

import chart
from chart import BUILD, DAEMONS, MATRIX, NAMESPACE, ROOT, TWO, render

sys.path.insert(0, str(ROOT / "tests/support"))
from pods import Cluster  # noqa: E402
from stack import Mcp, eventually  # noqa: E402


def await_ready(c):
    try:
        eventually(c.all_ready, timeout=60, every=0.2)
    except AssertionError:
        raise AssertionError("not ready: " + " ".join(p for p in c.parts if not c.ready(p)) + "\n" + logs(c)) from None


@pytest.fixture(scope="module")
def cluster():
    c = Cluster(render("device"))
    try:
        c.make_keys()
        assert c.once("preflight") == (0, (c.dir / "preflight.log").read_text()), (c.dir / "preflight.log").read_text()
        c.up()
        await_ready(c)
        yield c
    finally:
        status = c.down()
    assert set(status.values()) == {0}, status


def logs(c):
    return "\n".join(f"--- {p}\n{(c.dir / f'{p}.log').read_text()[-1500:]}" for p in c.parts)


def client(c, chat):
    return Mcp("127.0.0.1", 8080, c.store["rel-caller"]["caller.token"].decode().strip(), chat=chat)


def test_helm_test_makes_a_governed_call(cluster):
    status, said = cluster.once("test")
    assert status == 0 and said == "governed by OCU\n0\n", said + logs(cluster)


def test_helm_test_fails_when_the_call_is_refused(cluster):
    good = cluster.store["rel-caller"]["caller.token"]
    cluster.store["rel-caller"]["caller.token"] = good[:-8] + b"AAAAAAA\n"
    shutil.rmtree(cluster.dir / "test/caller", ignore_errors=True)
    try:
        status, said = cluster.once("test")
    finally:
        cluster.store["rel-caller"]["caller.token"] = good
        shutil.rmtree(cluster.dir / "test/caller")
    assert status != 0 and "refused (status 401)" in said, said


def test_the_operator_s_api_is_who_it_says(cluster):
    """By the service's name, with the certificate the job made for it."""
    d = cluster.dir / "operator"
    (d / "pki/operator").mkdir(parents=True, exist_ok=True)
    (d / "pki/ca.pem").write_bytes(cluster.config["rel-pki"]["ca.pem"])
    (d / "pki/operator/operator.key").write_bytes(cluster.store["rel-operator"]["operator.key"])
    (d / "pki/operator/operator.key").chmod(0o600)

    def status(host):
        (d / "occ.yaml").write_text(f"pki_dir: {d}/pki\napi_url: https://{host}:9443\n")
        (d / "hosts").write_text(f"127.0.0.1 {host}\n")
        return subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-ec",
                               f"mount --bind {d}/hosts /etc/hosts; exec {BUILD}/bin/occ --deployment {d} status"], capture_output=True, text=True)

    good = status(f"rel-operatord.{NAMESPACE}.svc")
    assert good.returncode == 0 and "trusted_operator" in good.stdout, good.stderr
    assert status(f"rel-brokerd.{NAMESPACE}.svc").returncode != 0


@pytest.mark.parametrize("daemon", ["gateway", "operatord", "auditd", "egressd"])
def test_a_restarted_pod_loses_no_session(cluster, daemon):
    """What a rolling upgrade does to each pod but the sandboxes' own node."""
    chat = f"roll-{daemon}"
    client(cluster, chat).bash("echo kept > /workspace/kept; (sleep 4242 & echo $! > /tmp/pid)")
    assert cluster.end(daemon, restart=True) == 0
    await_ready(cluster)
    assert client(cluster, chat).bash("cat /workspace/kept; kill -0 $(cat /tmp/pid) && echo alive") == "kept\nalive\n"


def test_another_deployment_with_the_same_paths_leaves_this_one_s_sandboxes_alone(cluster):
    """Two deployments in containers see the same folder names; a sandboxd that starts removes what is left of its own."""
    chat = "neighbour"
    client(cluster, chat).bash("(sleep 4243 & echo $! > /tmp/pid)")
    other = Cluster(render("device"))
    try:
        other.make_keys()
        # It gets past its leftovers, and then finds the ports taken.
        status, said = other.once("sandboxd", timeout=30)
        assert status == 1 and "Address in use" in said, said
    finally:
        other.down()
    assert client(cluster, chat).bash("kill -0 $(cat /tmp/pid) && echo alive") == "alive\n"


def test_the_pods_run_with_what_they_were_given(cluster):
    uid = {"gateway": 58101, "operatord": 58102, "brokerd": 58103, "egressd": 58104, "auditd": 58105, "sandboxd": 0}
    kept = {12, 21, 7, 6, 0, 1, 5}  # NET_ADMIN SYS_ADMIN SETUID SETGID CHOWN DAC_OVERRIDE KILL
    for daemon in DAEMONS:
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{cluster.runs[daemon]['p'].pid}/status") if ":\t" in line)
        assert {int(u) for u in status["Uid"].split()} == {uid[daemon]}
        want = sum(1 << n for n in kept) if daemon == "sandboxd" else 0
        for caps in ("CapPrm", "CapEff", "CapBnd"):
            assert int(status[caps], 16) == want, (daemon, caps)
        assert int(status["NoNewPrivs"]) == 1


def served(c, part, name):
    """Whether a part's files API is taken for that service's."""
    context = ssl.create_default_context(cadata=c.store[f"rel-{part}-tls"]["ca.crt"].decode())
    with socket.create_connection((c.address(part), 8443), 10) as s:
        try:
            context.wrap_socket(s, server_hostname=f"rel-{name}.{NAMESPACE}.svc").close()
        except ssl.SSLCertVerificationError as e:
            assert "Hostname mismatch" in str(e)
            return False
    return True


def test_certificates_of_cert_manager_serve_as_well(cluster):
    """On two nodes, brokerd of each with a certificate of its own. After the module's deployment has been told to rest: both would want the
    same ports."""
    for daemon in DAEMONS:
        assert cluster.end(daemon) == 0
    c = Cluster(chart.objects({**MATRIX["cert-manager"], "compute": {"nodes": TWO}, "auditd": {"image": {"repository": "ocu/auditd"}, "config": {"segment_age": "1s"}}}))
    try:
        c.make_keys()
        c.issue()
        c.store["archive"] = {"ca.crt": c.store["rel-brokerd-tls"]["ca.crt"], "access-key": b"AKIAEXAMPLE", "secret-key": b"secret"}
        c.up()
        await_ready(c)
        assert c.once("test")[0] == 0, logs(c)
        # The archive of that row, which no name leads to here, and nothing waits for.
        eventually(lambda: '"event":"archive.unreachable"' in logs(c) and "s3.bank.example" in logs(c), timeout=30, every=0.5)
        for part in ("brokerd", "brokerd-b"):
            assert served(c, part, part) and not served(c, part, "brokerd" if part == "brokerd-b" else "brokerd-b")
    finally:
        assert set(c.down().values()) == {0}
        for daemon in DAEMONS:
            cluster.keep(daemon)
    await_ready(cluster)


def refusal(change):
    """What the gateway's pod says when it is started with something wrong: (status, last event)."""
    c = Cluster(copy.deepcopy(render("device")))
    try:
        c.make_keys()
        change(c)
        status, said = c.once("gateway", timeout=20)
        return status, json.loads(said.splitlines()[-1])
    finally:
        c.down()


def test_keys_of_another_daemon_are_refused():
    def change(c):
        c.store["rel-gateway"] = {**c.store["rel-brokerd"], "mcp-session.key": c.store["rel-gateway"]["mcp-session.key"]}

    status, event = refusal(change)
    assert status == 78 and event["error"].endswith("/gateway/cert.pem is the certificate of brokerd")


def test_keys_that_others_can_read_are_refused():
    def change(c):
        volume = next(v for v in c.pods["gateway"]["spec"]["volumes"] if v["name"] == "pki")
        volume["projected"]["defaultMode"] = 0o444

    status, event = refusal(change)
    assert status == 78 and "is accessible by group or others (mode 0444, want 0600)" in event["error"]


def test_a_folder_of_state_that_cannot_be_written_is_named():
    def change(c):
        next(m for m in c.pods["gateway"]["spec"]["containers"][0]["volumeMounts"] if m["name"] == "state")["readOnly"] = True

    status, event = refusal(change)
    assert status == 1 and "/var/lib/ocu/gateway" in event["error"] and event["errno"] == "EROFS"
