"""The edge when it is flooded, when sessions are stopped, and when the daemons around it end.
shows: NFR-SEC-01, NFR-SEC-04, NFR-SEC-46, NFR-SEC-56, NFR-SEC-72, NFR-REL-09, NFR-REL-11, NFR-REL-12"""
import contextlib
import json
import os
import signal
import socket
import threading
import time

import pytest
from edge_world import (Upstream, World, all_cut, client_hello, connect, denied, get, libc, open_many, recv_all, recv_exactly, reply, ulid,
                        wait_for)


@pytest.fixture(scope="module")
def outside():
    with Upstream() as u:
        yield u


@pytest.fixture
def fresh(outside):
    with World(outside) as w:
        yield w


def test_slow_heads_are_cut(outside):
    with World(outside, head_timeout="1500ms") as w, w.guest() as g:
        starts = {80: b"GET / HTTP/1.1\r\nHost: allowed.example\r\n", 443: client_hello("allowed.example")[:-1], 7000: b"POST /x", 8443: b"\x16"}
        for port, start in starts.items():
            began = time.monotonic()
            with g.to("allowed.example", port) as s:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    s.settimeout(0.1)
                    s.sendall(start)
                    while time.monotonic() - began < 30:  # one more byte before every deadline a naive timer would have
                        with contextlib.suppress(TimeoutError):
                            if not s.recv(4096):
                                break
                        s.sendall(b"x" if port == 80 else b"")
                assert time.monotonic() - began < 30, port   # the guest did not stop by itself
        # Keep-alive between requests is no slow head, and the middle of a body is not timed like one.
        with g.to("allowed.example", 80) as s:
            assert get(s, "allowed.example")[0] == 200
            time.sleep(2)
            s.sendall(b"PUT / HTTP/1.1\r\nHost: allowed.example\r\nContent-Length: 2\r\n\r\na")
            time.sleep(2)
            s.sendall(b"b")
            assert reply(s)[0] == 200
            s.sendall(b"GET / HTTP/1.1\r\nHo")
            recv_all(s)   # it ends


def test_idle_connections_are_cut(outside):
    with World(outside, idle_timeout="6s") as w, w.guest() as g, g.to("allowed.example", 7000) as s:
        for _ in range(9):   # longer than the limit in all, never as long at once
            s.sendall(b"\0")
            assert recv_exactly(s, 1)
            time.sleep(1)
        assert recv_all(s) == (b"", True)
        assert wait_for(lambda: w.events(action="net.close", session_id=g.session))[0]["unmapped"]["why"] == "idle"


def test_a_flood_of_connections_costs_its_session_only(outside):
    """10 000 connections of one session against its limit, while another one works."""
    with World(outside, session_connections="200") as w, w.guest(caller="flooder") as bad, w.guest(caller="quiet") as good:
        address = bad.lookup("allowed.example")
        good.lookup("allowed.example")

        def measure(n):
            times = []
            for _ in range(n):
                began = time.monotonic()
                with good.to("allowed.example", 80) as s:
                    assert get(s, "allowed.example")[0] == 200
                times.append(time.monotonic() - began)
            return sorted(times)

        calm = measure(100)
        stop, made = threading.Event(), [0]

        def flood():
            held = []
            while not stop.is_set() and made[0] < 10000:
                s = socket.socket()
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError, OSError):
                    s.connect((address, 7000))
                held.append(s)
                made[0] += 1
                if len(held) > 1000:
                    held.pop(0).close()
            for s in held:
                s.close()

        t = threading.Thread(target=inside(bad, flood))
        t.start()
        busy = measure(100)
        wait_for(lambda: made[0] >= 10000, 60, "10 000 connections")
        most = max(r.get("connections", 0) for r in w.list()["sessions"] if r["session_id"] == bad.session)
        stop.set()
        t.join()
        print(f"calm p50 {calm[50] * 1e3:.1f} ms p99 {calm[98] * 1e3:.1f} ms, flooded p50 {busy[50] * 1e3:.1f} ms p99 {busy[98] * 1e3:.1f} ms")
        assert most <= 200
        assert w.metric('ocu_egress_denied_total{reason="connection_limit"}') > 200
        w.drop(bad.session)
        wait_for(lambda: w.events(action="net.denied", session_id=bad.session))
        own = [e for e in w.events(action="net.deny", session_id=bad.session) if e.get("reason_code", "connection_limit")]
        assert len(own) < 1000


