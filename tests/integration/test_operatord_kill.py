"""The kill switch, the time limits and what survives a crash: deployments that are stopped, flooded and broken.
shows: NFR-SEC-01, NFR-SEC-04, NFR-SEC-40, NFR-SEC-41, NFR-SEC-45, NFR-SEC-55, NFR-SEC-72, NFR-REL-01, NFR-REL-09"""
import concurrent.futures
import contextlib
import http.client
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from stack import McpError, Stack, eventually


def with_config(upstream, **operatord):
    config = {d: dict(v) for d, v in upstream.config.items()}
    config["operatord"] = {**config.get("operatord", {}), **operatord}
    return Stack(config)


def reason_of(f):
    try:
        f()
        return None
    except McpError as e:
        return e.data.get("reason")


def call_until_ended(m, seconds=100):
    """Runs a long command on its own thread; .result() is (reason, when it ended)."""
    out = []

    def main():
        reason = reason_of(lambda: m.call("bash_tool", command=f"touch /workspace/.on; sleep {seconds}"))
        out.append((reason, time.monotonic()))
    t = threading.Thread(target=main)
    t.start()

    def result(timeout=60):
        t.join(timeout)
        return out[0]
    return result


def state_of(stack, session):
    return stack.occ("session", "show", session, "--json")["state"]


def test_kill_all_while_every_one_is_busy(fresh):
    stack = fresh
    clients = [stack.mcp(chat=f"c{n}") for n in range(6)]
    for m in clients:
        m.bash("true")
    results = [call_until_ended(m) for m in clients]
    eventually(lambda: len(running("^sleep 100$")) >= 6)
    t0 = time.monotonic()
    said = stack.occ("kill", "--all", "--yes", "--reason", "a drill", "--json")
    assert said["stopped"] == said["sessions"] == said["egress_dropped"] == 6
    for result in results:
        reason, when = result()
        assert reason == "session_denylisted" and when - t0 < 60
    eventually(lambda: not stack.sessions())
    assert not running("^sleep 100$")
    assert len(stack.events(action="session.kill")) == 6 and len(stack.events(action="session.kill_all")) == 1
    # The conversation stays ended until an operator says otherwise; the caller may start another.
    assert reason_of(lambda: clients[0].bash("true")) == "session_denylisted"
    victim = stack.events(action="session.kill")[0]["session_id"]
    assert stack.mcp(chat="another").bash("echo new") == "new\n"
    stack.occ("deny", "lift", "session", victim)


def running(pattern):
    return subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()


def test_a_denied_caller_loses_the_sessions_at_once(fresh):
    stack = fresh
    token = stack.occ("token", "mint", "--caller", "mallory", "--json")["token"]
    m, other = stack.mcp(token=token), stack.mcp()
    m.bash("true")
    other.bash("true")
    result = call_until_ended(m)
    eventually(lambda: running("^sleep 100$"))
    t0 = time.monotonic()
    assert stack.occ("deny", "add", "caller", "mallory", "--reason", "gone bad", "--json")["stopped"] == 1
    reason, when = result()
    assert reason in ("session_denylisted", "caller_denylisted") and when - t0 < 60
    assert other.bash("echo untouched") == "untouched\n"
    assert "mallory" in stack.occ("deny", "list").stdout


class Crowd:
    """Floods the agent listener with requests, and the operator listener with requests and half-open connections."""

    def __init__(self, stack):
        self.stack, self.stop, self.requests = stack, False, 0
        self.threads = [threading.Thread(target=f) for f in [self.agent] * 3 + [self.operator] * 2]
        self.half = []

    def agent(self):
        while not self.stop:
            with contextlib.suppress(OSError, http.client.HTTPException):
                c = http.client.HTTPConnection("127.0.0.1", 8080, timeout=2)
                for _ in range(50):
                    c.request("POST", "/mcp", b"{}", {"Authorization": "Bearer x.y.z", "Content-Type": "application/json"})
                    c.getresponse().read()
                    self.requests += 1

    def operator(self):
        ctx = ssl.create_default_context(cafile=self.stack.etc / "pki/ca.pem")
        while not self.stop:
            with contextlib.suppress(OSError, http.client.HTTPException):
                c = http.client.HTTPSConnection("127.0.0.1", 9443, context=ctx, timeout=2)
                c.request("POST", "/v1/kill-all", b"{}", {"Authorization": "Bearer x.y.z"})
                c.getresponse().read()
                self.requests += 1

    def __enter__(self):
        for _ in range(300):
            with contextlib.suppress(OSError):
                self.half.append(socket.create_connection(("127.0.0.1", 9443), 1))
        for t in self.threads:
            t.start()
        eventually(lambda: self.requests > 200)
        return self

    def __exit__(self, *exc):
        self.stop = True
        for t in self.threads:
            t.join(60)
        for s in self.half:
            s.close()


