"""The edge alone: a real egressd and auditd, operatord's part played by ocu-edge-operator, guests and upstreams in network
namespaces of their own. What sandboxd does for a session's network is done here in the same way: a veth, a default route,
nftables redirects, and the three sockets handed over."""
import contextlib
import ctypes
import json
import os
import pathlib
import secrets
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

import stack as stacks
from stack import program, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
UP_NS = "ocu-edge-up"
GATE, UP, OTHER = "21.30.40.1", "21.30.40.2", "21.30.40.3"
SIX_GATE, SIX = "2a0e:30::1", "2a0e:30::2"
EDGE, GUEST = "100.64.0.1", "100.64.0.2"
TCP_PORT, DNS_PORT = 15001, 15053
EGRESSD, FEED, PULL = "tls+tcp://127.0.0.1:9501", "tls+tcp://127.0.0.1:9202", "tls+tcp://127.0.0.1:9203"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
libc = ctypes.CDLL(None, use_errno=True)

# name -> (ttl, [addresses]); unbound answers with these.
NAMES = {
    "allowed.example": (60, [UP]),
    "other.example": (60, [OTHER]),
    "a.wild.example": (60, [UP]),
    "six.example": (60, [SIX]),
    "rebind.example": (0, [UP]),
    "loop.example": (60, ["127.0.0.1"]),
    "meta.example": (60, ["169.254.169.254"]),
    "rfc1918.example": (60, ["10.1.2.3"]),
    "mapped.example": (60, ["::ffff:127.0.0.1"]),
    "nat64.example": (60, ["64:ff9b::7f00:1"]),
    "ula.example": (60, ["fd00:ec2::254"]),
    "mixed.example": (60, [UP, "127.0.0.1"]),
    "self.example": (60, [GATE]),
    "closed.example": (60, [UP]),
}
RULES = [{"host": n} for n in NAMES if n not in ("other.example", "a.wild.example", "allowed.example")] + [
    {"host": "allowed.example", "ports": [80, 443, 22, 7000, 7001, 7002, 8443, 8444]}, {"host": "*.wild.example"},
    {"host": "missing.example"}, {"host": "silent.example"}]


def ulid():
    return "".join(secrets.choice(ALPHABET[:8] if i == 0 else ALPHABET) for i in range(26))


def in_ns(ns, fn):
    """Runs fn in a thread that is in the network namespace; sockets it makes stay there."""
    box = {}

    def work():
        fd = os.open(f"/run/netns/{ns}", os.O_RDONLY)
        try:
            if libc.setns(fd, 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")
            box["value"] = fn()
        except BaseException as e:  # noqa: BLE001 handed to the caller
            box["error"] = e
        finally:
            os.close(fd)

    t = threading.Thread(target=work)
    t.start()
    t.join()
    if "error" in box:
        raise box["error"]
    return box["value"]


def wait_for(condition, timeout=30, what="condition"):
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true within {timeout} s"
        time.sleep(0.02)


class Upstream:
    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ocu-edge-up-", dir="/var/tmp"))
        self.dir.chmod(0o755)
        self.procs = []
        run(["ip", "netns", "add", UP_NS])
        run(["ip", "link", "add", "oe-up0", "type", "veth", "peer", "name", "up0", "netns", UP_NS])
        for args in (["addr", "add", GATE + "/24", "dev", "oe-up0"], ["-6", "addr", "add", SIX_GATE + "/64", "dev", "oe-up0", "nodad"],
                     ["link", "set", "oe-up0", "up"]):
            run(["ip", *args])
        for args in (["link", "set", "lo", "up"], ["addr", "add", UP + "/24", "dev", "up0"],
                     ["addr", "add", OTHER + "/24", "dev", "up0"], ["-6", "addr", "add", SIX + "/64", "dev", "up0", "nodad"],
                     ["link", "set", "up0", "up"]):
            run(["ip", "-n", UP_NS, *args])
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=allowed.example", "-addext", "subjectAltName=DNS:allowed.example,DNS:other.example",
             "-keyout", self.dir / "key.pem", "-out", self.dir / "cert.pem"])
        self.resolver()
        self.spawn(sys.executable, "-B", __file__, self.dir)
        for port in (80, 443, 22, 7000, 7001, 7002, 8443, 8444, 53):
            wait_for(lambda p=port: f":{p} " in run(["ip", "netns", "exec", UP_NS, "ss", "-Hltn"]), what=f"port {port}")
        return self

    def spawn(self, *args):
        with open(self.dir / "log", "ab") as log:
            self.procs.append(subprocess.Popen(["ip", "netns", "exec", UP_NS, *map(str, args)], stdout=log, stderr=log))

    def resolver(self):
        data = "".join(f'  local-data: "{n}. {ttl} IN {"AAAA" if ":" in a else "A"} {a}"\n'
                       for n, (ttl, addrs) in NAMES.items() for a in addrs)
        (self.dir / "unbound.conf").write_text(f"""server:
  interface: {UP}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{self.dir}"
  pidfile: "{self.dir}/unbound.pid"
  use-syslog: no
  logfile: "{self.dir}/dns.log"
  log-queries: yes
  access-control: 0.0.0.0/0 allow
  module-config: "iterator"
  local-zone: "example." static
{data}  local-zone: "silent.example." deny
remote-control:
  control-enable: yes
  control-interface: {self.dir}/ctl
  control-use-cert: no
""")
        self.spawn("unbound", "-d", "-c", self.dir / "unbound.conf")

    def control(self, *args):
        return run(["unbound-control", "-c", self.dir / "unbound.conf", *args])

    def point(self, name, ttl, address):
        self.control("local_data_remove", name + ".")
        self.control("local_data", f"{name}. {ttl} IN A {address}")

    def queries(self):
        """Names the resolver was asked for, in order."""
        path = self.dir / "dns.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return [words[-3].rstrip(".") for words in (line.split() for line in lines) if len(words) > 4 and words[-1] == "IN"]

    def __exit__(self, *exc):
        for p in self.procs:
            p.terminate()
        for p in self.procs:
            p.wait(60)
        run(["ip", "link", "del", "oe-up0"])  # now; the kernel ends a namespace and what is in it some time later
        run(["ip", "netns", "del", UP_NS])
        shutil.rmtree(self.dir, ignore_errors=True)