def test_connections_over_time_are_bounded(outside):
    """Each is on the trail: a guest that opens one after the other must not be able to fill it."""
    with World(outside, session_connects="5") as w, w.guest(caller="flooder") as bad, w.guest(caller="quiet") as good:
        began = time.monotonic()
        for served in range(1, 71):     # none is refused
            with bad.to("allowed.example", 80) as s:
                assert get(s, "allowed.example")[0] == 200
            assert served <= 51 + 5 * (time.monotonic() - began)
        assert len(w.events(action="net.connect", session_id=bad.session)) == 70
        assert w.metric("ocu_egress_pauses_total") > 0
        assert w.metric('ocu_egress_denied_total{reason="connection_limit"}') == 0
        with bad.to("allowed.example", 80) as waiting, good.to("allowed.example", 80) as s:
            assert get(s, "allowed.example")[0] == 200
            # What waits ends with its session.
            w.drop(bad.session)
            assert recv_all(waiting)[0] == b""


def inside(guest, fn):
    """fn in a thread that stays in the guest's namespace."""
    def work():
        fd = os.open(f"/run/netns/{guest.ns}", os.O_RDONLY)
        assert libc.setns(fd, 0x40000000) == 0
        os.close(fd)
        fn()

    return work


# ---- stopping --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["session", "caller"])
def test_the_denylist_cuts(fresh, how):
    g, other = fresh.guest(caller="mallory"), fresh.guest(caller="bob")
    socks, kept = open_many(g, 20), open_many(other, 2)
    if how == "caller":
        for _ in range(3):
            socks += open_many(fresh.guest(caller="mallory"), 5)
    fresh.say(f"deny 1 {g.session}" if how == "session" else "deny 2 mallory")
    all_cut(socks)
    assert fresh.register(g.session, caller="mallory")["error"]["reason"] in ("session_denylisted", "caller_denylisted")
    assert fresh.register("ses_" + ulid(), caller="mallory").get("error", {}).get("reason") == (None if how == "session" else "caller_denylisted")
    for s in kept:
        s.sendall(b"\0")
        assert recv_exactly(s, 1)


def test_a_lost_denylist_message_costs_seconds(fresh):
    g = fresh.guest()
    socks = open_many(g, 3)
    fresh.say(f"hide 1 {g.session}")
    all_cut(socks)


# ---- daemons that die ------------------------------------------------------------------------------------------------

def test_no_audit_no_connection(fresh):
    g = fresh.guest()
    kept = open_many(g, 1)[0]
    other = g.lookup("other.example") if g.query("other.example")[0] == 0 else None
    fresh.stack.kill("auditd")
    with g.to("allowed.example", 80, 20) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
        denied(s, "audit_unavailable", 503)
    with connect(g, b"secret.wild.example:443") as s:
        denied(s, "audit_unavailable", 503)
    assert not any("secret" in q for q in fresh.upstream.queries())
    rcode, addresses, _, _ = g.query("six.example", timeout=10)
    assert (rcode, addresses) == (2, []) and other is None
    assert "error" in fresh.register("ses_" + ulid())
    kept.sendall(b"\0still")
    assert recv_exactly(kept, 6) == b"\0still"
    assert fresh.http("/readyz").startswith("HTTP/1.1 503")
    fresh.stack.start_one("auditd")
    fresh.wait_ready()
    with g.to("allowed.example", 80) as s:
        assert get(s, "allowed.example")[0] == 200
    assert not any("audit_unavailable" in json.dumps(e) for e in fresh.events(action="net.connect"))


def test_sigterm_ends_in_order(fresh):
    g = fresh.guest()
    socks = open_many(g, 10)
    p = fresh.stack.proc["egressd"]
    p.send_signal(signal.SIGTERM)
    assert p.wait(60) == 0
    for s in socks:
        assert recv_all(s)[0] == b""
    assert len(wait_for(lambda: fresh.events(action="net.close", session_id=g.session))) == 10
    fresh.stack.start_one("egressd")
    fresh.wait_ready()


def test_a_restart_forgets_and_takes_up_again(fresh):
    g = fresh.guest()
    boot = fresh.list()["boot_id"]
    fresh.stack.kill("egressd", signal.SIGKILL)
    fresh.stack.start_one("egressd")
    fresh.wait_ready()
    wait_for(lambda: fresh.list().get("boot_id", boot) != boot)
    assert g.hand_over()[0] == -10
    assert "error" not in fresh.register(g.session)
    assert g.hand_over() == (0, "")
    with g.to("allowed.example", 80) as s:
        assert get(s, "allowed.example")[0] == 200
