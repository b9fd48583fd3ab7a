"""What a hostile guest tries against the edge, and what happens when its neighbours and the daemons around it fail.
shows: NFR-SEC-01, NFR-SEC-08, NFR-SEC-12, NFR-SEC-17, NFR-SEC-22, NFR-SEC-27, NFR-SEC-36, NFR-SEC-43, NFR-SEC-46, NFR-SEC-56, NFR-SEC-65 (in part),
NFR-SEC-76"""
import contextlib
import json
import random
import select
import socket
import ssl
import subprocess
import threading
import time

import pytest
from edge_world import (ALERT_DENIED, EDGE, GATE, UP, Upstream, World, all_cut, client_hello, connect, denied, dns_query, dns_reply,
                        get, open_many, recv_all, recv_exactly, reply, ulid, wait_for)
from stack import program


@pytest.fixture(scope="module")
def outside():
    with Upstream() as u:
        yield u


@pytest.fixture(scope="module")
def world(outside):
    with World(outside) as w:
        yield w


@pytest.fixture(scope="module")
def guest(world):
    with world.guest() as g:
        yield g


@pytest.fixture(autouse=True)
def alive(request):
    yield
    assert "egressd" in request.getfixturevalue("world").stack.alive()


# ---- tunnels and rebinding -------------------------------------------------------------------------------------------

def test_no_name_of_a_guest_leaves_the_host(world):
    with world.guest() as g:
        secret = "".join(random.choices("0123456789abcdef", k=40))
        for name in (f"{secret}.evil.example", f"{secret}.allowed.example", f"{secret}.{secret}.tunnel.example", f"xn--{secret}"):
            for qtype in (1, 16, 28, 5, 15, 65):
                assert g.query(name, qtype)[0] == 3
            assert g.query(name, tcp=True)[0] == 3
        # An allowed name is not resolved either before it is connected to; a wildcard's labels stay at home until then.
        before = len(world.upstream.queries())
        assert g.query(f"{secret}.wild.example")[0] == 0
        assert g.query("allowed.example")[0] == 0
        time.sleep(0.2)  # the resolver's log: there is no event to wait for when nothing may happen
        seen = world.upstream.queries()
        assert len(seen) == before and not any(secret in q for q in seen)


def test_every_name_that_leaves_is_on_the_trail(world):
    """More names below a wildcard than denials have events, and each resolves to an address that is refused."""
    world.upstream.control("local_zone", "many.wild.example.", "redirect")
    world.upstream.control("local_data", "many.wild.example. 60 IN A 127.0.0.1")
    with world.guest() as guest:
        for i in range(200):
            with connect(guest, b"secret%d.many.wild.example:443" % i) as s:
                denied(s, "address_not_allowed")
        left = {q for q in world.upstream.queries() if q.endswith("many.wild.example")}
        recorded = {e["resource"] for e in world.events(action="dns.resolve", session_id=guest.session)}
        assert len(left) == 200 and left == recorded


def test_rebinding_is_checked_at_every_dial(guest):
    world = guest.world
    world.upstream.point("rebind.example", 0, UP)
    address = guest.lookup("rebind.example")
    with guest.connect(address, 80) as s:
        assert get(s, "rebind.example")[0] == 200
    for inside in ("127.0.0.1", "169.254.169.254", GATE):
        world.upstream.point("rebind.example", 0, inside)
        with guest.connect(address, 80) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: rebind.example\r\n\r\n")
            denied(s, "address_not_allowed")
    world.upstream.point("rebind.example", 0, UP)
    with guest.connect(address, 80) as s:
        assert get(s, "rebind.example")[0] == 200