class World:
    """egressd, auditd, and who plays operatord."""

    def __init__(self, upstream, **config):
        self.upstream = upstream
        self.stack = stacks.Stack({"egressd": {"resolvers": [f"{UP}:53"], **config}})
        self.guests, self.numbers = [], iter(range(1, 1000))

    def __enter__(self):
        try:
            self.stack.start("auditd")
            self.operator = subprocess.Popen([program("ocu-edge-operator"), str(self.stack.etc / "pki"), EGRESSD, FEED, PULL],
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            assert json.loads(self.operator.stdout.readline()) == {"ok": True}
            self.stack.start("egressd")
            self.wait_ready()
            return self
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, *exc):
        for g in list(self.guests):
            g.close()
        if hasattr(self, "operator"):
            self.operator.stdin.close()
            self.operator.wait(60)
        if exc[0]:
            print(self.stack.log("egressd")[-4000:])
        status = self.stack.stop()
        if not exc[0]:
            assert all(s == 0 for s in status.values()), status

    def wait_ready(self):
        wait_for(lambda: self.http("/readyz").startswith("HTTP/1.1 200"), what="egressd ready")

    def http(self, path):
        with socket.create_connection(("127.0.0.1", 9194), 5) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:9194\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: s.recv(65536), b"")).decode()

    def metric(self, name):
        for line in self.http("/metrics").splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return 0.0

    def say(self, line):
        self.operator.stdin.write(line + "\n")
        return json.loads(self.operator.stdout.readline())

    def call(self, method, **args):
        return self.say(f"call {method} {json.dumps(args)}")

    def register(self, session, rung="passthrough", allow=RULES, caller="alice"):
        return self.call("edge.Register", session_id=session, caller=caller, rung=rung, allow=allow)

    def drop(self, session):
        return self.call("edge.Drop", session_id=session, reason="test")

    def list(self):
        return self.call("edge.List")

    def guest(self, **policy):
        return Guest(self, **policy)

    def events(self, **match):
        return self.stack.events(**match)

    def handover(self, session, fds, kind=2):
        """What sandboxd sends; (code, text) of the answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(str(self.stack.dir / "run/handover/egressd.sock"))
            raw = session.encode()
            packet = b"\x01\x0a" + bytes([len(raw)]) + raw + b"\x10" + bytes([kind])
            socket.send_fds(s, [packet], fds)
            return result(s.recv(4096))


def result(packet):
    """handover.Result, by hand: 1 varint code, 2 text."""
    assert packet[:1] == b"\x01", packet
    code, text, at = 0, "", 1
    while at < len(packet):
        tag = packet[at]
        at += 1
        value = shift = 0
        while True:
            value |= (packet[at] & 127) << shift
            shift += 7
            at += 1
            if packet[at - 1] < 128:
                break
        if tag == 0x12:
            text = packet[at:at + value].decode()
            at += value
        else:
            code = struct.unpack("<i", struct.pack("<I", value & 0xffffffff))[0]
    return code, text


NFT = f"""table ip edge {{
  chain in {{
    type nat hook prerouting priority dstnat;
    udp dport 53 redirect to :{DNS_PORT}
    tcp dport 53 redirect to :{DNS_PORT}
    meta l4proto tcp redirect to :{TCP_PORT}
  }}
}}
"""


class Guest:
    """One session: its namespaces, its sockets, and what a program in it would do."""

    def __init__(self, world, register=True, hand=True, **policy):
        n = next(world.numbers)
        self.world, self.ns, self.edge_ns = world, f"oe-g{n}", f"oe-e{n}"
        self.session, self.socks = "ses_" + ulid(), None
        world.guests.append(self)
        for ns in (self.ns, self.edge_ns):
            run(["ip", "netns", "add", ns])
            run(["ip", "-n", ns, "link", "set", "lo", "up"])
        run(["ip", "-n", self.ns, "link", "add", "eth0", "type", "veth", "peer", "name", "edge0", "netns", self.edge_ns])
        for ns, dev, address in ((self.ns, "eth0", GUEST), (self.edge_ns, "edge0", EDGE)):
            run(["ip", "-n", ns, "addr", "add", address + "/30", "dev", dev])
            run(["ip", "-n", ns, "link", "set", dev, "up"])
        run(["ip", "-n", self.ns, "route", "add", "default", "via", EDGE])
        run(["ip", "netns", "exec", self.edge_ns, "nft", "-f", "-"], input=NFT)
        if register:
            reply = world.register(self.session, **policy)
            assert "error" not in reply, reply
        if hand:
            assert self.hand_over() == (0, "")

    def sockets(self):
        def make():
            tcp, udp, dns = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
            for s in (tcp, dns):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("0.0.0.0", TCP_PORT))
            tcp.listen(1024)
            udp.bind(("0.0.0.0", DNS_PORT))
            dns.bind(("0.0.0.0", DNS_PORT))
            dns.listen(64)
            return tcp, udp, dns

        return in_ns(self.edge_ns, make)

    def hand_over(self):
        """The sockets are kept open here as well, as sandboxd keeps them."""
        self.socks = self.socks or self.sockets()
        return self.world.handover(self.session, [s.fileno() for s in self.socks])

    def socket(self, kind=socket.SOCK_STREAM, timeout=60):
        s = in_ns(self.ns, lambda: socket.socket(socket.AF_INET, kind))
        s.settimeout(timeout)
        return s

    def connect(self, address, port, timeout=60):
        s = self.socket(timeout=timeout)
        s.connect((address, port))
        return s

    def to(self, name, port, timeout=60):
        """Looks the name up and connects, as a program would."""
        return self.connect(self.lookup(name), port, timeout)

    def exec(self, *args, **kw):
        return subprocess.run(["ip", "netns", "exec", self.ns, *map(str, args)], capture_output=True, text=True, timeout=120, **kw)

    def query(self, name, qtype=1, edns=True, tcp=False, timeout=30):
        """(rcode, [addresses], extended error or None, ttl)"""
        message = dns_query(name, qtype, edns)
        if tcp:
            with self.connect(EDGE, 53, timeout) as s:
                s.sendall(struct.pack(">H", len(message)) + message)
                size = struct.unpack(">H", recv_exactly(s, 2))[0]
                return dns_reply(recv_exactly(s, size))
        with self.socket(socket.SOCK_DGRAM, timeout) as s:
            s.sendto(message, (EDGE, 53))
            return dns_reply(s.recv(4096))

    def lookup(self, name):
        rcode, addresses, _, _ = self.query(name)
        assert rcode == 0 and addresses, (name, rcode)
        return addresses[0]

    def close(self):
        if self not in self.world.guests:
            return
        self.world.guests.remove(self)
        with contextlib.suppress(Exception):
            self.world.drop(self.session)
        for s in self.socks or ():
            s.close()
        for ns in (self.ns, self.edge_ns):
            run(["ip", "netns", "del", ns])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def dns_query(name, qtype=1, edns=True, ident=None):
    labels = name if isinstance(name, list) else [p.encode() for p in name.rstrip(".").split(".") if p]
    wire = b"".join(bytes([len(p)]) + p for p in labels) + b"\0"
    ident = secrets.randbelow(65536) if ident is None else ident
    opt = b"\0\0\x29\x10\0\0\0\0\0\0\0" if edns else b""
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 1 if edns else 0) + wire + struct.pack(">HH", qtype, 1) + opt


def dns_reply(data):
    _, flags, qd, an, _, ar = struct.unpack(">HHHHHH", data[:12])
    at, addresses, ede, ttl = 12, [], None, None
    for _ in range(qd):
        while data[at]:
            at += data[at] + 1
        at += 5
    for i in range(an + ar):
        at += 2 if data[at] >= 0xc0 else 1
        rtype, _, rttl, size = struct.unpack(">HHIH", data[at:at + 10])
        body, at = data[at + 10:at + 10 + size], at + 10 + size
        if i < an and rtype == 1:
            addresses.append(socket.inet_ntoa(body))
            ttl = rttl
        elif rtype == 41 and len(body) > 5 and body[:2] == b"\0\x0f":
            ede = (struct.unpack(">H", body[4:6])[0], body[6:].decode())
    assert at == len(data)
    return flags & 15, addresses, ede, ttl


def recv_exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        assert piece, f"ended after {len(data)} of {n} bytes"
        data += piece
    return data


def recv_all(s):
    """Everything until the end, and whether the end was a reset."""
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionResetError:
        return data, True
    return data, False


def get(s, host, path="/", extra=""):
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode())
    return reply(s)


def reply(s):
    """(status, headers, body) of one response with a length."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += recv_exactly(s, 1)
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
    return int(lines[0].split()[1]), headers, recv_exactly(s, int(headers.get("content-length", 0)))