def test_a_flood_on_both_listeners_does_not_delay_a_kill(fresh):
    stack = fresh
    m = stack.mcp()
    m.bash("true")
    [session] = stack.sessions()
    result = call_until_ended(m)
    eventually(lambda: running("^sleep 100$"))
    with Crowd(stack):
        t0 = time.monotonic()
        stack.occ("kill", session["session_id"])
        took = time.monotonic() - t0
        reason, when = result()
    assert reason == "session_denylisted" and took < 60 and when - t0 < 60, (took, when - t0)
    assert len(stack.alive()) == 6


def test_idle_sessions_end_and_busy_ones_do_not(upstream):
    with with_config(upstream, session_idle="15s", grant_ttl="1s") as stack:
        idle, busy = stack.mcp(chat="idle"), stack.mcp(chat="busy")
        idle.bash("true")
        busy.bash("true")
        by_age = sorted(stack.sessions(), key=lambda s: s["created"])
        end = time.monotonic() + 120
        while state_of(stack, by_age[0]["session_id"]) != "ended":
            assert time.monotonic() < end
            busy.bash("true")
        assert state_of(stack, by_age[1]["session_id"]) == "active"
        [event] = stack.events(action="session.expire")
        assert event["session_id"] == by_age[0]["session_id"] and event["unmapped"]["reason"] == "idle"


def test_a_grant_that_ends_on_the_way_is_renewed(upstream):
    with with_config(upstream, grant_ttl="1s") as stack:
        m = stack.mcp()
        m.bash("true")
        [session] = stack.sessions()
        stack.proc["sandboxd"].send_signal(signal.SIGSTOP)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(m.bash, "echo held")
            with pytest.raises(concurrent.futures.TimeoutError):
                call.result(2.5)  # longer than any grant it can have been sent with
            stack.proc["sandboxd"].send_signal(signal.SIGCONT)
            assert call.result(30) == "held\n"
        # sandboxd may not have seen that grant before: then it does not know whose it was.
        refused = stack.events(action="tool.call", outcome="denied")
        assert refused and {e["status_code"] for e in refused} == {"token_expired"}
        assert {e["session_id"] for e in refused} <= {session["session_id"], ""}


def test_a_cancellation_outlives_the_grant_of_its_call(upstream):
    with with_config(upstream, grant_ttl="1s") as stack:
        m, other = stack.mcp(chat="long"), stack.mcp(chat="long")
        m.bash("true")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(m.bash, "sleep 50; touch /workspace/alive")
            with pytest.raises(concurrent.futures.TimeoutError):
                call.result(3)
            assert other.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": m.id}})[0] == 202
            with pytest.raises(McpError) as e:
                call.result(20)
        assert e.value.data["reason"] == "cancelled"
        assert m.bash("ls -A /workspace") == ""
        assert len(stack.sessions()) == 1


def test_old_sessions_end_and_tokens_are_renewed(upstream):
    with with_config(upstream, session_max="20s", session_token_ttl="10s") as stack:
        m = stack.mcp()
        m.bash("true")
        [session] = stack.sessions()
        eventually(lambda: stack.events(action="session.token", session_id=session["session_id"]), timeout=60, every=0.2)
        while state_of(stack, session["session_id"]) == "active":
            reason_of(lambda: m.bash("true"))
        [event] = stack.events(action="session.expire")
        assert event["unmapped"]["reason"] == "age"