def test_rebinding_between_check_and_dial(world):
    """The name flips as fast as the resolver allows while connections are made; a trap on loopback hears nothing, and what
    is dialled is what was recorded as checked."""
    trap = socket.create_server(("127.0.0.1", 80))
    stop, up = threading.Event(), world.upstream

    def flip():
        while not stop.is_set():
            up.point("rebind.example", 0, "127.0.0.1")
            up.point("rebind.example", 0, UP)

    t = threading.Thread(target=flip)
    t.start()
    answers = {"200": 0, "403": 0, "502": 0}
    try:
        # A guest of its own: hundreds of refusals use its session's events up.
        with world.guest() as guest:
            address = guest.lookup("rebind.example")
            began = time.monotonic()
            while (took := time.monotonic() - began) < 4 or (took < 60 and not (answers["200"] and answers["403"])):
                with guest.connect(address, 80) as s:
                    status, _, body = get(s, "rebind.example")
                    answers[str(status)] += 1
                    assert status != 200 or json.loads(body)["local"] == UP
    finally:
        stop.set()
        t.join()
        up.point("rebind.example", 0, UP)
    assert not select.select([trap], [], [], 0)[0]
    trap.close()
    assert answers["200"] and answers["403"], answers
    for e in world.events(action="net.connect", resource="rebind.example:80"):
        assert e["unmapped"]["addresses"] == [f"{UP}:80"]


# ---- names in the protocol -------------------------------------------------------------------------------------------

def test_sni_of_another_name(guest):
    for hello in (client_hello("other.example"), client_hello(None)):
        with guest.to("allowed.example", 443) as s:
            s.sendall(hello)
            assert recv_all(s) == (ALERT_DENIED, False)
    event = guest.world.events(action="net.deny", resource="allowed.example:443")
    assert {e["unmapped"]["why"] for e in event} >= {'the server name is "other.example"', "the ClientHello has no server name"}


def test_sni_is_checked_on_other_ports_and_in_tunnels(guest):
    with guest.to("allowed.example", 8443) as s:
        s.sendall(client_hello("other.example"))
        assert recv_all(s) == (ALERT_DENIED, False)
    with connect(guest, b"allowed.example:443") as s:
        assert reply(s)[0] == 200
        s.sendall(client_hello("other.example"))
        assert recv_all(s) == (ALERT_DENIED, False)


def test_sni_after_the_server_was_waited_for(guest):
    """Silence makes the edge dial a port where a server may speak first; the guest's first bytes are checked all the same."""
    with guest.to("allowed.example", 8443) as s:
        wait_for(lambda: guest.world.events(action="net.connect", session_id=guest.session, resource="allowed.example:8443"))
        s.sendall(client_hello("other.example"))
        assert recv_all(s) == (ALERT_DENIED, False)
    with guest.to("allowed.example", 7000) as s:
        time.sleep(0.4)
        s.sendall(b"GET / HTTP/1.1\r\n")
        s.sendall(b"Host: other.example\r\n\r\n")
        denied(s, "host_mismatch")


def test_hello_byte_by_byte(guest):
    with guest.to("allowed.example", 443) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for b in client_hello("allowed.example"):
            s.sendall(bytes([b]))
        assert recv_exactly(s, 3) == b"\x16\x03\x03"
    with guest.to("allowed.example", 443) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            for b in client_hello("other.example"):
                s.sendall(bytes([b]))
        assert recv_all(s)[0] == ALERT_DENIED


def test_hello_split_over_records(guest):
    for name, good in (("allowed.example", True), ("other.example", False)):
        hello = client_hello(name)[5:]
        records = b"".join(b"\x16\x03\x01" + len(hello[i:i + 40]).to_bytes(2, "big") + hello[i:i + 40] for i in range(0, len(hello), 40))
        with guest.to("allowed.example", 443) as s:
            s.sendall(records)
            assert recv_exactly(s, 1) == (b"\x16" if good else b"\x15")


@pytest.mark.parametrize("disguise", [lambda h: b"\x14\x03\x03\0\1\1" + h, lambda h: b"\x15\x03\x01\0\2\1\x5a" + h,
                                      lambda h: b"\x16\x02\x01" + h[3:], lambda h: b"\x80\x1c\1\x03\x03\0\3\0\0\0\x10\0\0\x2f" + h[:16]],
                         ids=["change_cipher_spec", "alert", "version", "sslv2"])
