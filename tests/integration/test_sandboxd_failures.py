"""What ends around sandboxd, or in its middle: nothing is left behind, nothing is done unrecorded, the rest goes on.
shows: NFR-REL-01, NFR-REL-09, NFR-REL-11, NFR-REL-12, NFR-COST-07, NFR-SEC-01, NFR-SEC-64, NFR-SEC-65 (in part), NFR-SEC-72, NFR-SEC-45"""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

import pytest
from hung_files import HungFiles
from sandbox_world import CONTROL, RpcError, Sandbox, containers_left, control, finish, groups, parents_of, pids_of, popen, status_of
from stack import Stack, eventually, run
from test_sandboxd_hostile import AGENT


def fuse_connections():
    return set(os.listdir("/sys/fs/fuse/connections")) if os.path.isdir("/sys/fs/fuse/connections") else set()


def namespaces(kind):
    found = set()
    for link in pathlib.Path("/proc").glob(f"[0-9]*/ns/{kind}"):
        try:
            found.add(os.readlink(link))
        except OSError:
            pass
    return found


def test_nothing_is_left_after_a_kill(fresh):
    stack = fresh
    before = namespaces("pid"), namespaces("mnt"), namespaces("net")
    boxes = [Sandbox(stack) for _ in range(3)]
    for b in boxes:
        b.run("(setsid nohup sleep 6543 >/dev/null 2>&1 &); true")
    running = boxes[0].begin_run("sleep 60")
    pids = [p for b in boxes for p in b.pids()]
    assert len(pids) >= 6
    stack.kill("sandboxd")
    with pytest.raises((RpcError, AssertionError)):
        finish(running)
    # The agents' descriptor 0 ended with it, and so did they and all they looked after.
    eventually(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids))
    assert containers_left(stack)
    stack.start_one("sandboxd")
    assert containers_left(stack) == []
    swept = {e["resource"] for e in stack.events(action="sandbox.sweep")}
    assert {b._container for b in boxes if hasattr(b, "_container")} <= swept and len(swept) == 3
    mounts = pathlib.Path(f"/proc/{stack.proc['sandboxd'].pid}/mountinfo").read_text()
    assert "ocu-workspace" not in mounts and "ocu-scratch" not in mounts
    here = pathlib.Path("/proc/self/mountinfo").read_text()
    assert not [name for name in ("ocu-workspace", "ocu-scratch", "ocu-sandboxd") if name in here]
    again = Sandbox(stack)
    assert again.out("echo up") == "up\n"
    again.destroy()
    after = namespaces("pid"), namespaces("mnt"), namespaces("net")
    assert after[0] == before[0]
    # sandboxd's own mount namespace is another one now.
    assert len(after[1] - before[1]) <= 1


def test_nothing_is_left_after_kills_in_the_middle_of_starts_and_stops(fresh):
    stack = fresh
    stopped = threading.Event()

    def churn():
        while not stopped.is_set():
            try:
                s = Sandbox(stack)
                s.run("true")
                s.destroy()
            except (RpcError, AssertionError, ValueError):
                pass
    threads = [threading.Thread(target=churn) for _ in range(3)]
    for t in threads:
        t.start()
    for n in range(9):
        time.sleep(0.7 + 0.13 * (n % 5))
        stack.restart("sandboxd")
    stopped.set()
    for t in threads:
        t.join(60)
    assert len(stack.alive()) == 6
    # What belongs to a session that goes on is operatord's to end.
    live = {s["container_name"] for s in control(stack, "List")["sandboxes"] if s["running"]}
    eventually(lambda: set(containers_left(stack)) <= live | {s["container_name"] for s in control(stack, "List")["sandboxes"]},
               timeout=60)
    last = Sandbox(stack)
    assert last.out("echo up") == "up\n"
    stack.occ("audit", "verify")


def test_a_graceful_stop_takes_everything_along(fresh):
    stack = fresh
    boxes = [Sandbox(stack) for _ in range(4)]
    running = [b.begin_run("trap '' TERM; touch /tmp/order; sleep 60") for b in boxes]
    for b in boxes:
        eventually(lambda b=b: os.path.exists(f"/proc/{b.init()}/root/tmp/order"))
    t = time.monotonic()
    assert stack.kill("sandboxd", signal.SIGTERM) == 0
    assert time.monotonic() - t < 50   # and not: when the commands end by themselves
    assert parents_of(stack) == []
    for p in running:
        with pytest.raises((RpcError, AssertionError)):
            finish(p)
    stack.start_one("sandboxd")