def denied(s, reason, status=403):
    """The answer is an HTTP refusal with this reason."""
    got, headers, body = reply(s)
    assert (got, headers["x-deny-reason"]) == (status, reason)
    error = json.loads(body)["error"]
    assert error["code"] == reason and error["correlation_id"] == headers["x-correlation-id"]
    assert len(body) < 600 and b"ses_" not in body and b"alice" not in body
    assert recv_all(s) == (b"", False)


ALERT_DENIED, ALERT_FAILED = b"\x15\x03\x03\x00\x02\x02\x31", b"\x15\x03\x03\x00\x02\x02\x50"


def connect(guest, target, extra=b""):
    s = guest.connect(EDGE, 3128)
    s.sendall(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, target) + extra)
    return s


def open_many(guest, n):
    socks = [guest.to("allowed.example", 7000) for _ in range(n)]
    for s in socks:
        s.sendall(b"\0")
    for s in socks:
        assert recv_exactly(s, 1)
    return socks


def all_cut(socks):
    for s in socks:
        s.settimeout(60)
        assert recv_all(s) == (b"", True)


def client_hello(name, **kw):
    """A real ClientHello for the name, by OpenSSL."""
    ctx = ssl.create_default_context()
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    obj = ctx.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        obj.do_handshake()
    return outgoing.read()