def test_hello_in_disguise(world, disguise):
    """What some TLS servers take for a hello, or skip before one, on a port where other protocols pass."""
    with world.guest() as guest:
        for name in ("other.example", "allowed.example"):
            hello = disguise(client_hello(name))
            with guest.to("allowed.example", 8443) as s:
                s.sendall(hello)
                assert recv_all(s)[0][:1] in (b"", b"\x15")
            with connect(guest, b"allowed.example:8443", hello) as s:
                assert reply(s)[0] == 200 and recv_all(s)[0][:1] in (b"", b"\x15")
        refused = world.events(action="net.deny", session_id=guest.session, resource="allowed.example:8443")
        assert len(refused) == 4 and all(e["unmapped"]["why"].startswith("malformed ClientHello") for e in refused)


def test_another_name_after_a_hello_retry(world):
    ctx = ssl.create_default_context()
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ctx.wrap_bio(incoming, outgoing, server_hostname="allowed.example")
    with world.guest() as guest, guest.to("allowed.example", 8444) as s:
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        s.sendall(outgoing.read())
        incoming.write(answer := s.recv(65536))
        assert answer[11:15] == b"\xcf\x21\xad\x74"
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        second = outgoing.read()
        assert b"allowed.example" in second
        s.sendall(second.replace(b"allowed.example", b"another.example"))
        assert recv_all(s) == (b"", True)
        assert world.events(action="net.deny", session_id=guest.session)[0]["unmapped"]["why"] == 'the server name is "another.example"'


def test_not_tls_on_443_and_not_http_on_80(guest):
    for port in (80, 443):
        with guest.to("allowed.example", port) as s:
            s.sendall(b"SSH-2.0-client\r\n")
            denied(s, "protocol_error", 400)
        with guest.to("allowed.example", port) as s:
            s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            denied(s, "protocol_error", 400)


@pytest.mark.parametrize("host", ["other.example", "evil.example", "allowed.example:8080", "allowed.example, other.example", "", "127.0.0.1",
                                  "allowed.example@other.example", "0x7f000001", "allowed.example\r\nHost: other.example"])
def test_host_of_another_name(guest, host):
    with guest.to("allowed.example", 80) as s:
        s.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        denied(s, "host_mismatch")


def test_host_of_a_later_request(guest):
    with guest.to("allowed.example", 80) as s:
        assert get(s, "allowed.example")[0] == 200
        s.sendall(b"GET /second HTTP/1.1\r\nHost: other.example\r\n\r\n")
        assert recv_all(s) == (b"", True)
    with guest.to("allowed.example", 80) as s:
        s.sendall(b"GET /a HTTP/1.1\r\nHost: allowed.example\r\n\r\nGET /b HTTP/1.1\r\nHost: other.example\r\n\r\n")
        data, reset = recv_all(s)
        assert b"GET /b" not in data


def test_smuggling(guest):
    for bad in (b"POST / HTTP/1.1\r\nHost: allowed.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: allowed.example\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: allowed.example\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost : other.example\r\nHost: allowed.example\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: allowed.example\r\n Host: other.example\r\n\r\n",
                b"GET / HTTP/1.1\nHost: allowed.example\n\n",
                b"\r\nGET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n"):
        with guest.to("allowed.example", 80) as s:
            s.sendall(bad)
            denied(s, "protocol_error", 400)


# ---- the explicit proxy ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("target", ["127.0.0.1:80", "127.1:80", "2130706433:80", "0x7f000001:80", "0177.0.0.1:80", "017700000001:80",
                                    "[::1]:80", "[::ffff:127.0.0.1]:80", "[64:ff9b::7f00:1]:80", "[fe80::1%25lo]:80", "169.254.169.254:80",
                                    "0xa9fea9fe:80", "0.0.0.0:80", "100.64.0.1:80", UP + ":80", "::1:80"])