def test_without_auditd_no_operator_acts(fresh):
    stack = fresh
    stack.mcp().bash("true")
    [session] = stack.sessions()
    stack.kill("auditd")
    for args in (["kill", session["session_id"]], ["deny", "add", "caller", "x"], ["token", "mint", "--caller", "x"],
                 ["session", "destroy", session["session_id"]], ["session", "create", "--caller", "x"]):
        p = stack.occ(*args, check=False)
        assert p.returncode == 1 and "audit_unavailable" in p.stderr, (args, p)
    assert state_of(stack, session["session_id"]) == "active"
    assert stack.occ("deny", "list", "--json")["epoch"] == 0
    stack.start_one("auditd")
    eventually(lambda: stack.occ("kill", session["session_id"], check=False).returncode == 0)


def test_sessions_acknowledged_survive_a_crash(fresh):
    """SIGKILL at a moment of many creates: what a client was told of is there afterwards, with its files."""
    stack = fresh
    acknowledged, stop = {}, threading.Event()

    def create(worker):
        n = 0
        while not stop.is_set() and n < 3:
            chat = f"w{worker}-{n}"
            n += 1
            with contextlib.suppress(McpError, OSError):
                m = stack.mcp(chat=chat)
                m.bash(f"echo {chat} > /workspace/mine")
                acknowledged[chat] = True
    workers = [threading.Thread(target=create, args=(w,)) for w in range(4)]
    for t in workers:
        t.start()
    eventually(lambda: len(acknowledged) >= 3)
    stack.kill("operatord", signal.SIGKILL)
    kept = dict(acknowledged)
    stop.set()
    for t in workers:
        t.join(60)
    assert stack.occ("status", check=False).returncode == 3
    stack.start_one("operatord")
    eventually(stack.ready)
    for chat in kept:
        assert stack.mcp(chat=chat).bash("cat /workspace/mine") == chat + "\n"
    # Nothing half made is left over, and nothing twice.
    sandboxes = [s["session_id"] for s in stack.sessions() if s["state"] == "active"]
    assert len(sandboxes) == len(set(sandboxes)) and len(sandboxes) >= len(kept)


def test_sessions_whose_custodian_restarted(fresh):
    stack = fresh
    m = stack.mcp()
    m.bash("true")
    [session] = stack.sessions()
    stack.restart("brokerd")
    eventually(lambda: state_of(stack, session["session_id"]) == "ended", timeout=60)
    [event] = stack.events(action="session.lost")
    assert event["session_id"] == session["session_id"] and event["outcome"] != "success"
    m2 = stack.mcp()
    eventually(lambda: reason_of(lambda: m2.bash("true")) is None, timeout=60, every=0.2)
    [session] = [s for s in stack.sessions() if s["state"] == "active"]
    stack.restart("sandboxd")
    eventually(lambda: state_of(stack, session["session_id"]) == "ended", timeout=60)
    assert any(e["unmapped"]["reason"] == "sandbox_gone" for e in stack.events(action="session.lost"))


def test_a_client_that_goes_through_sessions_is_held_up(fresh):
    """Each session ends before the next: within every limit on live ones. The call is refused, and live sessions go on."""
    fresh.kill("operatord")
    fresh.config["operatord"]["starts_per_minute"] = "4"
    fresh.start_one("operatord")
    eventually(fresh.ready)
    live, refused = fresh.mcp(), None
    live.bash("true")
    for _ in range(12):
        m = fresh.mcp()
        try:
            m.bash("true")
        except McpError as e:
            refused = e
            break
        m.end()
    assert refused and refused.data["reason"] == "rate_limited"
    assert live.bash("echo goes on") == "goes on\n"
    eventually(lambda: [e for e in fresh.events(action="session.create") if e["outcome"] != "success"])


def test_ends_that_wait_for_a_peer_do_not_hold_up_the_stop(fresh):
    """Their sessions' files are gone and their sandboxd says nothing: the ends are left to the next start."""
    stack = fresh
    for i in range(10):
        stack.mcp(chat=f"chat-{i}").bash("true")
    stack.proc["sandboxd"].send_signal(signal.SIGSTOP)
    try:
        stack.restart("brokerd")
        eventually(lambda: any(s["state"] == "ending" for s in stack.sessions()))
        assert stack.kill("operatord", signal.SIGTERM) == 0
    finally:
        stack.proc["sandboxd"].send_signal(signal.SIGCONT)
    stack.start_one("operatord")
    eventually(lambda: stack.sessions() == [])
