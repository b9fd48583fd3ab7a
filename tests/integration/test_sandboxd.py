"""sandboxd over its own RPCs: tool calls in real sandboxes, with every runtime that is installed.
shows: NFR-SEC-02, NFR-SEC-14, NFR-SEC-22, NFR-SEC-47, NFR-SEC-74, NFR-SEC-75, NFR-IC-05, NFR-REL-09, NFR-REL-11, NFR-SEC-65 (in part), NFR-SEC-72"""
import base64
import os
import shutil
import subprocess
import time

import pytest
from sandbox_world import (RpcError, Sandbox, containers_left, control, finish, pids_of, rss_mib, sandboxd_status, status_of,
                           zombies)
from stack import Stack, eventually


@pytest.fixture(scope="module", params=[r for r in ("crun", "runc") if shutil.which(r, path="/usr/bin:/usr/sbin")])
def world(request, upstream):
    config = {d: dict(v) for d, v in upstream.config.items()}
    config.setdefault("sandboxd", {})["runtime"] = request.param
    config.setdefault("operatord", {}).update(sessions_per_caller=200, sessions_total=200)
    with Stack(config) as s:
        s.runtime = request.param
        yield s
        eventually(lambda: not zombies(s), timeout=60)
    assert containers_left(s) == []


@pytest.fixture
def sandbox(world):
    s = Sandbox(world)
    yield s
    s.destroy()


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


# --- what a sandbox is ---

