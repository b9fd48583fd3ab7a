"""A deployment of one node to which a second one is added and taken away again, its rendered pods running all the while, each node in a
network of its own. Shows: NFR-FLEX-13, NFR-FLEX-09."""
import base64
import http.client
import json
import re
import socket
import ssl
import stat
import subprocess
import sys
import textwrap

import pytest

import chart
from chart import BUILD, MATRIX, NAMESPACE, ROOT

sys.path.insert(0, str(ROOT / "tests/support"))
from helm_run_test import await_ready, client, logs  # noqa: E402
from pods import Cluster  # noqa: E402
from stack import McpError, eventually  # noqa: E402

NODES = {"": "rel-brokerd", "b": "rel-brokerd-b"}


def rendered(row):
    """Callers are told where the files are only where somebody may get them; and soon, with grants that are renewed every second."""
    operatord = {"image": {"repository": "ocu/operatord"}, "config": {"grant_ttl": "1s"}}
    return chart.objects({**MATRIX[row], "access": {"files": chart.PEER}, "operatord": operatord})


def occ(c, *args):
    d = c.dir / "operator"
    (d / "pki/operator").mkdir(parents=True, exist_ok=True)
    (d / "pki/ca.pem").write_bytes(c.config["rel-pki"]["ca.pem"])
    (d / "pki/operator/operator.key").write_bytes(c.store["rel-operator"]["operator.key"])
    (d / "pki/operator/operator.key").chmod(0o600)
    (d / "occ.yaml").write_text(f"pki_dir: {d}/pki\n")
    return json.loads(subprocess.run([BUILD / "bin/occ", "--deployment", d, *args, "--json"], check=True, capture_output=True, text=True).stdout)


def sandboxes(c, part):
    """What sandboxd itself counts."""
    connection = http.client.HTTPConnection(c.address(part), 9193, timeout=10)
    connection.request("GET", "/metrics")
    return int(re.search(r"^ocu_sandboxd_sandboxes (\d+)", connection.getresponse().read().decode(), re.M)[1])


def placed(c, mcp):
    """(node, _meta) of the session a client's next call runs in."""
    r = mcp.call("bash_tool", command="true")
    found = next(s for s in occ(c, "session", "list")["sessions"] if s["filesystem_id"] == r["_meta"]["ocu/filesystem_id"])
    return found["node"], r["_meta"]


# What kubectl does of what the page asks of it, on the objects of a Cluster.
KUBECTL = """#!/usr/bin/python3
import base64, json, pathlib, sys
here, args = pathlib.Path(__file__).resolve().parent, sys.argv[1:]
assert args[:2] == ["-n", "ocu"], args
objects = json.loads((here / "objects").read_text())
if args[2] == "get":
    data, (kind, template) = objects[args[3]], args[5].split("=", 1)
    assert args[4] == "-o" and kind == "go-template" and len(args) == 6
    if template == "{{range $f, $x := .data}}{{$f}} {{end}}":
        print(*data, end=" ")
    else:
        key, decoded = template.removeprefix('{{index .data "').split('"', 1)
        assert decoded == (" | base64decode}}" if args[3].startswith("secret/") else "}}"), template
        sys.stdout.buffer.write(base64.b64decode(data[key]))
elif args[2:] == ["apply", "-f", "-"]:
    (here / "applied").write_text(sys.stdin.read())
else:
    assert args[2:4] == ["rollout", "restart"], args
    (here / "restarted").write_text(" ".join(args[4:]))
"""


def page_commands():
    page = (ROOT / "docs/upgrade-kubernetes.md").read_text().split("## Another node", 1)[1].split("\n## ", 1)[0]
    block, = re.findall(r"^ *```\n(.*?)^ *```", page, re.S | re.M)
    return textwrap.dedent(block)


