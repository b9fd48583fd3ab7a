"""What the deployment keeps apart: who reaches whom, what each container may, what is on the wire.
shows: NFR-SEC-52, NFR-SEC-16, NFR-SEC-26"""
import concurrent.futures
import json
import re
import socket
import struct
import subprocess

import pytest
from docker_world import DAEMONS, ROOT, version
from edge_world import dns_query
from stack import eventually

# The arrows of the design: from, to, ports. docs/security-deployment.md draws the same.
ARROWS = {
    ("gateway", "operatord"): {9201, 9202, 9203},
    ("gateway", "sandboxd"): {9301},
    ("operatord", "sandboxd"): {9302},
    ("operatord", "brokerd"): {9401},
    ("operatord", "egressd"): {9501},
    **{(d, "operatord"): {9202, 9203} for d in ("sandboxd", "brokerd", "egressd")},
    **{(d, "auditd"): {9601} for d in DAEMONS if d != "auditd"},
}
OUTSIDE = ("20.30.40.2", 80)


def inside(pid, fn, *args):
    """fn(*args) in a process of its own in the network namespace of pid."""
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        return pool.submit(_inside, pid, fn, args).result(120)


def _inside(pid, fn, args):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/net") as f:
        if libc.setns(f.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
    return fn(*args)


def reachable(targets):
    """Those of (host, port) that accept a connection."""
    def one(target):
        with socket.socket() as s:
            s.settimeout(1.5)
            return s.connect_ex(target) == 0
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        return [t for t, ok in zip(targets, pool.map(one, targets)) if ok]


def answers(data):
    """(rcode, [IPv4 addresses]) of a DNS reply, its names compressed or not."""
    def skip(at):
        while data[at] and data[at] < 0xc0:
            at += data[at] + 1
        return at + (2 if data[at] else 1)

    _, flags, questions, records = struct.unpack(">HHHH", data[:8])
    at, found = 12, []
    for _ in range(questions):
        at = skip(at) + 4
    for _ in range(records):
        at = skip(at)
        kind, _, _, size = struct.unpack(">HHIH", data[at:at + 10])
        if kind == 1:
            found.append(socket.inet_ntoa(data[at + 10:at + 14]))
        at += 10 + size
    return flags & 15, found


def resolve(name):
    """(rcode, [addresses]) of docker's resolver; SERVFAIL when it says nothing, having nobody to ask."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(4)
        s.sendto(dns_query(name, edns=False), ("127.0.0.11", 53))
        try:
            return answers(s.recv(4096))
        except TimeoutError:
            return 2, []


def listening(project, daemon):
    """Every TCP port something in the container listens on, loopback aside; the resolver of docker is on loopback."""
    out = subprocess.run(["nsenter", "-t", str(project.pid(daemon)), "-n", "ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    found = {tuple(line.split()[3].rsplit(":", 1)) for line in out.splitlines()}
    assert not [a for a, _ in found if a in ("0.0.0.0", "*", "[::]")], found  # one address each, never all
    return {int(port) for address, port in found if not address.startswith("127.")}


def addresses(project, daemon):
    return {n["IPAddress"] for n in project.inspect(daemon)["NetworkSettings"]["Networks"].values() if n["IPAddress"]}


@pytest.fixture(scope="module")
def world(project):
    """{daemon: (addresses, ports)}; a listener that the table does not know counts as well."""
    project.mcp(chat="walls").bash("true")
    w = {d: (addresses(project, d), listening(project, d)) for d in DAEMONS}
    assert w["operatord"][1] == {9201, 9202, 9203, 9443, 9444} and w["gateway"][1] == {8080} and w["egressd"][1] == {9501}
    assert w["sandboxd"][1] == {9301, 9302} and w["brokerd"][1] == {8443, 9401} and w["auditd"][1] == {9601, 9602}
    return w


@pytest.mark.parametrize("source", DAEMONS)
def test_who_reaches_whom(project, world, source):
    targets = [(a, p) for d, (addrs, ports) in world.items() if d != source for a in addrs for p in ports]
    owner = {a: d for d, (addrs, _) in world.items() for a in addrs}
    reached = {}
    for address, port in inside(project.pid(source), reachable, targets):
        reached.setdefault((source, owner[address]), set()).add(port)
    assert reached == {arrow: ports for arrow, ports in ARROWS.items() if arrow[0] == source}


@pytest.mark.parametrize("source", DAEMONS)
def test_names_lead_where_the_arrows_do(project, world, source):
    for target in [d for d in DAEMONS if d != source]:
        rcode, found = inside(project.pid(source), resolve, target)
        knows = (source, target) in ARROWS or (target, source) in ARROWS
        assert (rcode == 0 and bool(found)) == knows, (source, target, rcode, found)
        assert set(found) <= world[target][0]


@pytest.mark.parametrize("source", DAEMONS)
def test_the_way_out(project, source):
    assert bool(inside(project.pid(source), reachable, [OUTSIDE])) == (source == "egressd")
    if source != "egressd":
        assert inside(project.pid(source), resolve, "allowed.example")[0] != 0


def test_published_on_loopback_only(project):
    ports = [b for d in DAEMONS for bound in (project.inspect(d)["HostConfig"]["PortBindings"] or {}).values() for b in bound]
    assert sorted(int(b["HostPort"]) for b in ports) == [8080, 8443, 9443, 9444] and {b["HostIp"] for b in ports} == {"127.0.0.1"}


# --- privileges ---

def documented():
    """{container: {column: text}} of the table in docs/security-deployment.md."""
    text = (ROOT / "docs/security-deployment.md").read_text()
    table = re.search(r"<!-- privileges -->\n(.*?)\n\n", text, re.S).group(1).splitlines()
    head = [c.strip() for c in table[0].strip("|").split("|")]
    return {row["container"]: row for row in (dict(zip(head, (c.strip() for c in line.strip("|").split("|")))) for line in table[2:])}


def words(cell):
    return set() if cell == "none" else set(re.findall(r"`([^`]+)`", cell))


@pytest.mark.parametrize("daemon", DAEMONS)
def test_privileges_are_the_documented_ones(project, daemon):
    row, c = documented()[daemon], project.inspect(daemon)
    host = c["HostConfig"]
    assert not host["Privileged"] and host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"]
    assert {x.removeprefix("CAP_") for x in host["CapAdd"] or ()} == words(row["capabilities"])
    assert {d["PathOnHost"] for d in host["Devices"] or ()} == words(row["devices"])
    assert "no-new-privileges:true" in host["SecurityOpt"] and host["PidsLimit"] > 0 and host["Memory"] > 0
    assert host["PidMode"] == host["UTSMode"] == "" and host["IpcMode"] in ("private", "shareable") and host["UsernsMode"] == ""
    unconfined = {"AppArmor" if "apparmor" in o else "seccomp" for o in host["SecurityOpt"] if o.endswith("unconfined")}
    assert unconfined == words(row["confinement off"])
    mounts = {m["Destination"] + (":ro" if not m["RW"] else "") for m in c["Mounts"] if m["Type"] != "tmpfs"}
    assert mounts == words(row["mounts"]) and not [m for m in c["Mounts"] if "docker.sock" in m.get("Source", "")]
    networks = {n.split("_", 1)[1] for n in c["NetworkSettings"]["Networks"]}
    assert networks == words(row["networks"])
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{c['State']['Pid']}/status").read().splitlines() if ":\t" in line)
    assert status["Uid"].split()[0] == row["user"]
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    names = {0: "CHOWN", 1: "DAC_OVERRIDE", 5: "KILL", 6: "SETGID", 7: "SETUID", 12: "NET_ADMIN", 21: "SYS_ADMIN"}
    wanted = sum(1 << n for n, name in names.items() if name in words(row["capabilities"]))
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == wanted


def test_each_holds_its_own_keys_and_no_other(project):
    for daemon in DAEMONS:
        folder = project.volume(f"keys-{daemon}")
        found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_dir()}
        assert found == {"pki", f"pki/{daemon}"}
        assert not list(folder.rglob("ca.key")) and not list(folder.rglob("operator.key")) and not list(folder.rglob("caller.token"))


def test_a_missing_key_stops_the_one_concerned(project):
    key = project.volume("keys-gateway") / "pki/gateway/key.pem"
    text = key.read_bytes()
    key.unlink()
    try:
        project.compose("restart", "-t", "15", "gateway")
        eventually(lambda: "key.pem" in project.log("gateway"), timeout=30, every=0.2)
        assert all(project.health(d) == "healthy" for d in DAEMONS if d != "gateway")
    finally:
        project.compose("run", "--rm", "-T", "init", "init", "--dir", "/etc/ocu", "--split", "/split", stdin=subprocess.DEVNULL)
    assert key.read_bytes() == text
    project.wait_healthy()


# --- the wire ---

class Capture:
    def __init__(self, path, interface, expression):
        self.p = subprocess.Popen(["tcpdump", "--immediate-mode", "-U", "-s", "0", "-w", path, "-i", interface, "-Z", "root", expression], stderr=subprocess.PIPE, text=True)
        while "listening on" not in self.p.stderr.readline():
            assert self.p.poll() is None
        self.path = path

    def stop(self, until):
        """Ends when what was captured fulfils until(); the kernel hands packets over a little later than they went by."""
        eventually(lambda: until(self.path.read_bytes()), timeout=20, every=0.1)
        self.p.terminate()
        self.p.wait(20)
        return self.path.read_bytes()


def marker(data):
    """A datagram of our own to the outside: what went by before it has been captured when it is there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(data, (OUTSIDE[0], 9))


def packets(pcap):
    """(source, destination, protocol, what IP carries) of every IPv4 packet in a capture of one interface or of any."""
    order = "<" if pcap[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    link = struct.unpack(order + "I", pcap[20:24])[0]
    skip, at = {113: 16, 276: 20, 1: 14}[link], 24
    while at + 16 <= len(pcap):
        size = struct.unpack(order + "I", pcap[at + 8:at + 12])[0]
        ip = pcap[at + 16 + skip:at + 16 + size]
        at += 16 + size
        if len(ip) >= 20 and ip[0] >> 4 == 4:
            total = struct.unpack(">H", ip[2:4])[0]
            yield socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20]), ip[9], ip[(ip[0] & 15) * 4:total]