def test_connect_to_addresses(guest, target):
    with connect(guest, target.encode()) as s:
        denied(s, "address_not_named")
    with guest.connect(EDGE, 3128) as s:
        s.sendall(f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        denied(s, "address_not_named")


@pytest.mark.parametrize("target,reason,status", [
    ("localhost:80", "destination_not_allowed", 403), ("evil.example:443", "destination_not_allowed", 403),
    ("allowed.example:25", "port_not_allowed", 403), ("loop.example:80", "address_not_allowed", 403),
    ("meta.example:80", "address_not_allowed", 403), ("self.example:80", "address_not_allowed", 403),
    ("allowed.example@evil.example:443", "protocol_error", 400), ("evil.example:443@allowed.example:443", "protocol_error", 400),
    ("allowed.example", "protocol_error", 400), ("allowed.example:0", "protocol_error", 400),
    ("allowed.example:65616", "protocol_error", 400), ("allowed.example:443:80", "address_not_named", 403),
    ("allowed.example%2eevil.example:80", "protocol_error", 400), ("b\u00fccher.example:80", "protocol_error", 400),
    ("http://allowed.example:80", "address_not_named", 403), ("*:80", "protocol_error", 400), ("allowed..example:80", "protocol_error", 400),
])
def test_connect_tricks(guest, target, reason, status):
    with connect(guest, target.encode()) as s:
        denied(s, reason, status)


@pytest.mark.parametrize("request_line,reason,status", [
    ("GET http://allowed.example@evil.example/", "protocol_error", 400), ("GET http://evil.example\\@allowed.example/", "protocol_error", 400),
    ("GET http://evil.example#@allowed.example/", "protocol_error", 400), ("GET https://allowed.example/", "protocol_error", 400),
    ("GET ftp://allowed.example/", "protocol_error", 400), ("GET file:///etc/passwd", "protocol_error", 400),
    ("GET /", "address_not_named", 403), ("GET http://evil.example/", "destination_not_allowed", 403),
    ("GET http://loop.example/", "host_mismatch", 403),
])
def test_proxy_tricks(guest, request_line, reason, status):
    with guest.connect(EDGE, 3128) as s:
        s.sendall(f"{request_line} HTTP/1.1\r\nHost: allowed.example\r\n\r\n".encode("latin-1"))
        denied(s, reason, status)


def test_no_second_request_through_the_proxy(guest):
    with guest.connect(EDGE, 3128) as s:
        s.sendall(b"GET http://allowed.example/1 HTTP/1.1\r\nHost: allowed.example\r\n\r\n"
                  b"GET http://allowed.example/2 HTTP/1.1\r\nHost: other.example\r\n\r\n")
        data, _ = recv_all(s)
        assert data.count(b"HTTP/1.1 200") == 1 and b"/2" not in data


def test_no_ipv6_way_out(guest):
    s = None
    with pytest.raises(OSError):
        s = guest.exec("curl", "-g", "-s", "--max-time", "2", "http://[2a0e:30::2]/")
        raise OSError(s.returncode)
    assert s.returncode == 7 and not s.stdout


def test_the_edge_namespace_forwards_nothing(guest):
    for args in (("ping", "-c1", "-W1", UP), ("ping", "-c1", "-W1", GATE)):
        assert guest.exec("sh", "-c", f"command -v ping >/dev/null || exit 3; {' '.join(args)}").returncode != 0
    with guest.socket(socket.SOCK_DGRAM, 30) as s:  # a DNS server of the guest's choice is the edge's resolver, too
        s.sendto(dns_query("evil.example"), (UP, 53))
        assert dns_reply(s.recv(512))[0] == 3
    with guest.socket(socket.SOCK_DGRAM, 0.5) as s:
        s.sendto(b"x", (UP, 123))
        with pytest.raises(OSError):
            s.recv(10)


def test_addresses_mean_nothing_elsewhere(world, guest):
    address = guest.lookup("allowed.example")
    with world.guest() as other, other.connect(address, 80) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
        denied(s, "address_not_named")


# ---- slow, broken and many -------------------------------------------------------------------------------------------

def still_answers(guest):
    with contextlib.suppress(TimeoutError):  # over the rate for a moment
        return guest.query("allowed.example", timeout=0.3)[0] == 0


def test_garbage(world):
    rng = random.Random(5)
    with world.guest() as g:
        address = g.lookup("allowed.example")
        with g.socket(socket.SOCK_DGRAM) as s:
            for i in range(2000):
                base = bytearray(dns_query("allowed.example") if i % 2 else rng.randbytes(rng.randrange(0, 600)))
                for _ in range(rng.randrange(4)):
                    if base:
                        base[rng.randrange(len(base))] = rng.randrange(256)
                s.sendto(bytes(base), (EDGE, 53))
        for i in range(60):
            port = rng.choice([80, 443, 22, 7000, 8443])
            with g.connect(*((address, port) if i % 3 else (EDGE, 3128))) as s:
                head = rng.choice([b"", client_hello("allowed.example")[:rng.randrange(300)], b"GET / HTTP/1.1\r\n", b"CONNECT "])
                with contextlib.suppress(ConnectionError):
                    s.sendall(head + rng.randbytes(rng.randrange(20000)))
        for data in (b"\0", b"\0\0", b"\xff\xff" + b"x" * 100, b"\0\x05hello", b"\0\x0c" + bytes(12)):
            with g.connect(EDGE, 53) as s:
                s.sendall(data)
                s.shutdown(1)
                recv_all(s)
        wait_for(lambda: still_answers(g))


def test_lookups_are_rate_limited_and_shaped(world):
    with world.guest(caller="flooder") as g, world.guest(caller="quiet") as other:
        counter = 'ocu_egress_lookups_total{outcome="denied"}'
        before, began_at = world.metric(counter), time.monotonic()
        with g.socket(socket.SOCK_DGRAM, 0.2) as s:
            for i in range(3000):
                s.sendto(dns_query(f"x{i}.evil.example"), (EDGE, 53))
                if i % 500 == 0:
                    assert other.query("allowed.example")[0] == 0   # one datagram each: nothing of it is dropped
        still_answers(other)
        world.drop(g.session)   # from here on nothing of the flood is looked at any more
        denied_lookups = world.metric(counter) - before
        assert 0 < denied_lookups <= 210 + 100 * (time.monotonic() - began_at)
        took = time.monotonic() - began_at

        def recorded():
            full = len(world.events(action="dns.deny", session_id=g.session))
            assert full <= 70 + 16 * took
            return full + sum(e["unmapped"]["count"] for e in world.events(action="dns.denied", session_id=g.session))
        wait_for(lambda: recorded() == denied_lookups)


# ---- stopping --------------------------------------------------------------------------------------------------------

def test_drop_cuts_everything_at_once(world):
    g = world.guest()
    socks = open_many(g, 200)
    busy = g.to("allowed.example", 7002)
    busy.sendall(b"4096\n")
    assert busy.recv(1000)
    began = time.monotonic()
    answer = world.drop(g.session)
    all_cut(socks)
    print(f"cut {answer['connections']} connections in {(time.monotonic() - began) * 1e3:.1f} ms")
    assert answer["connections"] == 201
    with pytest.raises(OSError):
        g.connect(EDGE, 3128, 1)
    with pytest.raises(OSError):
        g.query("allowed.example", timeout=0.3)
    assert world.drop(g.session).get("connections", 0) == 0
    assert g.hand_over()[0] == -10
    g.close()


# ---- who may speak ---------------------------------------------------------------------------------------------------

def test_only_sandboxd_hands_over(world):
    path = world.stack.dir / "run/handover/egressd.sock"
    path.parent.chmod(0o777)
    path.chmod(0o777)
    code = f"import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect({str(path)!r}); print(s.recv(1) == b'')"
    p = subprocess.run(["setpriv", "--reuid", "58103", "--regid", "58103", "--clear-groups", "/usr/bin/python3", "-c", code],
                       capture_output=True, text=True, timeout=10)
    assert p.stdout.strip() == "True" or "reset" in p.stderr.lower(), p


@pytest.mark.parametrize("who", ["gateway", "sandboxd", "brokerd", "egressd"])
def test_only_operatord_registers(world, who):
    p = subprocess.run([program("ocu-rpc-probe"), "--pki", world.stack.etc / "pki", "--as", who, "--to", "tls+tcp://127.0.0.1:9501",
                        "--peer", "egressd", "--deadline", "3000", "edge.Register",
                        json.dumps({"session_id": "ses_" + ulid(), "caller": "x", "rung": "deny-all"})], capture_output=True, text=True, timeout=30)
    assert p.returncode == 1 and "error" in p.stdout


def test_rights_are_gone(world):
    status = open(f"/proc/{world.stack.proc['egressd'].pid}/status").read()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["58104"] * 4 and fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
    assert all(int(fields[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
