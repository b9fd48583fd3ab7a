"""Root inside the sandbox, trying to get out: one test an attempt.
shows: NFR-SEC-02, NFR-SEC-12, NFR-SEC-14, NFR-SEC-16, NFR-SEC-17, NFR-SEC-22, NFR-SEC-23, NFR-SEC-27, NFR-SEC-31, NFR-SEC-36,
NFR-SEC-43, NFR-SEC-46, NFR-SEC-74, NFR-SEC-75, NFR-SEC-08"""
import re
import subprocess

import pytest
from stack import eventually

PORTS = [8080, 8443, 9190, 9201, 9202, 9203, 9301, 9302, 9401, 9443, 9501, 9601, 9602]
CONNECT = """python3 - <<'EOF'
import socket, sys
for host in %r:
    for port in %r:
        s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
        s.settimeout(3)
        try:
            s.connect((host, port))
            s.sendall(b'\\x16\\x03\\x01\\x00\\x05hello')
            data = s.recv(100)
            print('CONNECTED', host, port, data)
        except OSError as e:
            print('refused', host, port, e)
        s.close()
EOF"""


def test_is_root_only_inside(mcp):
    assert mcp.bash("id -u").strip() == "0"
    inside, outside, count = map(int, mcp.bash("cat /proc/self/uid_map").split())
    assert inside == 0 and outside >= 65536 and count <= 65536