def payloads(pcap):
    """(source port, destination port, TCP payload)"""
    for _, _, protocol, tcp in packets(pcap):
        if protocol == 6 and len(tcp) >= 20:
            yield *struct.unpack(">HH", tcp[:4]), tcp[(tcp[12] >> 4) * 4:]


def test_nothing_readable_between_daemons(project, tmp_path):
    secret = "xyzzy-plugh-plover"
    rpc = sorted({p for ports in ARROWS.values() for p in ports})
    capture = Capture(tmp_path / "rpc.pcap", "any", "tcp and (" + " or ".join(f"port {p}" for p in rpc) + ")")
    for d in ("gateway", "operatord"):
        project.compose("restart", "-t", "15", d)  # handshakes as well
    project.wait_healthy()
    assert project.mcp(chat="wire").bash(f"echo {secret}") == secret + "\n"
    # Every leg was heard.
    found = list(payloads(capture.stop(lambda pcap: {p for s, d, data in payloads(pcap) if data for p in (s, d)} >= set(rpc))))
    everything = b"".join(data for _, _, data in found)
    assert len(everything) > 50000
    for word in (secret, project.token[:40], "tool.call", "session_id", "alice", "bash_tool"):
        assert word.encode() not in everything, word
    # Each segment that begins a record begins with a TLS record type: handshake, change cipher, alert or data, version 3.x.
    first = [data for _, _, data in found if data and data[:1] in b"\x14\x15\x16\x17" and data[1:2] == b"\x03"]
    assert len(first) > len([1 for _, _, data in found if data]) / 2


