"""Each daemon killed in the middle of calls, and disks that are full: bounded errors, nothing acknowledged that is not durable,
no other daemon down, recovery without a hand on it.
shows: NFR-REL-01, NFR-REL-03, NFR-REL-09, NFR-REL-11, NFR-REL-12, NFR-SEC-64, NFR-SEC-72, NFR-COST-07"""
import contextlib
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

import pytest
from stack import McpError, Stack, eventually, run


class Load:
    """A client that calls without pause and keeps what was acknowledged and what was refused."""

    def __init__(self, stack):
        self.stack, self.ok, self.errors, self.stop_asked = stack, [], [], False
        self.thread = threading.Thread(target=self.main)
        self.thread.start()

    def main(self):
        n, m = 0, None
        while not self.stop_asked:
            n += 1
            try:
                m = m or self.stack.mcp(timeout=60)
                m.call("bash_tool", command=f"echo {n}", description=f"load-{n}")
                self.ok.append(n)
            except McpError as e:
                assert len(str(e)) < 2048
                self.errors.append(e.data.get("reason"))
                m = None
            except OSError as e:
                self.errors.append(type(e).__name__)
                m = None
                time.sleep(0.01)

    def __enter__(self):
        eventually(lambda: len(self.ok) > 5)
        return self

    def __exit__(self, *exc):
        self.stop_asked = True
        self.thread.join(60)
        assert not self.thread.is_alive()


def works(stack):
    def attempt():
        try:
            return stack.mcp(timeout=60).bash("echo up") == "up\n"
        except (McpError, OSError, ValueError):
            return False
    eventually(attempt, timeout=60, every=0.1)


def acknowledged(stack):
    return {e["unmapped"].get("description") for e in stack.events(action="tool.call") if e["outcome"] == "success"}


@pytest.mark.parametrize("daemon", ["auditd", "operatord", "brokerd", "egressd", "sandboxd", "gateway"])
def test_killed_in_the_middle_of_calls(fresh, daemon):
    stack = fresh
    with Load(stack) as load:
        stack.kill(daemon)
        assert set(stack.alive()) == set(stack.proc) - {daemon}
        seen = len(load.ok)
        stack.start_one(daemon)
        works(stack)
        eventually(lambda: len(load.ok) > seen + 5, timeout=120)
    assert len(stack.alive()) == 6
    assert {f"load-{n}" for n in load.ok} <= acknowledged(stack)
    stack.occ("audit", "verify")


def test_without_auditd_nothing_is_done(fresh):
    stack = fresh
    m = stack.mcp()
    m.bash("true")
    stack.kill("auditd")
    eventually(lambda: not stack.ready(9193))   # sandboxd has noticed: what it began before would have been done, and not acknowledged
    with pytest.raises(McpError) as e:
        m.call("bash_tool", command="touch /workspace/unseen; touch /tmp/unseen")
    assert e.value.data["reason"] in ("audit_unavailable", "unavailable")
    stack.start_one("auditd")
    works(stack)
    eventually(lambda: quiet(lambda: "unseen" not in m.bash("ls /workspace /tmp")), every=0.2)


def quiet(f):
    try:
        return f()
    except McpError:
        return False


def leftovers(stack):
    mounts = [l for l in open("/proc/self/mounts") if str(stack.dir) in l and "fuse" in l]
    procs = subprocess.run(["pgrep", "-f", "ocu-guest-agent|guest-agent"], capture_output=True, text=True).stdout.split()
    return mounts, procs


def test_sandboxd_leaves_nothing_behind(fresh):
    stack = fresh
    for _ in range(3):
        stack.mcp().bash("(sleep 1000 &); true")
    assert leftovers(stack)[1]
    stack.kill("sandboxd")
    stack.start_one("sandboxd")
    eventually(lambda: leftovers(stack) == ([], []))
    works(stack)


def test_state_survives_operatord(fresh):
    stack = fresh
    m = stack.mcp()
    m.bash("echo kept > /workspace/kept")
    stack.occ("deny", "add", "caller", "nobody-else")
    before = stack.occ("deny", "list", "--json")
    stack.restart("operatord")
    works(stack)
    assert stack.occ("deny", "list", "--json") == before
    assert m.bash("cat /workspace/kept") == "kept\n"


def test_gateway_restart_keeps_sessions(fresh):
    stack = fresh
    m = stack.mcp()
    m.bash("echo kept > /workspace/kept")
    stack.restart("gateway", signal.SIGTERM)
    again = stack.mcp(initialize=False)
    again.session = m.session
    assert again.bash("cat /workspace/kept") == "kept\n"


def test_egress_recovers_for_live_sessions(fresh):
    stack = fresh
    m = stack.mcp()
    assert m.sh("curl -sS --max-time 8 http://allowed.example/")["exit_code"] == 0
    stack.kill("egressd")
    assert m.sh("curl -sS --max-time 4 http://allowed.example/")["exit_code"] != 0
    stack.start_one("egressd")
    eventually(lambda: m.sh("curl -sS --max-time 4 http://allowed.example/")["exit_code"] == 0, timeout=60, every=0.2)


@pytest.fixture
def small_disk():
    disk = pathlib.Path(tempfile.mkdtemp(prefix="ocu-disk-", dir="/var/tmp"))
    run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "none", disk])
    yield disk
    run(["umount", "-l", disk])
    disk.rmdir()


@pytest.mark.parametrize("daemon", ["auditd", "operatord", "brokerd"])
def test_full_disk(upstream, small_disk, daemon):
    stack = Stack({**upstream.config, daemon: {**upstream.config.get(daemon, {}), "state_dir": str(small_disk)}})
    with stack:
        m = stack.mcp(chat="one")
        m.bash("echo before > /workspace/before")
        filler = small_disk / "filler"
        with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 65536)
        refused = None
        for n in range(3000):
            try:
                r = stack.mcp(chat=f"full-{n % 4}").call("bash_tool", command=f"head -c 100000 /dev/urandom > /workspace/f{n}")
                if r["isError"] or r["structuredContent"]["exit_code"]:
                    refused = r
                    break
            except McpError as e:
                refused = e
                assert len(str(e)) < 2048
                break
        assert refused is not None
        assert len(stack.alive()) == 6
        filler.unlink()
        works(stack)
        stack.occ("audit", "verify", *(["--dir", small_disk / "auditd"] if daemon == "auditd" else []))


def test_kill_stops_a_call_under_load(fresh):
    stack = fresh
    m = stack.mcp()
    m.bash("true")
    [session] = stack.sessions()
    with Load(stack), Load(stack):
        result = []
        t = threading.Thread(target=lambda: result.append(expect_denied(m)))
        t.start()
        eventually(lambda: subprocess.run(["pgrep", "-f", "sleep 4321"], capture_output=True).returncode == 0)
        stack.occ("kill", session["session_id"])
        t.join(60)
        assert result == ["session_denylisted"]


def expect_denied(m):
    try:
        m.bash("sleep 4321")
        return "no error"
    except McpError as e:
        return e.data.get("reason")