def test_privileges_are_gone(mcp):
    status = dict(line.split(":\t", 1) for line in mcp.bash("cat /proc/self/status").splitlines() if ":\t" in line)
    assert all(int(status[k], 16) == 0 for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"


@pytest.mark.parametrize("attempt", [
    "mount -t tmpfs none /mnt", "mount --bind /proc /tmp", "unshare -m true", "unshare -U true", "unshare -n true",
    "touch /escape", "touch /usr/bin/escape", "echo x > /etc/passwd", "mknod /tmp/sda b 8 0",
    "chroot / true", "hostname evil", "dd if=/dev/mem of=/dev/null count=1", "dd if=/dev/sda of=/dev/null count=1",
    "cat /proc/kcore > /dev/null", "echo 1 > /proc/sys/kernel/panic", "echo c > /proc/sysrq-trigger",
    "echo x > /sys/kernel/uevent_helper", "nsenter -t 1 -n true", "swapon /tmp", "rmmod ext4", "date -s 2001-01-01",
])
def test_forbidden_operations_fail(mcp, attempt):
    assert mcp.sh(attempt)["exit_code"] != 0, attempt


def test_syscalls_of_the_hostile_kind_fail(mcp):
    code = """python3 - <<'EOF'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for name, nr, args in [('bpf', 321, (0, 0, 0)), ('keyctl', 250, (0, -3, 0)), ('perf_event_open', 298, (0, 0, -1, -1, 0)),
                       ('userfaultfd', 323, (0,)), ('io_uring_setup', 425, (1, 0)), ('add_key', 248, (0, 0, 0, 0, 0)),
                       ('mount', 165, (0, 0, 0, 0, 0)), ('setns', 308, (0, 0)), ('unshare', 272, (0x10000000,)),
                       ('kexec_load', 246, (0, 0, 0, 0)), ('open_by_handle_at', 304, (0, 0, 0)), ('process_vm_readv', 310, (1, 0, 0, 0, 0, 0))]:
    r = libc.syscall(nr, *args)
    print(name, r, ctypes.get_errno())
EOF"""
    for line in mcp.bash(code).splitlines():
        name, result, errno = line.split()
        assert result == "-1" and int(errno) in (1, 38), line


def test_no_host_processes_files_or_devices(mcp, stack):
    procs = mcp.bash("ls /proc | grep -E '^[0-9]+$' | wc -l")
    assert int(procs) < 12
    for path in (stack.dir, "/var/cache/ocu", "/var/tmp/ocu-canary", "/etc/shadow.host"):
        assert mcp.sh(f"ls {path}")["exit_code"] != 0
    mounts = mcp.bash("cat /proc/self/mountinfo")
    assert not re.search(r"docker\.sock|containerd\.sock|/dev/(sd|vd|nvme)", mcp.bash("ls -R /run /dev 2>/dev/null; true"))
    assert " /workspace " in mounts and "fuse" in mounts
    devices = set(mcp.bash("ls /dev").split())
    assert devices <= {"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
                       "stdout", "tty", "urandom", "zero"}, devices


def test_environment_and_memory_hold_no_secret(mcp, stack):
    env = mcp.bash("env; cat /proc/1/environ | tr '\\0' '\\n'; cat /proc/1/cmdline")
    assert "canary" not in env and not re.search(r"(?i)(token|secret|password|api_?key)=", env)
    names = {line.split("=")[0] for line in mcp.bash("env").splitlines()}
    assert names <= {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TERM", "PWD", "SHLVL", "_", "SHELL", "LC_ALL", "TMPDIR",
                     "PYTHONUNBUFFERED"}, names
    assert stack.token not in mcp.bash("grep -ras 'eyJ' /run /tmp /root /etc /workspace 2>/dev/null | head -c 20000; true")


def test_programs_hold_no_control_descriptor(mcp):
    listing = mcp.bash("ls -l /proc/self/fd; ls -l /proc/$$/fd")
    assert "socket:" not in listing, listing


def test_cannot_speak_on_the_control_channel(mcp):
    r = mcp.sh("exec 7<>/proc/1/fd/0 && echo opened; kill -9 1; kill -STOP 1; cat /proc/1/mem | head -c 10; echo alive")
    assert "opened" not in r["stdout"] and "alive" in r["stdout"]
    assert mcp.bash("echo still") == "still\n"


def test_reaches_no_daemon_on_any_address(mcp):
    hosts = ["127.0.0.1", "100.64.0.1", "20.30.40.1", "::1", "10.0.0.1", "172.17.0.1", "169.254.169.254"]
    out = mcp.bash(CONNECT % (hosts, PORTS))
    for line in out.splitlines():
        # The edge itself answers on redirected ports; what it may answer is a refusal.
        assert not line.startswith("CONNECTED") or "b''" in line or "\\x15\\x03" in line or "403" in line, line


def test_sees_only_its_own_interface(mcp):
    links = mcp.bash("ls /sys/class/net 2>/dev/null || cut -d: -f1 /proc/net/dev | tail -n +3").split()
    assert set(links) <= {"lo", "eth0"}, links
    assert mcp.sh("python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'")["exit_code"] != 0
    assert mcp.sh("python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'")["exit_code"] != 0
    assert mcp.sh("python3 -c 'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)'")["exit_code"] != 0 \
        or mcp.sh("ip link add x type dummy")["exit_code"] != 0


def test_udp_goes_nowhere(mcp, upstream):
    mcp.sh("python3 -c \"import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\nfor p in (53,123,443,5000):\n"
           " s.sendto(b'leak-canary-7731', ('20.30.40.2', p))\"")
    assert "7731" not in upstream.log()


@pytest.mark.parametrize("name", ["leak-4242.tunnel.example", "a.b.c.d.allowed.example", "4242.20.30.40.2.nip.example"])
def test_names_do_not_leave_the_host(mcp, upstream, name):
    r = mcp.sh(f"python3 -c \"import socket; print(socket.gethostbyname('{name}'))\"")
    assert r["exit_code"] != 0
    assert name not in upstream.log()


@pytest.mark.parametrize("host", ["http://127.0.0.1:9443/", "http://localhost:9443/", "http://0x7f000001:9443/", "http://2130706433:9443/",
                                  "http://[::1]:9443/", "http://[::ffff:127.0.0.1]:9443/", "http://169.254.169.254/latest/meta-data/",
                                  "http://20.30.40.1:8080/mcp", "http://allowed.example@20.30.40.3/", "http://inner.example/"])
def test_proxy_refuses_inner_addresses(mcp, host):
    r = mcp.sh(f"curl -sS -i -g --max-time 8 -x http://100.64.0.1:3128 '{host}'")
    assert "x-deny-reason" in r["stdout"].lower(), r
    assert " 200 " not in r["stdout"].split("\n")[0]


def test_sni_and_host_must_be_the_destination(mcp):
    r = mcp.sh("curl -sSk --max-time 8 --connect-to other.example:443:allowed.example:443 https://other.example/")
    assert r["exit_code"] != 0 and "path" not in r["stdout"]
    r = mcp.sh("curl -sSi --max-time 8 -H 'Host: other.example' http://allowed.example/")
    assert "x-deny-reason: host_mismatch" in r["stdout"], r


@pytest.fixture
def two(stack):
    pair = stack.mcp(), stack.mcp()
    yield pair
    for m in pair:
        m.end()


def test_neighbours_are_out_of_reach(two):
    a, b = two
    a.bash("echo mine > /workspace/private; (python3 -m http.server 7777 >/dev/null 2>&1 &) ; true")
    assert "private" not in b.bash("ls -R /workspace")
    address = a.bash("hostname -I 2>/dev/null || python3 -c \"import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
                     "s.connect(('198.18.0.1',9));print(s.getsockname()[0])\"").split()[0]
    for target in (address, "100.64.0.1", "100.64.0.2", "100.64.0.6"):
        r = b.sh(f"curl -sS --max-time 4 http://{target}:7777/")
        assert "private" not in r["stdout"] and "Directory listing" not in r["stdout"], (target, r)
    assert a.bash("cat /proc/self/uid_map").split()[1] != b.bash("cat /proc/self/uid_map").split()[1]


@pytest.mark.parametrize("path", ["../../../etc/passwd", "/workspace/../../etc/hostname"])
def test_workspace_is_the_end_of_the_world(mcp, stack, path):
    mcp.bash(f"ln -sfn {path} /workspace/link; ln -sfn / /workspace/root; true")
    r = mcp.sh("cat /workspace/root/var/tmp/ocu-*/etc/caller.token")
    assert r["exit_code"] != 0
    assert mcp.sh("ln /etc/passwd /workspace/hard")["exit_code"] != 0


def test_fork_bomb_costs_only_itself(stack, two):
    bad, good = two
    good.bash("true")
    n = bad.sh("python3 - <<'EOF'\nimport os, signal\nn = 0\ntry:\n    while n < 5000:\n        if os.fork() == 0:\n            signal.pause()\n        n += 1\nexcept OSError as e:\n    print('stopped at', n, e.errno, flush=True)\nos._exit(0)\nEOF")
    stopped = re.fullmatch(r"stopped at (\d+) 11\n", n["stdout"])  # EAGAIN
    assert stopped and int(stopped.group(1)) < 512, n
    # The children are still there, and another's calls still find room for their processes.
    assert good.bash("for i in $(seq 20); do (sleep 0 &); done; echo fine") == "fine\n"
    assert len(stack.alive()) == 6


def test_memory_hog_is_the_victim(stack, two):
    bad, good = two
    good.bash("true")
    try:
        r = bad.sh("python3 -c \"x=[]\nwhile True: x.append(bytearray(1<<24))\"")
        assert r["exit_code"] != 0
    except Exception as e:  # the whole sandbox may be the victim
        assert "session_gone" in str(e) or "unavailable" in str(e), e
    good.bash("true")
    assert len(stack.alive()) == 6


def test_scratch_is_bounded(mcp):
    r = mcp.sh("head -c 8G /dev/zero > /tmp/fill; stat -c %s /tmp/fill; rm -f /tmp/fill")
    assert int(r["stdout"].split()[-1]) < 8 << 30
    assert "No space" in r["stderr"] or r["exit_code"] != 0


def test_output_flood_leaves_the_host_flat(mcp, stack):
    def rss():
        pid = stack.proc["sandboxd"].pid
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1))

    before = rss()
    r = mcp.sh("timeout 3 cat /dev/zero; true")
    assert r["stdout_dropped"] > 50 << 20
    assert rss() - before < 40 << 10


def test_left_over_processes_end_with_the_session(stack):
    m = stack.mcp()
    m.bash("for i in 1 2 3; do (setsid nohup sleep 7654.$i >/dev/null 2>&1 &) ; done; true")
    count = lambda: subprocess.run(["pgrep", "-fc", "sleep 7654"], capture_output=True, text=True).stdout.strip()  # noqa: E731
    eventually(lambda: count() == "3")
    m.http.request("DELETE", "/mcp", headers=m.headers())
    assert m.http.getresponse().status == 204
    eventually(lambda: count() == "0")


def test_everyone_is_still_there(stack):
    assert len(stack.alive()) == 6
