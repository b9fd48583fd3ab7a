"""Two nodes: each a real sandboxd with the brokerd and egressd beside it, under one operatord and one gateway.
shows: NFR-REL-09, NFR-SEC-01"""
import http.client
import json
import signal
import ssl

import pytest
from stack import McpError, Stack, eventually

NODE = ["brokerd", "egressd", "sandboxd"]
PORTS = {"brokerd": {"rpc_listen": "tls+tcp://127.0.0.1:9411", "files_listen": "127.0.0.1:8453", "metrics_listen": "127.0.0.1:9292"},
         "egressd": {"rpc_listen": "tls+tcp://127.0.0.1:9511", "metrics_listen": "127.0.0.1:9294"},
         "sandboxd": {"exec_listen": "tls+tcp://127.0.0.1:9311", "control_listen": "tls+tcp://127.0.0.1:9312",
                      "metrics_listen": "127.0.0.1:9293", "instance": "b", "guest_uid_base": str((1 << 30) + (1 << 26))}}
ADDRESSES = [
    {"name": "", "sandboxd_control_url": "tls+tcp://127.0.0.1:9302", "sandboxd_exec_url": "tls+tcp://127.0.0.1:9301",
     "brokerd_url": "tls+tcp://127.0.0.1:9401", "egressd_url": "tls+tcp://127.0.0.1:9501", "files_url": "https://127.0.0.1:8443"},
    {"name": "b", "sandboxd_control_url": "tls+tcp://127.0.0.1:9312", "sandboxd_exec_url": "tls+tcp://127.0.0.1:9311",
     "brokerd_url": "tls+tcp://127.0.0.1:9411", "egressd_url": "tls+tcp://127.0.0.1:9511", "files_url": "https://127.0.0.1:8453"}]


class Node(Stack):
    """The second node's three daemons, with the first deployment's keys and folders of their own."""

    def __init__(self, first):
        self.first, self.etc, self.proc, self.nofile = first, first.etc, {}, {}
        self.dir = first.dir / "b"
        self.dir.mkdir(mode=0o755, exist_ok=True)
        own = {"state_dir": str(self.dir / "state"), "run_dir": str(self.dir / "run")}
        self.config = {d: {**first.config[d], **own, **PORTS[d]} for d in NODE}

    def start(self, *daemons):
        for daemon in daemons or NODE:
            self.start_one(daemon)
        return self


class TwoNodes(Stack):
    def __init__(self, config):
        super().__init__(config)
        self.config["operatord"].update(nodes=ADDRESSES, node_lost="2s")
        self.b = Node(self)

    def start(self, *daemons):
        if daemons:
            return super().start(*daemons)
        super().start("auditd", "operatord", "brokerd", "egressd", "sandboxd", "gateway")
        self.b.start()
        eventually(lambda: self.occ("status", "--json")["reconciled"])
        return self

    def stop(self):
        for daemon in reversed(NODE):
            p = self.b.proc.get(daemon)
            if p and p.poll() is None:
                p.terminate()
                p.wait(60)
        return {**{"b/" + d: p.returncode for d, p in self.b.proc.items()}, **super().stop()}

    def session_of(self, mcp):
        """The session a client's next call runs in, and its node's name."""
        r = mcp.call("bash_tool", command="true")
        fs = r["_meta"]["ocu/filesystem_id"]
        s = next(s for s in self.sessions() if s["filesystem_id"] == fs)
        return s["session_id"], s["node"], r["_meta"]

    def one_on_each(self):
        found = {}
        while set(found) != {"", "b"}:
            m = self.mcp()
            node = self.session_of(m)[1]
            if node in found:
                m.end()
            else:
                found[node] = m
        return found[""], found["b"]


@pytest.fixture
def two(upstream):
    with TwoNodes(upstream.config) as s:
        yield s


def files(url, token, path, method="GET", body=None):
    host, port = url.removeprefix("https://").split(":")
    c = http.client.HTTPSConnection(host, int(port), context=ssl._create_unverified_context(), timeout=30)
    c.request(method, path, body, {"Authorization": "Bearer " + token})
    r = c.getresponse()
    return r.status, r.read()


def test_sessions_of_both_nodes(two):
    """Calls, files and network of a session are its node's; the client is told where its files are."""
    a, b = two.one_on_each()
    for m, node, url in ((a, "", "https://127.0.0.1:8443"), (b, "b", "https://127.0.0.1:8453")):
        session, found, meta = two.session_of(m)
        assert found == node and meta["ocu/files_url"] == url
        m.bash(f"echo from-{node or 'a'} > /workspace/f")
        where = f"/v1/filesystems/{meta['ocu/filesystem_id']}/files/f"
        status, body = files(url, two.token, where)
        assert (status, body) == (200, f"from-{node or 'a'}\n".encode())
        # The other node's brokerd has never heard of it.
        other = next(n["files_url"] for n in ADDRESSES if n["files_url"] != url)
        assert files(other, two.token, where)[0] == 404
        created = two.events(action="session.create", session_id=session)[0]
        assert created.get("detail", created).get("node", "") == node or node in json.dumps(created)
    nodes = {n["name"]: n for n in two.occ("status", "--json")["nodes"]}
    assert all(n["reconciled"] and n["sandboxd"] and n["brokerd"] and n["egressd"] for n in nodes.values())
    assert nodes["b"]["instance"] == "b" and nodes["b"]["sessions"] == nodes[""]["sessions"] == 1
    assert "NODE" in two.occ("status").stdout


def test_a_node_dies_and_the_other_keeps_its_sessions(two):
    a, b = two.one_on_each()
    kept = two.session_of(a)[0]
    lost = two.session_of(b)[0]
    a.bash("echo kept > /workspace/f")
    for daemon in NODE:
        two.b.kill(daemon, signal.SIGKILL)
    assert a.bash("cat /workspace/f") == "kept\n"
    # The call fails, and after node_lost the conversation goes on elsewhere.
    with pytest.raises(McpError):
        b.bash("true")
    eventually(lambda: two.occ("session", "show", lost, "--json")["state"] == "ending")
    assert two.occ("session", "show", lost, "--json")["reason"] == "node_lost"
    assert two.session_of(b)[1] == ""
    # Back again, it takes down what was left of it and gets new sessions.
    two.b.start()
    eventually(lambda: two.occ("session", "show", lost, "--json")["state"] == "ended")
    assert two.session_of(a)[0] == kept and a.bash("cat /workspace/f") == "kept\n"
    eventually(lambda: {two.session_of(two.mcp())[1] for _ in range(2)} == {"b"})


def test_kill_all_reaches_both_nodes(two):
    a, b = two.one_on_each()
    killed = two.occ("kill", "--all", "--yes", "--json")
    assert killed["sessions"] == killed["stopped"] == killed["egress_dropped"] == 2
    for m in (a, b):
        with pytest.raises(McpError):
            m.bash("true")


def test_a_restarted_operatord_finds_both(two):
    a, b = two.one_on_each()
    before = {two.session_of(a)[0], two.session_of(b)[0]}
    two.restart("operatord")
    eventually(lambda: two.occ("status", "--json")["reconciled"])
    assert {two.session_of(a)[0], two.session_of(b)[0]} == before