# ---- the servers in the upstream namespace -------------------------------------------------------------------------

def serve(folder):
    import asyncio

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
    retry = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    retry.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
    retry.set_ecdh_curve("secp384r1")   # no client sends a key for it at first: a HelloRetryRequest

    async def http(r, w):
        """Answers every request with its own head and the length of its body; keeps the connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await r.readuntil(b"\r\n\r\n")
                lower, length = head.lower(), 0
                if b"upgrade: websocket" in lower:
                    w.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
                    while data := await r.read(65536):
                        w.write(data)
                    break
                for line in lower.split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                if b"transfer-encoding: chunked" in lower:
                    while size := int(await r.readline(), 16):
                        await r.readexactly(size + 2)
                        length += size
                    await r.readline()
                else:
                    await r.readexactly(length)
                body = json.dumps({"head": head.decode("latin-1"), "length": length,
                                   "local": w.get_extra_info("sockname")[0]}).encode()
                w.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                if b"connection: close" in lower:
                    break
                await w.drain()
        w.close()

    async def banner(r, w):
        w.write(b"SSH-2.0-test\r\n")
        with contextlib.suppress(ConnectionError):
            while data := await r.read(65536):
                w.write(data)
        w.close()

    async def echo(r, w):
        with contextlib.suppress(ConnectionError):
            while data := await r.read(65536):
                w.write(data)
                await w.drain()
        w.write(b"(end)")
        w.close()

    async def count(r, w):
        """Reads to the end, then says how much it was."""
        n = 0
        with contextlib.suppress(ConnectionError):
            while data := await r.read(1 << 20):
                n += len(data)
            w.write(b"%d" % n)
        w.close()

    async def source(r, w):
        """Sends as many MiB as the first line says."""
        with contextlib.suppress(ConnectionError):
            n, block = int(await r.readline()), bytes(1 << 20)
            for _ in range(n):
                w.write(block)
                await w.drain()
        w.close()

    async def main():
        servers = [await asyncio.start_server(fn, ["0.0.0.0", "::"], port, ssl=ctx, backlog=2048)
                   for fn, port, ctx in ((http, 80, None), (http, 443, tls), (banner, 22, None), (echo, 7000, None),
                                         (count, 7001, None), (source, 7002, None), (http, 8443, tls), (http, 8444, retry))]
        await asyncio.gather(*(s.serve_forever() for s in servers))

    asyncio.run(main())


if __name__ == "__main__":
    serve(sys.argv[1])