def test_a_quiet_deployment_sends_nothing_outside(docker, project, upstream, tmp_path):
    project.compose("up", "-d", env={"OCU_EGRESS_RUNG": "deny-all", "OCU_EGRESS_ALLOW": "[]"})
    project.wait_healthy()
    capture = Capture(tmp_path / "out.pcap", "ocu-up0", "ip")
    m = project.mcp(chat="quiet")
    assert m.sh("curl -fsS --max-time 5 http://allowed.example/ || curl -fsS --max-time 5 http://20.30.40.2/")["exit_code"] != 0
    assert m.bash("echo on") == "on\n"
    assert "verified" in project.occ("audit", "verify")
    marker(b"end of the quiet")
    left = [p for p in packets(capture.stop(lambda pcap: b"end of the quiet" in pcap)) if p[0] != OUTSIDE[0]]
    assert len(left) == 1, left  # the marker
    # That it would have been heard.
    project.compose("up", "-d")
    project.wait_healthy()
    capture = Capture(tmp_path / "control.pcap", "ocu-up0", "ip")
    reply = project.mcp(chat="loud").bash("curl -sS --max-time 10 http://allowed.example/hi")
    assert json.loads(reply)["host"] == "allowed.example"
    capture.stop(lambda pcap: any(d == 80 for _, d, _ in payloads(pcap)))