def new_certificate(c):
    """The page's own commands; returns the parts they start again."""
    d = c.dir / "page"
    (d / "bin").mkdir(parents=True)
    for name in ("occ", "kubectl"):
        (d / "bin" / name).symlink_to(BUILD / "bin/occ" if name == "occ" else d / "kubectl")
    # The page's deployment is called ocu, in a namespace of that name.
    held = {f"secret/{n.replace('rel-', 'ocu-')}": v for n, v in c.store.items()} | {"configmap/ocu-pki": c.config["rel-pki"]}
    (d / "objects").write_text(json.dumps({n: {k: base64.b64encode(x).decode() for k, x in v.items()} for n, v in held.items()}))
    (d / "kubectl").write_text(KUBECTL)
    (d / "kubectl").chmod(0o755)
    commands = page_commands().replace("$s.ocu", f"$s.{NAMESPACE}").replace("in ocu-brokerd ocu-brokerd-b;", "in rel-brokerd rel-brokerd-b;")
    p = subprocess.run(["bash", "-ec", commands], cwd=d, capture_output=True, text=True,
                       env={"PATH": f"{d}/bin:/usr/bin:/bin", "OCU_DEPLOYMENT": "/nowhere"})
    assert p.returncode == 0, p.stdout + p.stderr
    assert not (d / "d").exists()
    changed = set()
    for o in json.loads((d / "applied").read_text())["items"]:
        name = o["metadata"]["name"].replace("ocu-", "rel-", 1)
        secret = o["kind"] == "Secret"
        held = c.store if secret else c.config
        data = {k: base64.b64decode(v) if secret else v.encode() for k, v in o["data"].items()}
        changed |= {f"{name}/{k}" for k in data if held[name].get(k) != data[k]}
        held[name] = data
    assert changed == {"rel-pki/internal-jwks.json", "rel-brokerd/cert.pem", "rel-brokerd/key.pem", "rel-brokerd/token.key"}
    return [part.split("/ocu-")[1] for part in (d / "restarted").read_text().split()]


def files_api(c, node, token, path):
    """As a caller that knows the service's name and trusts the deployment's CA."""
    context = ssl.create_default_context(cadata=c.config["rel-pki"]["ca.pem"].decode())
    name = f"{NODES[node]}.{NAMESPACE}.svc"
    with socket.create_connection((c.address(NODES[node].removeprefix("rel-")), 8443), 10) as s, context.wrap_socket(s, server_hostname=name) as tls:
        connection = http.client.HTTPConnection(name)
        connection.sock = tls
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        r = connection.getresponse()
        return r.status, r.read()


@pytest.fixture(scope="module")
def cluster():
    """One node, with a session that has work in it."""
    c = Cluster(rendered("device"))
    try:
        c.make_keys()
        c.up()
        await_ready(c)
        client(c, "first").bash("echo kept > /workspace/kept; (sleep 4244 & echo $! > /tmp/pid)")
        yield c
    finally:
        status = c.down()
    assert set(status.values()) == {0}, status


def await_nodes(c):
    await_ready(c)
    eventually(lambda: all(n["reconciled"] and n["sandboxd"] and n["brokerd"] and n["egressd"] for n in occ(c, "status")["nodes"]), timeout=30)


def goes_on(c, chat):
    """The node in whose sandbox the conversation goes on, an empty one; calls that meet the change fail."""
    def empty():
        try:
            return client(c, chat).bash("ls /workspace") == ""
        except McpError:
            return False

    eventually(empty, timeout=20)
    return placed(c, client(c, chat))[0]


def first_lives(c):
    return client(c, "first").bash("cat /workspace/kept; kill -0 $(cat /tmp/pid) && echo alive") == "kept\nalive\n"


def test_without_the_new_name_callers_of_the_files_would_refuse_it(cluster):
    """What the page's commands are for; the first node's name is there."""
    node, meta = placed(cluster, client(cluster, "first"))
    assert node == "" and "ocu/files_url" not in meta
    token = cluster.store["rel-caller"]["caller.token"].decode().strip()
    where = f"/v1/filesystems/{meta['ocu/filesystem_id']}/files/kept"
    assert files_api(cluster, "", token, where) == (200, b"kept\n")
    cert = cluster.dir / "brokerd.pem"
    cert.write_bytes(cluster.store["rel-brokerd"]["cert.pem"])
    names = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", cert], check=True, capture_output=True, text=True).stdout
    assert f"DNS:rel-brokerd.{NAMESPACE}.svc" in names and "rel-brokerd-b" not in names