def test_privileges_of_the_agent_and_of_programs(world, sandbox):
    pid = sandbox.init()
    sleeper = sandbox.call("Start", argv=["sleep", "30"])
    assert sleeper["process_id"] == 1
    others = [p for p in sandbox.pids() if p != pid]
    assert others
    for p in (pid, *others):
        status = status_of(p)
        assert all(int(status[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")), status
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
        assert int(status["Uid"].split()[0]) >= 65536
    first, host, count = map(int, open(f"/proc/{pid}/uid_map").read().split())
    assert (first, count) == (0, 65536) and host == int(status_of(pid)["Uid"].split()[0])


def test_namespaces_are_its_own(world, sandbox):
    other = Sandbox(world)
    spaces = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")
    seen = [{os.readlink(f"/proc/{p}/ns/{n}") for n in spaces}
            for p in (sandbox.init(), other.init(), world.proc["sandboxd"].pid, "self")]
    for i, mine in enumerate(seen[:2]):
        for theirs in seen[i + 1:]:
            assert not mine & theirs
    other.destroy()


def test_uids_of_two_sandboxes_never_meet(world, sandbox):
    other = Sandbox(world)
    bases = {int(status_of(s.init())["Uid"].split()[0]) for s in (sandbox, other)}
    assert len(bases) == 2 and all(b % 65536 == 0 for b in bases)
    other.destroy()


def test_only_scratch_and_workspace_are_writable(sandbox):
    # As root inside; what is refused is refused by the mount, the mode or Landlock.
    probe = ("for d in / /etc /usr/bin /proc /proc/sys/kernel /sys /tmp /root /run /dev/shm /workspace; do "
             "(echo x > $d/probe) 2>/dev/null && echo $d && rm $d/probe; done; true")
    assert sandbox.out(probe).split() == ["/tmp", "/root", "/run", "/dev/shm", "/workspace"]


def test_landlock_is_in_force(sandbox):
    code = ("import ctypes, os; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(444, None, 0, 1)); "
            "os.mkdir('/tmp/a'); open('/tmp/a/f', 'w').close(); os.rename('/tmp/a/f', '/tmp/f'); print('moved')")
    abi, moved = sandbox.out(f'python3 -c "{code}"').split()
    assert int(abi) >= 1 and moved == "moved"


def test_nothing_can_be_traced(sandbox):
    """Not the agent, not a program of one's own: 16 is PTRACE_ATTACH, 0x4206 PTRACE_SEIZE, 0 PTRACE_TRACEME."""
    sandbox.call("Start", argv=["sleep", "30"])
    code = ("import ctypes; l = ctypes.CDLL(None, use_errno=True)\n"
            "for r, p in ((16, 1), (0x4206, 1), (0, 0)): print(l.syscall(101, r, p, 0, 0), ctypes.get_errno())")
    assert sandbox.out(["python3", "-c", code]).split() == ["-1", "1"] * 3
    # The numbers of its descriptors can be listed; what they are, and they themselves, are out of reach.
    refused = "cat /proc/1/environ; head -c 1 /proc/1/mem; readlink /proc/1/fd/0; cat /proc/1/fd/1; : 7<>/proc/1/fd/0; cat /proc/1/maps; ls -l /proc/1/root/; echo x > /proc/1/comm"
    for command in refused.split("; "):
        assert sandbox.run(command)["exit_code"] != 0, command


def flows_of(world):
    """What the kernel tracks in each network namespace that sandboxd holds; it opens and closes some meanwhile."""
    folder, nets = f"/proc/{world.proc['sandboxd'].pid}/fd", {}
    for n in os.listdir(folder):
        try:
            nets[os.readlink(f"{folder}/{n}")] = n
        except FileNotFoundError:
            continue
    said = [subprocess.run(["nsenter", f"--net={folder}/{n}", "cat", "/proc/sys/net/netfilter/nf_conntrack_count"],
                           capture_output=True, text=True, timeout=60) for what, n in nets.items() if what.startswith("net:[")]
    return [int(p.stdout) for p in said if p.returncode == 0]


def test_flows_are_bounded(world, sandbox):
    """Each is memory of the host's kernel that no limit of the sandbox counts: one datagram of a source and target not seen before."""
    flood = ("import socket, struct\nsockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]\n"
             "for s in sockets:\n for i in range(15000): s.sendto(b'x', (socket.inet_ntoa(struct.pack('>I', 0x0a000001 + i)), 53))")
    assert sandbox.run(["python3", "-c", flood])["exit_code"] == 0
    assert 1000 < max(flows_of(world)) <= 16500
    # It is one's own room that one fills.
    other = Sandbox(world)
    visit = "import socket; s = socket.create_connection(('10.0.0.1', 80), 60); s.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); print(s.recv(100)[:12])"
    assert "HTTP/1.1 403" in other.out(["python3", "-c", visit])
    other.destroy()


def test_no_key_is_typed_into_a_terminal(sandbox):
    """TIOCSTI, also with upper bits that the filter sees and the kernel does not; other requests go through."""
    code = ("import ctypes; l = ctypes.CDLL(None, use_errno=True); l.syscall.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_ulong, ctypes.c_char_p]\n"
            "for r in (0x5412, 1 << 32 | 0x5412, 0xffffffff00005412, 0x5413, 1 << 31 | 0x5412): print(l.syscall(16, 0, r, b'x' * 64), ctypes.get_errno())")
    refused, not_a_terminal = ["-1", "1"], ["-1", "25"]
    assert sandbox.out(["python3", "-c", code]).split() == refused * 3 + not_a_terminal * 2


def test_scratch_is_one_bounded_space(sandbox):
    out = sandbox.run("df -B1 --output=size /tmp /root /run /dev/shm | tail -n +2 | sort -u; "
                      "for d in /tmp /root /run /dev/shm; do head -c 2G /dev/zero > $d/fill; done; "
                      "stat -c %s /tmp/fill /root/fill /run/fill /dev/shm/fill; rm -f /tmp/fill /root/fill /run/fill /dev/shm/fill; "
                      "echo ok > /tmp/after && cat /tmp/after")
    lines = out["stdout"].split()
    limit = int(lines[0])
    assert sum(map(int, lines[1:5])) <= limit and lines[5] == "ok", out
    assert "No space left" in out["stderr"]


def test_tier_and_runtime_are_said(world):
    assert control(world, "List")["tier"] == "runc"
    assert any(e["unmapped"]["runtime"] == world.runtime for e in world.events(action="sandbox.create"))


def test_sandboxd_keeps_few_rights(world):
    # chown, dac_override, kill, setgid, setuid, net_admin, sys_admin; for runc also sys_chroot and sys_ptrace
    status = sandboxd_status(world)
    kept = sum(1 << c for c in (0, 1, 5, 6, 7, 12, 21, *((18, 19) if world.runtime == "runc" else ())))
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == kept, (name, status[name])
    assert int(status["CapInh"], 16) == 0 and int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


# --- tool calls ---

def test_run(sandbox):
    r = sandbox.run("cat; echo err >&2; pwd; exit 4", stdin=b64("in\n"))
    assert (r["stdout"], r["stderr"], r["exit_code"]) == ("in\n/workspace\n", "err\n", 4)
    assert sandbox.out(["true"], cwd="/") == ""
    with pytest.raises(RpcError) as e:
        sandbox.run(["/no/such/program"])
    assert e.value.reason == "not_found"


def test_files(sandbox):
    made = sandbox.call("CreateFile", path="/workspace/a/b.txt", content=b64("one\ntwo\nthree\n"), description="why")
    assert (made["size"], made["replaced"]) == (14, False)
    seen = sandbox.call("View", path="/workspace/a/b.txt", first_line=2, last_line=3)
    assert base64.b64decode(seen["content"]) == b"two\nthree\n" and seen["total_lines"] == 3
    changed = sandbox.call("StrReplace", path="/workspace/a/b.txt", old_str=b64("two"), new_str=b64("2"))
    assert (changed["line"], changed["size"]) == (2, 12)
    listing = sandbox.call("View", path="/workspace")
    assert listing["is_directory"] and base64.b64decode(listing["content"]) == b"/workspace/\n/workspace/a/\n/workspace/a/b.txt\n"
    assert sandbox.out("cat a/b.txt") == "one\n2\nthree\n"
    for method, request, reason in (
            ("View", {"path": "/workspace/none"}, "not_found"), ("View", {"path": "relative"}, "invalid_params"),
            ("View", {"path": "/dev/zero"}, "invalid_params"), ("CreateFile", {"path": "/etc/x"}, "invalid_request"),
            ("StrReplace", {"path": "/workspace/a/b.txt", "old_str": b64("e"), "new_str": ""}, "invalid_params"),
            ("StrReplace", {"path": "/workspace/a/b.txt", "old_str": b64("zzz"), "new_str": ""}, "not_found")):
        with pytest.raises(RpcError) as e:
            sandbox.call(method, **request)
        assert e.value.reason == reason, (method, request, e.value)


def test_background_and_terminal(sandbox):
    p = sandbox.call("Start", argv=["/bin/bash", "-c", "stty size; read x; echo got $x; exit 5"], pty=True, rows=25, cols=70)["process_id"]
    text, offset = b"", 0
    while b"25 70" not in text:
        r = sandbox.call("Read", process_id=p, stream=1, offset=offset, wait_ms=5000)
        data = base64.b64decode(r["data"])
        assert data
        text, offset = text + data, offset + len(data)
    sandbox.call("Resize", process_id=p, rows=30, cols=80)
    assert sandbox.call("Write", process_id=p, data=b64("line\n"))["accepted"] == 5
    done = sandbox.call("Wait", process_id=p, wait_ms=5000)
    assert done["exited"] and done["exit_code"] == 5
    r = sandbox.call("Read", process_id=p, stream=1, offset=offset, wait_ms=5000)
    assert b"got line" in base64.b64decode(r["data"])
    with pytest.raises(RpcError) as e:
        sandbox.call("Signal", process_id=p, signal=15)
    assert e.value.reason == "wrong_state"


def test_calls_take_turns_but_steering_does_not(sandbox):
    p = sandbox.call("Start", argv=["sleep", "60"])["process_id"]
    one = "echo {0} start >> /tmp/order; until [ -e /tmp/go ]; do sleep 0.05; done; echo {0} end >> /tmp/order"
    runs = [sandbox.begin_run(one.format(i)) for i in range(4)]
    eventually(lambda: "start" in (sandbox_file(sandbox) or ""))
    sandbox.call("Signal", process_id=p, signal=15)
    assert sandbox.call("Wait", process_id=p, wait_ms=5000)["signal"] == 15
    assert "end" not in sandbox_file(sandbox)   # it passed by the one that runs and those that wait
    let_go(sandbox)
    for r in runs:
        assert finish(r)["exit_code"] == 0
    lines = sandbox.out("cat /tmp/order").split("\n")[:-1]
    assert len(lines) == 8
    for begin, end in zip(lines[::2], lines[1::2]):
        assert begin.split()[0] == end.split()[0] and begin.endswith("start") and end.endswith("end"), lines


def sandbox_file(sandbox):
    """What is in /tmp/order, seen from the host without asking the guest."""
    try:
        return open(f"/proc/{sandbox.init()}/root/tmp/order").read()
    except OSError:
        return None


def let_go(sandbox):
    open(f"/proc/{sandbox.init()}/root/tmp/go", "w").close()


def test_the_queue_is_bounded(sandbox):
    first = sandbox.begin_run("touch /tmp/order; until [ -e /tmp/go ]; do sleep 0.05; done")
    eventually(lambda: sandbox_file(sandbox) is not None)
    waiting = [sandbox.begin_run("true") for _ in range(40)]
    eventually(lambda: sum(p.poll() is not None for p in waiting) == 8, timeout=60)
    let_go(sandbox)
    reasons = []
    for p in waiting:
        try:
            finish(p)
            reasons.append("ok")
        except RpcError as e:
            reasons.append(e.reason)
    assert reasons.count("ok") == 32 and reasons.count("busy") == 8, reasons
    assert finish(first)["exit_code"] == 0


def test_cancel(sandbox):
    running = sandbox.begin_run("touch /tmp/order; sleep 60", call_id="cancel-me")
    eventually(lambda: sandbox_file(sandbox) is not None)
    waiting = sandbox.begin_run("true", call_id="me-too")
    sandbox.call("Cancel", call_id="me-too")
    with pytest.raises(RpcError) as e:
        finish(waiting)
    assert e.value.reason == "cancelled" and running.poll() is None
    sandbox.call("Cancel", call_id="cancel-me")
    with pytest.raises(RpcError) as e:
        finish(running)
    assert e.value.reason == "cancelled"
    assert sandbox.out("echo on") == "on\n"


def test_a_cancellation_that_comes_first(sandbox):
    """Requests overtake each other: the call is kept from beginning, and its id from coming again."""
    sandbox.call("Cancel", call_id="early")
    for reason in ("cancelled", "already_exists"):
        with pytest.raises(RpcError) as e:
            sandbox.run("touch /tmp/begun", call_id="early")
        assert e.value.reason == reason
    for n in range(200):
        sandbox.call("Cancel", call_id=f"never-was-{n}")
    sandbox.run("true", call_id="done")
    sandbox.call("Cancel", call_id="done")
    assert sandbox.out("ls /tmp/begun || echo on") == "on\n"


def test_a_call_id_is_used_once(sandbox):
    sandbox.run("true", call_id="only-once")
    with pytest.raises(RpcError) as e:
        sandbox.run("touch /tmp/twice", call_id="only-once")
    assert e.value.reason == "already_exists"
    assert sandbox.run("ls /tmp/twice")["exit_code"] != 0


def test_time_out(sandbox):
    r = sandbox.run("sleep 60 & sleep 60", timeout_ms=300)
    assert r["timed_out"] and r["signal"] == 15
    r = sandbox.run("trap '' TERM; while :; do sleep 0.1; done", timeout_ms=5000)
    assert r["timed_out"] and r["signal"] == 9 and 5e6 < r["duration_us"]


@pytest.mark.parametrize("request_", [
    {"argv": []}, {"argv": [""]}, {"argv": ["x"] * 65}, {"argv": ["/bin/true"], "cwd": "tmp"}, {"argv": ["x"], "timeout_ms": 3600001},
    {"argv": ["x"], "max_output": (8 << 20) + 1},
    {"argv": ["x"], "call_id": ""}, {"argv": ["x"], "call_id": "a b"}, {"argv": ["x"], "call_id": "x" * 64}])
def test_parameters_out_of_bounds(sandbox, request_):
    with pytest.raises(RpcError) as e:
        sandbox.call("Run", **request_)
    assert e.value.reason in ("invalid_params", "too_large"), e.value


def test_grants(world, sandbox):
    good = sandbox.grant
    head, body, signature = good.split(".")
    for bad, reasons in (("", {"unauthenticated"}), ("x", {"token_malformed"}), (f"{head}.{body}.", {"token_malformed", "token_bad_signature"}),
                         (f"{head}.{body[:-2]}AA.{signature}", {"token_bad_signature", "token_malformed"}),
                         (world.token, {"token_unknown_key", "token_issuer", "token_audience"})):
        sandbox.routed = bad
        with pytest.raises(RpcError) as e:
            sandbox.run("true")
        assert e.value.reason in reasons, (bad, e.value)
    sandbox.routed = good


def test_a_grant_is_for_its_session_alone(world, sandbox):
    other = Sandbox(world)
    sandbox.run("touch /tmp/mine")
    other.routed = sandbox.grant  # whoever holds it acts in that session and in no other
    assert other.out("ls /tmp") == "mine\n"
    other.routed, other.granted = "", -100
    assert other.out("ls /tmp") == ""
    other.destroy()
    with pytest.raises(RpcError) as e:
        other.run("true")
    assert e.value.reason in ("session_gone", "not_found")


# --- evidence ---

def test_every_call_is_in_the_trail(world, sandbox):
    command = "echo " + "x" * 9000
    sandbox.run(command, description="long words")
    sandbox.run("exit 3")
    sandbox.call("CreateFile", path="/workspace/f", content=b64("x"))
    p = sandbox.call("Start", argv=["cat"])["process_id"]
    sandbox.call("Write", process_id=p, data=b64("typed\n"))
    sandbox.call("Signal", process_id=p, signal=9)
    with pytest.raises(RpcError):
        sandbox.call("View", path="/workspace/none")
    calls = world.events(session_id=sandbox.id, action="tool.call")
    first, second, made, started, failed = [c["unmapped"] for c in calls]
    assert first["command"].startswith("/bin/bash -c echo xxx") and len(first["command"]) == 4096 and first["command_cut"]
    assert first["command_bytes"] == len("/bin/bash -c ") + len(command) + 1 and first["description"] == "long words"
    import hashlib
    assert first["command_sha256"] == hashlib.sha256(b"/bin/bash\0-c\0" + command.encode() + b"\0").hexdigest()
    assert first["exit_code"] == 0 and first["stdout_bytes"] == 9001 and first["tool"] == "bash_tool"
    assert second["exit_code"] == 3 and made["path"] == "/workspace/f" and started["process_id"] == p
    assert [c["outcome"] for c in calls] == ["success"] * 4 + ["failure"] and failed["path"] == "/workspace/none"
    assert all(c["actor_id"] == "alice" for c in calls)
    [typed] = world.events(session_id=sandbox.id, action="tool.input")
    assert typed["unmapped"]["input"] == "typed\n"
    assert len(world.events(session_id=sandbox.id, action="tool.signal")) == 1


@pytest.mark.parametrize("command", [b"echo \xff\xfe", b"\x01" * 5000, "\u20ac" * 3000, '"\\' * 3000])
def test_no_command_is_too_strange_for_the_trail(world, sandbox, command):
    text = command if isinstance(command, str) else command.decode("latin-1")
    sandbox.run(text)
    assert sandbox.out("echo fine") == "fine\n"
    assert len(world.events(session_id=sandbox.id, action="tool.call")) == 2


def test_a_sandboxs_life_is_in_the_trail(world):
    s = Sandbox(world)
    s.run("dd if=/dev/zero of=/tmp/secret bs=1M count=20 status=none")
    s.destroy()  # by operatord: a sandbox stopped behind its back is stopped by it again, and each request is recorded
    events = [e for e in world.events(session_id=s.id) if e["action"].startswith("sandbox.")]
    assert [e["action"] for e in events] == ["sandbox.create", "sandbox.start", "sandbox.stop", "sandbox.stopped"]
    steps = events[-1]["unmapped"]
    assert list(steps)[:7] == ["freeze_us", "scrubbed_files", "scrub_us", "unmount_us", "killed", "kill_us", "destroy_us"]
    assert steps["scrubbed_files"] >= 1 and events[-1]["outcome"] == "success"


# --- ends ---

def test_an_end_leaves_nothing(world):
    s = Sandbox(world)
    s.run("for i in 1 2 3; do (setsid nohup sleep 5432 >/dev/null 2>&1 &); done; true")
    pids, container = s.pids(), s.container
    assert len(pids) >= 4
    assert s.stop()["duration_us"] < 50_000_000
    assert pids_of(container) == [] and container not in containers_left(world) and s.listed() is None
    assert not [p for p in pids if os.path.exists(f"/proc/{p}") and container in open(f"/proc/{p}/cgroup").read()]
    s.stop()  # again: fine
    with pytest.raises(RpcError) as e:
        s.run("true")
    assert e.value.reason == "session_gone"
    s.destroy()


def ended_in_order(world, s):
    """No step of the end ran into its time limit."""
    assert [e["outcome"] for e in world.events(session_id=s.id, action="sandbox.stopped")] == ["success"]


def test_an_end_does_not_need_the_guest(world):
    import signal
    s = Sandbox(world)
    s.out("true")
    os.kill(s.init(), signal.SIGSTOP)
    s.stop()
    ended_in_order(world, s)
    assert s.container not in containers_left(world)
    s.destroy()


def test_an_end_of_a_crowd(world):
    s = Sandbox(world)
    s.run("for i in $(seq 200); do sleep 5000 & done >/dev/null 2>&1; true")
    assert len(s.pids()) > 150
    s.stop()
    ended_in_order(world, s)
    s.destroy()


def test_calls_under_way_end_with_it(world):
    s = Sandbox(world)
    running = [s.begin_run("touch /tmp/order; sleep 60")]
    eventually(lambda: sandbox_file(s) is not None)
    running += [s.begin_run("true"), s.begin_run("true")]
    time.sleep(0.5)  # these have to reach the queue, which shows nowhere
    s.stop()
    for p in running:
        with pytest.raises(RpcError) as e:
            finish(p)
        assert e.value.reason == "session_gone"
    s.destroy()


def test_a_killed_agent_is_noticed_and_cleaned_up(world):
    import signal
    s = Sandbox(world)
    running = s.begin_run("touch /tmp/order; sleep 60")
    eventually(lambda: sandbox_file(s) is not None)
    container = s.container
    os.kill(s.init(), signal.SIGKILL)
    with pytest.raises(RpcError) as e:
        finish(running)
    assert e.value.reason == "session_gone"
    eventually(lambda: container not in containers_left(world))
    # Said to operatord until it has taken note, which it may have by now.
    listed = s.listed()
    assert listed is None or not listed["running"]
    eventually(lambda: world.events(session_id=s.id, action="sandbox.crash"))


def test_outputs_do_not_grow_the_host(world, sandbox):
    sandbox.run("head -c 100M /dev/zero")
    before = rss_mib(world)
    for _ in range(5):
        r = sandbox.run("head -c 300M /dev/zero")
        assert r["stdout_dropped"] == (300 << 20) - (8 << 20) and len(r["stdout"]) == 8 << 20
    assert rss_mib(world) - before < 40


def test_out_of_memory_ends_the_program_not_the_agent(world, sandbox):
    r = sandbox.run('python3 -c "x = []\nwhile True: x.append(bytearray(1 << 24))"')
    assert r["signal"] == 9 or r["exit_code"] == 137, r
    assert sandbox.out("echo alive") == "alive\n"


def python(code):
    return ["/usr/bin/python3", "-c", code]


def test_sockets_are_bounded(world):
    """What waits in a socket is the host's memory: a sandbox that hoards them is ended."""
    bad, good = Sandbox(world), Sandbox(world)
    with pytest.raises(RpcError) as e:
        bad.run(python("import os, socket, time\nfor _ in range(4):\n    if not os.fork(): break\n"
                       "held = [socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) for _ in range(1000)]\ntime.sleep(60)"))
    assert e.value.reason == "session_gone"
    eventually(lambda: (bad.listed() or {"why": "sockets"})["why"] and bad.container not in containers_left(world))
    [crash] = world.events(session_id=bad.id, action="sandbox.crash")
    assert "more sockets" in crash["unmapped"]["why"]
    assert good.out(python("import socket; print(len([socket.socket() for _ in range(900)]))")) == "900\n"
    good.destroy()


def test_terminals_timers_and_queues_are_its_own(world):
    """Some of the host's ceilings are one for all sandboxes: none takes them from the others."""
    greedy, other = Sandbox(world), Sandbox(world)
    taken = greedy.run(python("""import ctypes, os, sys
os.fork()
held, libc = [], ctypes.CDLL(None, use_errno=True)
try:
    while len(held) < 900: held.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
except OSError: pass
timers, t = 0, ctypes.c_void_p()
while timers < 5000 and libc.timer_create(1, None, ctypes.byref(t)) == 0: timers += 1
print(len(held), timers, flush=True)"""))
    for line in taken["stdout"].splitlines():
        terminals, timers = map(int, line.split())
        assert terminals <= 128 and timers <= 1024
    assert other.out(python("import os; os.openpty(); print('on')")) == "on\n"
    greedy.destroy()
    other.destroy()


def test_a_fork_bomb_is_bounded(world, sandbox):
    good = Sandbox(world)
    r = sandbox.run("b() { b | b & }; b; sleep 2", timeout_ms=6000)
    assert r is not None
    assert good.out("echo alive") == "alive\n"
    sandbox.stop()
    ended_in_order(world, sandbox)
    good.destroy()