def test_two_deployments_do_not_touch_each_other(fresh):
    """A second sandboxd on the same host, with the same names for everything but run_dir, comes and goes."""
    stack = fresh
    s = Sandbox(stack)
    s.run("(setsid nohup sleep 6543 >/dev/null 2>&1 &); true")
    other = stack.dir / "other-run"
    other.mkdir(mode=0o755)
    env = dict(stack.env_of("sandboxd"), OCU_SANDBOXD_RUN_DIR=str(other), OCU_SANDBOXD_EXEC_LISTEN="tls+tcp://127.0.0.1:9311",
               OCU_SANDBOXD_CONTROL_LISTEN="tls+tcp://127.0.0.1:9312", OCU_SANDBOXD_METRICS_LISTEN="")
    from stack import program
    for sig in (signal.SIGKILL, signal.SIGTERM):
        r, w = os.pipe()
        p = subprocess.Popen([program("ocu-sandboxd"), "--config", stack.etc / "sandboxd.yaml", "--ready-fd", str(w)],
                             env=env, pass_fds=[w], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(w)
        assert os.read(r, 1) == b"\n"
        os.close(r)
        p.send_signal(sig)
        p.wait(60)
    assert s.out("pgrep -c sleep").strip() == "1"


def test_files_that_are_lost_end_the_sandbox(fresh):
    stack = fresh
    s = Sandbox(stack)
    s.out("echo kept > /workspace/f")
    container = s.container
    stack.kill("brokerd")
    eventually(lambda: container not in containers_left(stack))
    with pytest.raises(RpcError) as e:
        s.run("true")
    assert e.value.reason in ("session_gone", "session_denylisted")
    stack.start_one("brokerd")
    again = eventually(lambda: made(stack), every=0.2)
    assert again.out("echo up > /workspace/f; cat /workspace/f") == "up\n"


def made(stack):
    try:
        return Sandbox(stack)
    except RpcError:
        return None


def test_a_brokerd_that_hangs_holds_up_nobodys_end(fresh):
    stack = fresh
    s, other = Sandbox(stack), Sandbox(stack)
    stack.proc["brokerd"].send_signal(signal.SIGSTOP)
    try:
        # Stuck in the kernel, where no signal reaches it.
        stuck = s.begin_run("ls -l /workspace; echo never", cwd="/")
        assert other.out("echo fine", cwd="/") == "fine\n"
        eventually(lambda: any("request_wait_answer" in wchan(p) for p in s.pids()))
        s.stop()
        assert [e["outcome"] for e in stack.events(session_id=s.id, action="sandbox.stopped")] == ["success"]
        assert s.container not in containers_left(stack)
        with pytest.raises(RpcError) as e:
            finish(stuck)
        assert e.value.reason == "session_gone"
    finally:
        stack.proc["brokerd"].send_signal(signal.SIGCONT)


def test_an_end_that_is_not_over_keeps_its_slot(upstream):
    """Something in the sandbox's group does not die: its place and its range of uids are nobody else's before it has."""
    config = {d: dict(v) for d, v in upstream.config.items()}
    config.setdefault("sandboxd", {})["max_sandboxes"] = "1"
    with HungFiles() as hung, Stack(config) as stack:
        s = Sandbox(stack)
        base, container = int(status_of(s.init())["Uid"].split()[0]), s.container
        pid = hung.stick()
        [group] = [g for g in groups() if g.name == container and (len(g.parts) == 6 or "pids" in g.parts[4].split(","))]
        (group / "cgroup.procs").write_text(str(pid))
        assert refused(s.stop) == "timeout"
        assert pids_of(container) == [pid]
        [end] = stack.events(session_id=s.id, action="sandbox.stopped")
        assert end["outcome"] == "failure" and end["unmapped"]["failed_step"] == "destroy_us"
        # It is said to be there still, lets nobody in, and is no less there for being stopped again.
        assert s.listed()["running"]
        assert refused(lambda: s.run("true")) in ("session_gone", "session_denylisted")
        assert refused(lambda: Sandbox(stack)) == "quota_exceeded"
        assert refused(s.stop) == "timeout" and s.listed()["running"]
        hung.release()
        # Ended again by sandboxd itself.
        eventually(lambda: container not in containers_left(stack), timeout=60)
        again = eventually(lambda: made(stack), every=0.2)
        assert int(status_of(again.init())["Uid"].split()[0]) == base
        again.destroy()


def wchan(pid):
    said = ""
    for what in ("wchan", "stack"):
        with contextlib.suppress(OSError):
            said += pathlib.Path(f"/proc/{pid}/{what}").read_text()
    return said


def test_an_egressd_that_comes_back_gets_the_edges_again(fresh):
    stack = fresh
    s = Sandbox(stack)
    probe = "curl -sS --max-time 4 -o /dev/null -w '%{http_code}' http://allowed.example/"
    assert s.out(probe) == "200"
    for _ in range(2):
        stack.restart("egressd")
        eventually(lambda: s.run(probe)["stdout"] == "200", timeout=60, every=0.2)
    assert len(stack.events(session_id=s.id, action="sandbox.edge")) >= 2


def test_without_a_trail_nothing_begins(fresh):
    stack = fresh
    s = Sandbox(stack)
    s.out("true")
    stack.kill("auditd")
    eventually(lambda: not stack.ready(9193))
    assert refused(lambda: s.run("touch /tmp/unseen")) == "audit_unavailable"
    assert not os.path.exists(f"/proc/{s.init()}/root/tmp/unseen")
    for call in (lambda: s.call("CreateFile", path="/tmp/unseen", content=""), lambda: s.call("Start", argv=["touch", "/tmp/unseen"])):
        assert refused(call) == "audit_unavailable"
    # Nor does a sandbox end: the order stands, and is carried out once it can be written down.
    assert refused(s.stop) == "audit_unavailable"
    assert s.pids() and not os.path.exists(f"/proc/{s.init()}/root/tmp/unseen")
    stack.start_one("auditd")
    eventually(lambda: refused(lambda: s.out("true")) is None, every=0.2)
    s.stop()


def test_while_the_trail_cannot_be_written_nothing_begins(upstream):
    """auditd is there and its disk is full. It goes on by itself once there is room."""
    disk = pathlib.Path(tempfile.mkdtemp(prefix="ocu-disk-", dir="/var/tmp"))
    run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=755", "none", disk])
    config = {d: dict(v) for d, v in upstream.config.items()}
    config.setdefault("auditd", {}).update(state_dir=str(disk), segment_size="1MiB", preallocate="0")
    try:
        with Stack(config) as stack:
            s = Sandbox(stack)
            s.out("true")
            ballast = disk / "ballast"
            subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4096"], capture_output=True)
            eventually(lambda: refused(lambda: s.run("true")) == "audit_unavailable", every=0.2)
            assert not stack.ready(9193)
            assert refused(lambda: s.run("touch /tmp/unseen")) == "audit_unavailable"
            for call in (lambda: s.call("CreateFile", path="/tmp/unseen", content=""), lambda: s.call("Start", argv=["touch", "/tmp/unseen"]),
                         lambda: s.call("Read", process_id=1)):
                assert refused(call) == "audit_unavailable"
            assert not os.path.exists(f"/proc/{s.init()}/root/tmp/unseen")
            ballast.unlink()
            eventually(lambda: refused(lambda: s.out("true")) is None, every=0.2)
            trail = b"".join(p.read_bytes() for p in (disk / "auditd").glob("0*.jsonl"))
            assert b'"trail.resumed"' in trail and b"unseen" not in trail
            s.stop()
    finally:
        run(["umount", "-l", disk])
        disk.rmdir()


def test_a_flood_of_calls_without_a_grant_leaves_the_trail_alone(fresh):
    """What a stolen gateway can send as fast as it likes is counted, and recorded as a sample."""
    s = Sandbox(fresh)
    before = len(fresh.events())
    for _ in range(200):
        with pytest.raises(RpcError):
            s.call("Run", grant="x", argv=["true"])
    got = fresh.events(action="tool.call", outcome="denied")
    assert 0 < len(got) < 150 and len(fresh.events()) - before < 150
    assert s.out("echo on") == "on\n"


def refused(call):
    try:
        call()
        return None
    except RpcError as e:
        return e.reason


def test_a_call_whose_record_is_lost_is_not_acknowledged(fresh):
    stack = fresh
    s = Sandbox(stack)
    running = s.begin_run("touch /tmp/order; until [ -e /tmp/go ]; do sleep .05; done; echo done")
    eventually(lambda: os.path.exists(f"/proc/{s.init()}/root/tmp/order"))
    stack.kill("auditd")
    pathlib.Path(f"/proc/{s.init()}/root/tmp/go").touch()
    with pytest.raises(RpcError) as e:
        finish(running)
    assert e.value.reason == "audit_unavailable"
    stack.start_one("auditd")
    stack.occ("audit", "verify")


def test_a_program_whose_start_is_not_recorded_does_not_go_on(fresh):
    stack = fresh
    s = Sandbox(stack)
    s.out("true")

    def runs():
        for pid in s.pids():
            with contextlib.suppress(OSError):
                if b"sleep\x007654" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    return True
        return False
    stack.proc["auditd"].send_signal(signal.SIGSTOP)
    try:
        started = s.begin("Start", argv=["/bin/sleep", "7654"])
        eventually(runs)
        with pytest.raises(RpcError) as e:
            finish(started)
        assert e.value.reason == "audit_unavailable"
        eventually(lambda: not runs())
    finally:
        stack.proc["auditd"].send_signal(signal.SIGCONT)
    eventually(lambda: refused(lambda: s.out("true")) is None, every=0.2)


def started(stack):
    """{outcome: starts of sandboxes}, as sandboxd counts them."""
    with urllib.request.urlopen("http://127.0.0.1:9193/metrics", timeout=10) as r:
        return dict(re.findall(r'^ocu_sandboxd_starts_total\{outcome="(\w+)"\} (\d+)', r.read().decode(), re.M))


def test_a_start_whose_turn_comes_too_late_is_not_made(fresh):
    """Every thread that starts sandboxes is held up by a trail that does not answer."""
    stack = fresh

    def begin(n, deadline):
        ulid = f"01J{n:023}"
        return popen(stack, "operatord", CONTROL, "sandboxd", "control.Start", {
            "session_id": f"ses_{ulid}", "container_name": f"ocu-{ulid}", "filesystem_id": f"fs_{ulid}", "caller": "alice"}, deadline)
    stack.proc["auditd"].send_signal(signal.SIGSTOP)
    try:
        busy = [begin(n, 60000) for n in range(4)]
        eventually(lambda: len(control(stack, "List")["sandboxes"]) == 4)
        late = begin(4, 2000)
        assert refused(lambda: finish(late)) == "timeout"
    finally:
        stack.proc["auditd"].send_signal(signal.SIGCONT)
    eventually(lambda: started(stack).get("late") == "1")
    for p in busy:
        refused(lambda p=p: finish(p))
    # One that is in time has its turn, and its end: brokerd knows nothing of it.
    assert refused(lambda: finish(begin(5, 60000))) == "not_found"
    made_of = {e["session_id"] for e in stack.events(action="sandbox.create")}
    assert f"ses_01J{5:023}" in made_of and f"ses_01J{4:023}" not in made_of


def test_the_denylist_alone_ends_a_sandbox(fresh):
    """An operator's kill whose direct order never arrives: the list does it."""
    stack = fresh
    s = Sandbox(stack, caller="mallory")
    running = s.begin_run("touch /tmp/order; sleep 60")
    eventually(lambda: os.path.exists(f"/proc/{s.init()}/root/tmp/order"))
    container = s.container
    stack.occ("deny", "add", "session", s.id, check=False)
    with pytest.raises(RpcError) as e:
        finish(running)
    assert e.value.reason == "session_denylisted"
    eventually(lambda: container not in containers_left(stack), timeout=60)
    assert pids_of(container) == []
    assert refused(lambda: s.run("true")) == "session_denylisted"


def test_many_at_once(fresh):
    stack = fresh
    boxes, errors = [], []

    def one():
        try:
            b = Sandbox(stack)
            assert b.out("echo up") == "up\n"
            boxes.append(b)
        except Exception as e:  # every kind counts
            errors.append(e)
    threads = [threading.Thread(target=one) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert not errors and len(boxes) == 12
    assert len({b.container for b in boxes}) == 12
    stack.occ("kill", "--all", "--yes")
    eventually(lambda: containers_left(stack) == [])


def test_without_a_hello_there_is_no_sandbox(upstream, tmp_path):
    agent = tmp_path / "agent"
    agent.write_text(AGENT.replace("GREET", "False"))
    agent.chmod(0o755)
    config = {d: dict(v) for d, v in upstream.config.items()}
    config.setdefault("sandboxd", {}).update(guest_agent=str(agent), start_timeout="1500ms")
    with Stack(config) as s:
        with pytest.raises(RpcError) as e:
            Sandbox(s)
        assert e.value.reason == "timeout"
        eventually(lambda: containers_left(s) == [])
        assert s.events(action="sandbox.failed")