def test_a_second_node_joins(cluster):
    for part in new_certificate(cluster):
        cluster.replace(part)
    await_ready(cluster)
    assert first_lives(cluster)
    objects = rendered("two nodes")
    ahead = Cluster(objects)
    try:
        status, said = ahead.once("preflight-b")
        assert status == 0, said
    finally:
        ahead.down()
    assert cluster.apply(objects) == {"new": {"brokerd-b", "sandboxd-b", "egressd-b"}, "replaced": {"operatord"}, "gone": set()}
    await_nodes(cluster)
    assert first_lives(cluster)


def test_calls_and_files_on_both_nodes(cluster):
    """The first node has a session already, so the next one is the other's."""
    token = cluster.store["rel-caller"]["caller.token"].decode().strip()
    second = client(cluster, "second")
    second.bash("echo there > /workspace/kept")
    for chat, node, content in (("first", "", b"kept\n"), ("second", "b", b"there\n")):
        mcp = client(cluster, chat)
        eventually(lambda: "ocu/files_url" in placed(cluster, mcp)[1], timeout=20)
        found, meta = placed(cluster, mcp)
        assert (found, meta["ocu/files_url"]) == (node, f"https://{NODES[node]}.{NAMESPACE}.svc:8443"), logs(cluster)
        where = f"/v1/filesystems/{meta['ocu/filesystem_id']}/files/kept"
        assert files_api(cluster, node, token, where) == (200, content)
        # The other node's brokerd has never heard of it.
        assert files_api(cluster, "b" if node == "" else "", token, where)[0] == 404
    assert (sandboxes(cluster, "sandboxd"), sandboxes(cluster, "sandboxd-b")) == (1, 1)
    status, said = cluster.once("test")
    assert status == 0 and said == "governed by OCU\n0\n", said + logs(cluster)


def test_nothing_of_one_node_is_known_on_the_other(cluster):
    """Its handover sockets, its state, its services' names: each pod has those of its own."""
    where = {}
    for part in ("brokerd", "egressd", "brokerd-b", "egressd-b"):
        root = f"/proc/{cluster.runs[part]['p'].pid}/root"
        name = part.split("-")[0]
        sock = subprocess.run(["stat", "-c", "%f %d:%i", f"{root}/run/ocu/handover/{name}/d/{name}.sock"], check=True, capture_output=True, text=True).stdout
        assert stat.S_ISSOCK(int(sock.split()[0], 16))
        where[part] = sock.split()[1]
        hosts = subprocess.run(["cat", f"{root}/etc/hosts"], check=True, capture_output=True, text=True).stdout
        assert f"rel-{part} " in hosts and "rel-operatord " in hosts
    assert len(set(where.values())) == 4
    for custodian in ("brokerd", "egressd"):
        for suffix in ("", "-b"):
            root = f"/proc/{cluster.runs['sandboxd' + suffix]['p'].pid}/root"
            seen = subprocess.run(["stat", "-c", "%d:%i", f"{root}/run/ocu/handover/{custodian}/d/{custodian}.sock"], check=True, capture_output=True, text=True)
            assert seen.stdout.strip() == where[custodian + suffix]


def test_a_node_restarts_and_the_other_one_s_session_lives_on(cluster):
    assert placed(cluster, client(cluster, "second"))[0] == "b"
    for part in ("egressd-b", "brokerd-b", "sandboxd-b"):
        cluster.replace(part)
    await_nodes(cluster)
    assert first_lives(cluster)
    goes_on(cluster, "second")


def test_a_node_leaves_and_its_callers_go_on_elsewhere(cluster):
    chat = next(chat for chat in (f"leaving {i}" for i in range(8)) if placed(cluster, client(cluster, chat))[0] == "b")
    assert cluster.apply(rendered("device")) == {"new": set(), "replaced": {"operatord"}, "gone": {"brokerd-b", "sandboxd-b", "egressd-b"}}
    await_ready(cluster)
    assert first_lives(cluster)
    assert goes_on(cluster, chat) == ""
    gone = {s["reason"] for s in occ(cluster, "session", "list", "--all")["sessions"] if s["node"] == "b" and s["state"] != "active"}
    assert "node_gone" in gone, gone
