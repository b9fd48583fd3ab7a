"""The edge on its own: what is allowed works, what is not is refused with its reason, and every bit of it is on the trail.
shows: NFR-SEC-08, NFR-SEC-12, NFR-SEC-17, NFR-SEC-22, NFR-SEC-27, NFR-SEC-57, NFR-FLEX-15"""
import json
import ssl

import pytest
from edge_world import (ALERT_DENIED, ALERT_FAILED, EDGE, UP, Upstream, World, client_hello, connect, denied, get, recv_all, recv_exactly,
                        reply, wait_for)


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


def test_http_by_name(guest):
    with guest.to("allowed.example", 80) as s:
        for path in ("/one", "/two"):
            status, _, body = get(s, "allowed.example", path)
            assert status == 200 and json.loads(body)["head"].startswith(f"GET {path} ")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_by_name(guest, version):
    ctx = ssl.create_default_context(cafile=guest.world.upstream.dir / "cert.pem")
    ctx.maximum_version = version
    with guest.to("allowed.example", 443) as raw, ctx.wrap_socket(raw, server_hostname="allowed.example") as s:
        status, _, body = get(s, "allowed.example")
        assert status == 200 and json.loads(body)["local"] == UP


def test_tls_with_a_hello_retry(guest):
    ctx = ssl.create_default_context(cafile=guest.world.upstream.dir / "cert.pem")
    with guest.to("allowed.example", 8444) as raw, ctx.wrap_socket(raw, server_hostname="allowed.example") as s:
        assert get(s, "allowed.example")[0] == 200


def test_curl_by_name(guest):
    etc = guest.world.stack.dir / "resolv"
    etc.write_text(f"nameserver {EDGE}\n")
    p = guest.exec("unshare", "--mount", "sh", "-c",
                   f"mount --bind {etc} /etc/resolv.conf && curl -sk https://allowed.example/ http://allowed.example/x "
                   "&& ! curl -s --max-time 5 http://evil.example/; getent ahosts evil.example; getent ahosts allowed.example")
    assert p.returncode == 0 and p.stdout.count('"local"') == 2 and "198.18." in p.stdout


def test_ipv6_upstream(guest):
    with guest.to("six.example", 80) as s:
        assert get(s, "six.example")[0] == 200


def test_wildcard(guest):
    with guest.to("a.wild.example", 80) as s:
        assert get(s, "a.wild.example")[0] == 200
    assert guest.query("wild.example")[0] == 3


def test_server_speaks_first(guest):
    with guest.to("allowed.example", 22) as s:
        assert recv_exactly(s, 14) == b"SSH-2.0-test\r\n"
        s.sendall(b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")  # no HTTP server: it spoke first
        assert recv_exactly(s, 39).startswith(b"GET /")


def test_any_protocol_on_its_port(guest):
    with guest.to("allowed.example", 7000) as s:
        s.sendall(b"\x01\x02\x03 hello\n")
        assert recv_exactly(s, 10) == b"\x01\x02\x03 hello\n"


def test_half_close_is_kept(guest):
    with guest.to("allowed.example", 7000) as s:
        s.sendall(b"\0data")
        s.shutdown(1)
        assert recv_all(s) == (b"\0data(end)", False)


@pytest.mark.parametrize("mib", [1, 64])
def test_bulk_both_ways(guest, mib):
    block = bytes(1 << 20)
    with guest.to("allowed.example", 7001, 60) as s:
        for _ in range(mib):
            s.sendall(block)
        s.shutdown(1)
        assert recv_all(s) == (b"%d" % (mib << 20), False)
    with guest.to("allowed.example", 7002, 60) as s:
        s.sendall(b"%d\n" % mib)
        n = 0
        while data := s.recv(1 << 20):
            n += len(data)
        assert n == mib << 20


def test_a_slow_reader_holds_little_memory(guest):
    """64 MiB are offered to a guest that does not read: they stay with the upstream."""
    pid = guest.world.stack.proc["egressd"].pid

    def rss():
        return next(int(x.split()[1]) for x in open(f"/proc/{pid}/status") if x.startswith("VmRSS"))

    before = rss()
    socks = [guest.to("allowed.example", 7002, 60) for _ in range(8)]
    for s in socks:
        s.sendall(b"64\n")
    wait_for(lambda: all(s.recv(1) for s in socks))
    assert rss() - before < 16 << 10
    for s in socks:
        s.close()


def test_chunked_and_pipelined_requests(guest):
    body = "".join(f"{len(x):x}\r\n{x}\r\n" for x in ("a" * 10, "b" * 5000, "c")) + "0\r\n\r\n"
    one = f"POST /p HTTP/1.1\r\nHost: allowed.example\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
    two = "PUT /q HTTP/1.1\r\nHost: allowed.example\r\nContent-Length: 3\r\n\r\nabc"
    with guest.to("allowed.example", 80) as s:
        s.sendall((one + two) .encode() * 3)
        lengths = [json.loads(reply(s)[2])["length"] for _ in range(6)]
    assert lengths == [5011, 3] * 3


def test_websocket(guest):
    with guest.to("allowed.example", 80) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: allowed.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert reply(s)[0] == 101
        s.sendall(b"\x81\x05hello GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert recv_exactly(s, 7) == b"\x81\x05hello"


def test_h2c_upgrade_is_taken_away(guest):
    with guest.to("allowed.example", 80) as s:
        status, _, body = get(s, "allowed.example", extra="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")
        assert status == 200 and "upgrade: h2c" not in json.loads(body)["head"].lower()


# ---- names -----------------------------------------------------------------------------------------------------------

def test_answers(guest):
    rcode, addresses, ede, ttl = guest.query("ALLOWED.example.")
    assert rcode == 0 and addresses[0].startswith("198.18.") and ede is None and ttl == 10
    assert guest.query("allowed.example")[1] == addresses
    assert guest.query("allowed.example", tcp=True)[1] == addresses
    for qtype in (28, 65, 64, 15, 16, 33, 255):
        assert guest.query("allowed.example", qtype)[:2] == (0, []), qtype


@pytest.mark.parametrize("name", ["evil.example", "allowed.example.evil.example", "xallowed.example", "example", "sub.allowed.example",
                                  "localhost", "198.18.0.1", "metadata.google.internal"])
def test_other_names_do_not_exist(guest, name):
    assert guest.query(name) == (3, [], (15, "destination_not_allowed"), None)
    assert guest.query(name, edns=False) == (3, [], None, None)
    assert guest.query(name, tcp=True)[0] == 3


def test_reverse_lookups_and_transfers_are_refused(guest):
    assert guest.query("1.0.18.198.in-addr.arpa", 12)[0] == 5
    assert guest.query("allowed.example", 12)[0] == 5
    assert guest.query("allowed.example", 252)[0] == 5


def test_missing_upstream_name(guest):
    """Allowed, but it does not resolve."""
    with guest.to("missing.example", 80) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: missing.example\r\n\r\n")
        denied(s, "resolve_failed", 502)
    with guest.to("missing.example", 443) as s:
        s.sendall(client_hello("missing.example"))
        assert recv_all(s) == (ALERT_FAILED, False)


def test_silent_resolver(guest):
    with guest.to("silent.example", 80) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: silent.example\r\n\r\n")
        denied(s, "resolve_failed", 502)


def test_closed_port(world):
    with world.guest(allow=[{"host": "closed.example", "ports": [80, 4444]}]) as g, g.to("closed.example", 4444) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: closed.example\r\n\r\n")
        denied(s, "connect_failed", 502)


# ---- the explicit proxy ----------------------------------------------------------------------------------------------

def test_connect(guest):
    with connect(guest, b"allowed.example:443") as raw:
        assert reply(raw)[0] == 200
        ctx = ssl.create_default_context(cafile=guest.world.upstream.dir / "cert.pem")
        with ctx.wrap_socket(raw, server_hostname="allowed.example") as s:
            assert get(s, "allowed.example")[0] == 200


def test_connect_without_waiting(guest):
    hello = client_hello("allowed.example")
    with connect(guest, b"allowed.example:443", hello) as s:
        assert reply(s)[0] == 200 and recv_exactly(s, 3) == b"\x16\x03\x03"


def test_connect_to_a_server_that_speaks_first(guest):
    with connect(guest, b"allowed.example:22") as s:
        assert reply(s)[0] == 200 and recv_exactly(s, 14) == b"SSH-2.0-test\r\n"


def test_absolute_requests(guest):
    with guest.connect(EDGE, 3128) as s:
        s.sendall(b"GET http://allowed.example/a?b HTTP/1.1\r\nHost: allowed.example\r\nProxy-Authorization: Basic c2VjcmV0\r\n\r\n")
        status, _, body = reply(s)
        head = json.loads(body)["head"].lower()
        assert status == 200 and head.startswith("get /a?b http/1.1\r\n") and "proxy-" not in head and "connection: close" in head
        assert recv_all(s) == (b"", False)


def test_curl_through_the_proxy(guest):
    p = guest.exec("curl", "-sk", "--proxy", f"http://{EDGE}:8888", "https://allowed.example/", "http://allowed.example/",
                   "http://allowed.example/again")
    assert p.returncode == 0 and p.stdout.count('"local"') == 3
    p = guest.exec("curl", "-si", "--proxy", f"http://{EDGE}:8888", "http://evil.example/")
    assert "403" in p.stdout.split("\n")[0] and "x-deny-reason: destination_not_allowed" in p.stdout


# ---- refusals --------------------------------------------------------------------------------------------------------

def test_rung_deny_all(world):
    with world.guest(rung="deny-all") as g:
        assert g.query("allowed.example") == (3, [], (15, "egress_deny_all"), None)
        for address, port in (("198.18.0.1", 80), ("1.1.1.1", 80), (EDGE, 3128)):
            with g.connect(address, port) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
                denied(s, "egress_deny_all")


@pytest.mark.parametrize("address", ["1.1.1.1", UP, "169.254.169.254", "10.0.0.1", "198.18.200.200", "255.255.255.254"])
def test_raw_addresses(guest, address):
    with guest.connect(address, 80) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
        denied(s, "address_not_named")
    hello = client_hello("allowed.example")   # takes a while to make, and a refused guest has a second
    with guest.connect(address, 443) as s:
        s.sendall(hello)
        assert recv_all(s) == (ALERT_DENIED, False)
    with guest.connect(address, 9999) as s:
        assert recv_all(s) == (b"", True)  # nothing said: a reset


def test_ports(guest):
    with guest.to("allowed.example", 81) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
        denied(s, "port_not_allowed")
    with guest.to("loop.example", 22) as s:
        assert recv_all(s) == (b"", True)


@pytest.mark.parametrize("name", ["loop.example", "meta.example", "rfc1918.example", "mapped.example", "nat64.example", "ula.example",
                                  "mixed.example", "self.example"])
def test_names_that_point_inside(guest, name):
    with guest.to(name, 80) as s:
        s.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        denied(s, "address_not_allowed")
    event = guest.world.events(action="net.deny", resource=f"{name}:80")[-1]
    assert event["outcome"] == "denied" and event["session_id"] == guest.session and event["actor_id"] == "alice"


# ---- registering and handing over ------------------------------------------------------------------------------------

def test_other_rungs_are_refused(world):
    for rung in ("bump", "sds", ""):
        error = world.register("ses_" + "0" * 26, rung=rung)["error"]
        assert error["reason"] == "unsupported" and "deny-all, passthrough" in error["text"]


@pytest.mark.parametrize("bad", [{"session": "../../x"}, {"session": ""}, {"caller": ""}, {"caller": "c" * 257},
                                 {"allow": [{"host": "*"}]}, {"allow": [{"host": "127.0.0.1"}]}, {"allow": [{"host": "a.example", "ports": [0]}]},
                                 {"allow": [{"host": f"h{i}.example"} for i in range(1025)]}])
def test_bad_registrations_are_refused(world, bad):
    def known():
        return [s["session_id"] for s in world.list().get("sessions") or []]
    before = known()
    assert "error" in world.register(**{"session": "ses_" + "1" * 26, **bad})
    assert known() == before


def test_unregistered_handovers_are_refused(world):
    with world.guest(register=False, hand=False) as g:
        code, text = g.hand_over()
        assert code == -10 and text == "not found"


def test_wrong_descriptors_are_refused(world):
    with world.guest(hand=False) as g:
        socks = g.sockets()
        fds = [s.fileno() for s in socks]
        for wrong in (fds[:2], [fds[1], fds[0], fds[2]], [fds[0], fds[2], fds[1]], fds + [fds[0]], []):
            assert world.handover(g.session, wrong)[0] == -5
        assert world.handover(g.session, fds, kind=1)[0] == -5
        assert world.handover(g.session, fds)[0] == 0
        for s in socks:
            s.close()
        assert g.query("allowed.example")[0] == 0


def test_handing_over_again_replaces(world):
    with world.guest() as g, g.to("allowed.example", 7000) as old:
        assert g.hand_over() == (0, "")
        with g.to("allowed.example", 80) as s:
            assert get(s, "allowed.example")[0] == 200
        old.sendall(b"\0still")
        assert recv_exactly(old, 6) == b"\0still"


def test_listing(world):
    with world.guest(hand=False) as g:
        def row():
            return next(r for r in world.list()["sessions"] if r["session_id"] == g.session)

        assert not row().get("listening")
        boot = world.list()["boot_id"]
        assert g.hand_over()[0] == 0 and row()["listening"]
        with g.to("allowed.example", 7000):
            wait_for(lambda: row()["connections"] == 1)
        wait_for(lambda: row().get("connections", 0) == 0)
        assert world.list()["boot_id"] == boot


def test_a_new_policy_replaces_the_old(world):
    with world.guest() as g, g.to("allowed.example", 7000) as cut, g.to("allowed.example", 22) as kept:
        cut.sendall(b"\0x")
        assert recv_exactly(cut, 2) == b"\0x" and recv_exactly(kept, 14)
        world.register(g.session, allow=[{"host": "allowed.example", "ports": [22]}, {"host": "other.example"}])
        assert recv_all(cut) == (b"", True)
        kept.sendall(b"\0y")
        assert recv_exactly(kept, 2) == b"\0y"
        with g.to("other.example", 80) as s:
            assert get(s, "other.example")[0] == 200
        with g.to("allowed.example", 80) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
            denied(s, "port_not_allowed")
        assert "error" in world.register(g.session, caller="mallory")


# ---- evidence --------------------------------------------------------------------------------------------------------

def test_every_step_is_on_the_trail(world):
    with world.guest(caller="carol") as g:
        with g.to("allowed.example", 7000) as s:
            s.sendall(b"\0" * 1000)
            recv_exactly(s, 1000)
            s.shutdown(1)
            recv_all(s)
        with g.connect("9.9.9.9", 80) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            recv_all(s)
        g.query("evil.example")
        mine = {"session_id": g.session, "actor_id": "carol"}
        wait_for(lambda: world.events(action="net.close", **mine))
        # A dns.resolve is there when no other session has had the name resolved a moment ago.
        actions = [e["action"] for e in world.events(**mine) if e["action"] != "dns.resolve"]
        assert actions[:3] == ["edge.register", "dns.query", "net.connect"]
        assert sorted(actions[3:6]) == ["dns.deny", "net.close", "net.deny"]
        opened, closed = world.events(action="net.connect", **mine)[0], world.events(action="net.close", **mine)[0]
        assert opened["trace_id"] == closed["trace_id"] and opened["resource"] == "allowed.example:7000"
        assert opened["class_uid"] == 4001 and opened["unmapped"]["addresses"] == [f"{UP}:7000"]
        assert (closed["unmapped"]["bytes_out"], closed["unmapped"]["bytes_in"]) == (1000, 1005)
        refused = world.events(action="net.deny", **mine)[0]
        assert refused["resource"] == "9.9.9.9:80" and refused["outcome"] == "denied"
        assert world.events(action="dns.deny", **mine)[0]["class_uid"] == 4003
    wait_for(lambda: world.events(action="edge.drop", session_id=g.session))


def test_what_name_servers_are_asked_is_on_the_trail(world):
    world.upstream.control("local_data", f"kept.wild.example. 60 IN A {UP}")
    with world.guest() as g:
        for name, times in (("rebind.example", 2), ("kept.wild.example", 1)):   # TTL 0, and TTL 60
            for _ in range(2):
                with g.to(name, 80) as s:
                    assert get(s, name)[0] == 200
            resolved = world.events(action="dns.resolve", session_id=g.session, resource=name)
            assert len(resolved) == times
            opened = world.events(action="net.connect", session_id=g.session, resource=f"{name}:80")
            assert [e["trace_id"] for e in resolved] == [e["trace_id"] for e in opened[:times]]
            assert resolved[0]["class_uid"] == 4003 and resolved[0]["unmapped"] == {"via": "redirect", "port": 80}
        actions = [e["action"] for e in world.events(session_id=g.session, resource="rebind.example")]
        assert actions == ["dns.query", "dns.resolve", "dns.resolve"]


def test_tripwire_counters(world):
    names = ["ocu_egress_bytes_total{direction=\"out\"}", "ocu_egress_bytes_total{direction=\"in\"}", "ocu_egress_destinations_total",
             "ocu_egress_connections_total{outcome=\"allowed\"}"]
    before = [world.metric(n) for n in names]
    with world.guest() as g:
        for _ in range(2):
            with g.to("allowed.example", 7000) as s:
                s.sendall(b"\0" * 100)
                recv_exactly(s, 100)
                s.shutdown(1)
                recv_all(s)
    assert [world.metric(n) - b for n, b in zip(names, before)] == [200, 210, 1, 2]
    assert world.metric("ocu_egress_denied_total{reason=\"address_not_named\"}") > 0
