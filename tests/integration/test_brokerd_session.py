"""brokerd and the life of a session's file system: registered, handed over, denied, released, forgotten; and brokerd itself
killed and started again."""
# shows: NFR-SEC-01, NFR-SEC-36, NFR-SEC-43, NFR-SEC-65 (in part), NFR-SEC-68, NFR-SEC-72, NFR-SEC-76, NFR-COST-07, NFR-REL-11
import concurrent.futures
import contextlib
import json
import mmap
import os
import pathlib
import signal
import socket
import subprocess

import pytest

import files_world
from files_world import Held, Request, Session, error_of, errno, eventually
from stack import program


@pytest.fixture
def world():
    with files_world.World() as w:
        yield w


def trash(world):
    return list((world.volumes / "trash").iterdir())


def test_registering_is_idempotent_and_exclusive(world):
    s = Session(world)
    assert "error" not in s.register()
    (s.dir / "f").write_text("x")
    assert "error" not in s.register()
    assert (s.dir / "f").read_text() == "x"
    same = dict(session_id=s.id, filesystem_id=s.fs, caller="alice", quota_bytes=1 << 20, quota_files=10)
    call = lambda **kw: world.call("mount.Register", **{**same, **kw})["error"]["reason"]  # noqa: E731
    assert call(caller="mallory") == "wrong_state"
    assert call(filesystem_id="fs_" + files_world.ulid()) == "wrong_state"
    assert call(session_id="ses_" + files_world.ulid()) == "already_exists"
    assert call(session_id="../../etc") == "invalid_params"
    assert call(session_id="ses_" + files_world.ulid(), filesystem_id="../escape") == "invalid_params"
    assert call(session_id="ses_" + files_world.ulid(), filesystem_id="fs_" + files_world.ulid(), caller="") == "invalid_params"
    assert call(session_id="ses_" + files_world.ulid(), filesystem_id="fs_" + files_world.ulid(),
                caller="x" * 256) == "invalid_params"
    assert len(world.call("mount.List")["mounts"]) == 1


def test_a_refused_registration_leaves_the_file_system_as_it_is(world):
    s = Session(world)
    stamp = s.data.parent / "stamp"
    (s.data.parent / "staging/upload").touch()
    reply = world.call("mount.Register", session_id="ses_" + files_world.ulid(), filesystem_id=s.fs, caller="alice",
                       quota_bytes=1 << 20, quota_files=10)
    assert reply["error"]["reason"] == "already_exists"
    assert s.id in stamp.read_text() and (s.data.parent / "staging/upload").exists()
    assert s.put("f", b"x")[0] == 201


def test_a_full_registry_makes_no_volumes():
    with files_world.World(sessions_max="1") as w:
        s = Session(w)
        other = "fs_" + files_world.ulid()
        reply = w.call("mount.Register", session_id="ses_" + files_world.ulid(), filesystem_id=other, caller="alice",
                       quota_bytes=1 << 20, quota_files=10)
        assert reply["error"]["reason"] == "quota_exceeded" and not (w.volumes / other).exists()
        assert s.put("f", b"x")[0] == 201


def test_only_operatord_may_ask(world):
    args = json.dumps({"session_id": "ses_" + files_world.ulid()})
    for peer in ("gateway", "sandboxd", "egressd"):
        p = subprocess.run([program("ocu-rpc-probe"), "--pki", world.stack.etc / "pki", "--as", peer, "--to", files_world.BROKERD,
                            "--peer", "brokerd", "--deadline", "2000", "mount.Release", args], capture_output=True, text=True, timeout=60)
        assert p.returncode == 1, p
        assert json.loads(p.stdout)["error"]["reason"] in ("peer_not_permitted", "unavailable", "peer_unknown"), p.stdout


def test_a_handover_needs_a_registered_session_and_a_fuse_descriptor(world):
    s = Session(world, mount=False)
    fuse = s.make_mount()
    null = os.open("/dev/null", os.O_RDWR)
    a, b = socket.socketpair()
    codes = [world.handover("ses_" + files_world.ulid(), [fuse])[0],   # nobody registered it
             world.handover(s.id, [null])[0],                          # another device
             world.handover(s.id, [a.fileno()])[0],                    # no device
             world.handover(s.id, [fuse, null])[0],                    # one too many
             world.handover(s.id, [fuse], kind=2)[0],                  # for egressd
             world.handover("not a session", [fuse])[0]]
    assert codes == [-10, -6, -6, -6, -6, -6]
    assert world.handover(s.id, [fuse], raw=b"\x01\xff\xff") is None   # no protobuf: not even an answer
    assert world.handover(s.id, [fuse], raw=b"") is None
    assert s.listed() and not s.listed().get("mounted")
    assert world.handover(s.id, [fuse]) == (0, "")
    (s.dir / "f").write_text("served")
    assert world.handover(s.id, [fuse])[0] == -12                      # it has a mount
    assert (s.dir / "f").read_text() == "served"
    for fd in (fuse, null):
        os.close(fd)


def test_another_user_is_not_listened_to(world):
    s = Session(world)
    path = str(world.stack.dir / "run/handover/brokerd.sock")
    assert os.stat(path).st_mode & 0o777 == 0o600
    os.chmod(path, 0o666)
    script = f"""
import os, socket, sys
os.setgid(65534); os.setuid(65534)
c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
c.connect({path!r})
c.settimeout(5)
try:
    c.send(b"\\x01")
    sys.exit(0 if c.recv(100) == b"" else 1)
except ConnectionError:
    sys.exit(0)
"""
    assert subprocess.run(["/usr/bin/python3", "-c", script], timeout=60).returncode == 0
    (s.dir / "f").write_text("x")


def test_brokerd_holds_nothing_of_roots(world):
    pid = world.stack.proc["brokerd"].pid
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["58103"] * 4 and status["Gid"].split() == ["58103"] * 4
    assert status["Groups"].split() == []
    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[caps], 16) == 0, caps
    assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"


def test_a_released_session_is_cut_and_its_data_gone(world):
    s = Session(world)
    for i in range(30):
        (s.dir / f"f{i}").write_text("data")
    held = open(s.dir / "f0", "rb")
    reply = s.release()
    assert reply["files_deleted"] >= 30
    assert error_of(os.listdir, s.dir) in (errno.ENOTCONN, errno.ECONNABORTED)
    assert error_of(held.read) in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
    assert not s.data.exists() and trash(world) == []
    assert s.get("f1")[0] == 404
    assert s.listed() is None
    assert "error" not in s.release()
    ends = [e["action"] for e in world.file_events(s) if e["action"].startswith("filesystem.scrub")]
    assert ends == ["filesystem.scrub", "filesystem.scrubbed"]


@contextlib.contextmanager
def kept(path):
    """Nobody can remove this file meanwhile: something is mounted on it."""
    assert files_world.libc.mount(os.fsencode(path), os.fsencode(path), None, 4096, None) == 0   # MS_BIND
    try:
        yield
    finally:
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].endswith(path.name):   # wherever it is by now
                assert files_world.libc.umount2(os.fsencode(line.split()[1]), files_world.MNT_DETACH) == 0


def test_a_scrub_is_not_told_of_before_it_is_done(world):
    s, other = Session(world), Session(world)
    (s.dir / "d").mkdir()
    for name in ("a", "d/stays-for-now", "d/b", "z"):
        (s.dir / name).write_text("data")
    (other.dir / "f").write_text("data")
    scrubbed = lambda who: world.file_events(who, action="filesystem.scrubbed")   # noqa: E731
    with kept(s.data / "d/stays-for-now"):
        assert s.release()["scrub_pending"] is True
        assert error_of(os.listdir, s.dir) in (errno.ENOTCONN, errno.ECONNABORTED) and not s.data.exists()
        left = [p.name for p in (world.volumes / "trash").rglob("*") if p.is_file()]
        assert left == ["stays-for-now"]   # it held up nothing of its own volume
        assert not other.release().get("scrub_pending") and len(scrubbed(other)) == 1   # nor another
        assert s.release()["scrub_pending"] is True
        world.stack.restart("brokerd")
        world.wait_ready()
        eventually(lambda: s.release().get("scrub_pending"))
        assert scrubbed(s) == [] and len(world.file_events(s, action="filesystem.scrub")) == 1
    done, = eventually(lambda: scrubbed(s))
    assert done["outcome"] == "success" and done["unmapped"]["filesystem_id"] == s.fs
    eventually(lambda: trash(world) == [])
    assert not s.release().get("scrub_pending") and len(scrubbed(s)) == 1


def test_a_scrub_that_cannot_be_recorded_as_done_is_not_told_of(world):
    s = Session(world)
    (s.dir / "f").write_text("data")
    with kept(s.data / "f"):
        assert s.release()["scrub_pending"] is True
        world.stack.kill("auditd")
    eventually(lambda: [p for t in trash(world) for p in t.iterdir()] == [])   # gone, and its name kept
    assert len(trash(world)) == 1 and s.release()["scrub_pending"] is True
    world.stack.start("auditd")
    eventually(lambda: trash(world) == [], timeout=60)
    assert len(world.file_events(s, action="filesystem.scrubbed")) == 1


def test_release_without_scrub_keeps_the_data_for_the_next(world):
    s = Session(world)
    (s.dir / "f").write_text("kept")
    assert s.release(scrub=False).get("files_deleted", 0) == 0
    s.close()
    assert (s.data / "f").read_text() == "kept"
    assert s.get("f")[0] == 404
    assert "error" not in s.register()
    s.mount()
    assert (s.dir / "f").read_text() == "kept"
    assert s.listed()["used_bytes"] == 4096


def test_an_operation_under_way_ends_with_the_session(world):
    """auditd is stopped: the guest's program waits for its record; the release does not wait for ever."""
    s = Session(world)
    world.stack.proc["auditd"].send_signal(signal.SIGSTOP)
    try:
        p = subprocess.Popen(["/usr/bin/python3", "-c", f"open({str(s.dir / 'f')!r}, 'w')"], stderr=subprocess.PIPE, text=True)
        assert p.wait(60) != 0 and "Errno 5" in p.stderr.read()   # after as long as a commit may take
        # No record, no release: but the session can still be cut by the denylist.
        assert s.release()["error"]["reason"] == "audit_unavailable"
        world.deny(1, s.id)
        eventually(lambda: error_of_or_none(os.listdir, s.dir) in (errno.ENOTCONN, errno.ECONNABORTED))
    finally:
        world.stack.proc["auditd"].send_signal(signal.SIGCONT)
    assert "error" not in s.release()


def error_of_or_none(fn, *args):
    try:
        fn(*args)
    except OSError as e:
        return e.errno
    return None


@pytest.mark.parametrize("kind", [1, 2])
def test_a_denied_session_or_caller_is_cut(world, kind):
    s, other = Session(world, caller="alice"), Session(world, caller="bob")
    (s.dir / "f").write_text("x")
    held = open(s.dir / "f", "rb")
    world.deny(kind, s.id if kind == 1 else "alice")
    eventually(lambda: error_of_or_none(os.listdir, s.dir) in (errno.ENOTCONN, errno.ECONNABORTED))
    assert error_of(held.read) in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
    assert s.get("f")[0] == 403
    assert s.register()["error"]["reason"] in ("session_denylisted", "caller_denylisted")
    s.unmount()
    fd = s.make_mount()
    assert world.handover(s.id, [fd])[0] in (-53, -54)
    os.close(fd)
    (other.dir / "f").write_text("untouched")
    assert other.get("f")[0] == 200
    assert "error" not in s.release() and not s.data.exists()


def waits_in(pid, where):
    """Whether a thread of the process is in a function of the kernel whose name begins so."""
    return any(p.read_text().startswith(where) for p in pathlib.Path(f"/proc/{pid}/task").glob("*/wchan"))


def test_a_cut_frees_who_waits_for_who_waits_for_an_answer(world):
    """The guest holds its folder's lock until its mkdir is answered; brokerd's word to the kernel waits for that lock."""
    s, auditd, brokerd = Session(world), world.stack.proc["auditd"], world.stack.proc["brokerd"].pid
    (s.dir / "d").mkdir()
    assert error_of(os.stat, s.dir / "d/g") == errno.ENOENT   # what is asked for next is asked for with the lock
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with Held(s.data / "d") as held:
            put = pool.submit(s.put, "d/n", b"x")
            held.wait()   # in its place, and not told yet
            auditd.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, auditd.pid, os.WSTOPPED)
            guest = subprocess.Popen(["/usr/bin/mkdir", s.dir / "d/g"], stderr=subprocess.PIPE, text=True)
            eventually(lambda: waits_in(guest.pid, "request_wait_answer"))
        try:
            eventually(lambda: waits_in(brokerd, "fuse_reverse_inval_entry"))
            world.deny(1, s.id)
            eventually(lambda: error_of_or_none(os.stat, s.dir / "none") == errno.ENOTCONN)
        finally:
            auditd.send_signal(signal.SIGCONT)
        assert guest.wait(30) != 0
        eventually(lambda: not s.listed().get("mounted"))
        assert error_of(os.listdir, s.dir / "d") in (errno.ENOTCONN, errno.ECONNABORTED)
        put.result()


def test_a_denied_token_is_refused_and_others_are_not(world):
    s = Session(world)
    (s.dir / "f").write_text("x")
    jti = "tok_" + files_world.ulid()
    stolen = world.token("alice", jti=jti)
    assert s.get("f", token=stolen)[0] == 200
    world.deny(3, jti)
    eventually(lambda: s.get("f", token=stolen)[0] == 401)
    assert s.get("f")[0] == 200


@pytest.mark.parametrize("end", [lambda w, s, jti: w.deny(1, s.id), lambda w, s, jti: w.deny(2, s.caller),
                                 lambda w, s, jti: w.deny(3, jti), lambda w, s, jti: s.release()],
                         ids=["session", "caller", "token", "release"])
def test_an_end_reaches_requests_under_way(world, end):
    s, size, jti = Session(world), 32 << 20, "tok_" + files_world.ulid()
    token = world.token("alice", jti=jti)
    with open(s.dir / "big", "wb") as f:
        f.truncate(size)
    files = f"/v1/filesystems/{s.fs}/files"
    download = Request(world, f"GET {files}/big HTTP/1.1", token)
    assert download.status() == 200
    upload = Request(world, f"PUT {files}/late HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue", token)
    assert upload.status() == 100   # admitted
    upload.s.sendall(b"ab")
    end(world, s, jti)
    eventually(lambda: s.get("big", token=token)[0] in (401, 403, 404))
    eventually(download.cut)
    assert download.rest() < size / 2
    begun = world.file_events(s, action="file.get", outcome="success")[0]
    eventually(lambda: [e["outcome"] for e in world.file_events(s, trace_id=begun["trace_id"])][1:])   # and why it ended
    upload.s.sendall(b"cd")
    assert upload.status() in (401, 403, 404)
    assert not (s.data / "late").exists()
    assert not [e for e in world.file_events(s, action="file.put") if e["outcome"] == "success"]
    eventually(lambda: not os.listdir(world.stack.dir / "state/brokerd/spool"))


def test_who_cannot_hear_of_denials_lets_nothing_through(world):
    s = Session(world)
    fd = os.open(s.dir / "f", os.O_RDWR | os.O_CREAT)
    assert os.pwrite(fd, b"before", 0) == 6
    (s.dir / "g").write_bytes(b"mapped")
    with open(s.dir / "g", "r+b") as g:
        mapped = mmap.mmap(g.fileno(), 6)
    assert mapped[:] == b"mapped"   # its kernel has it
    world.operator.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: world.http("/readyz")[0] == 503, timeout=90)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        for fn in (lambda: os.pwrite(fd, b"x", 6), lambda: os.pread(fd, 1, 0), lambda: os.ftruncate(fd, 0),
                   lambda: os.utime(s.dir / "f"), lambda: os.mkdir(s.dir / "d"), lambda: open(s.dir / "f", "rb"),
                   lambda: os.posix_fallocate(fd, 0, 4096), lambda: os.unlink(s.dir / "f"), lambda: os.listdir(s.dir)):
            assert error_of(fn) == errno.EIO
        mapped[:1] = b"M"
        assert error_of(mapped.flush) == errno.EIO and (s.data / "g").read_bytes() == b"mapped"
        e = world.file_events(s, action="file.mkdir")[-1]
        assert e["outcome"] == "denied" and e["status_code"] == "denylist_stale"
        assert s.get("f")[0] == 503
        assert os.stat(s.dir / "f").st_size == 6   # that it is there is told, as is its length
    finally:
        world.operator.send_signal(signal.SIGCONT)
    eventually(lambda: world.http("/readyz")[0] == 200)
    assert os.pwrite(fd, b" and after", 6) == 10 and (s.dir / "f").read_bytes() == b"before and after"
    os.close(fd)


def test_an_unmounted_file_system_is_forgotten_and_can_be_mounted_again(world):
    s = Session(world)
    (s.dir / "f").write_text("x")
    s.unmount()
    eventually(lambda: not s.listed().get("mounted"))
    assert s.get("f")[0] == 200
    s.mount()
    assert (s.dir / "f").read_text() == "x"
    assert len(world.file_events(s, action="filesystem.attach")) == 2
    eventually(lambda: len(world.file_events(s, action="filesystem.detach")) == 1)


def test_brokerd_killed_and_started_again(world):
    s = Session(world, quota_bytes=1 << 20)
    other = Session(world)
    (s.dir / "f").write_bytes(b"x" * 5000)
    boot = world.call("mount.List")["boot_id"]
    (s.data.parent / "staging" / "half").write_text("an upload that was never acknowledged")
    world.stack.restart("brokerd")
    world.wait_ready()
    assert error_of(os.listdir, s.dir) in (errno.ENOTCONN, errno.ECONNABORTED)
    eventually(lambda: world.call("mount.List").get("boot_id", boot) != boot)
    assert world.call("mount.List")["mounts"] == []
    assert s.get("f")[0] == 404                     # nobody has registered it yet
    assert "error" not in s.register()
    assert s.listed()["used_bytes"] == 8192         # counted anew
    assert s.get("f")[2] == b"x" * 5000
    assert not (s.data.parent / "staging" / "half").exists()
    s.unmount()
    s.mount()
    assert (s.dir / "f").read_bytes() == b"x" * 5000
    # A session that operatord ends without ever registering it again.
    assert other.release()["files_deleted"] >= 1 and not other.data.exists()


def test_what_nobody_registers_is_removed():
    with files_world.World(abandoned_after="3s") as w:
        s, kept = Session(w), Session(w)
        (s.dir / "f").write_text("x")
        assert "error" not in s.release(scrub=False)
        eventually(lambda: not s.data.exists(), timeout=60)
        assert kept.data.exists()
        (kept.dir / "f").write_text("x")
        eventually(lambda: trash(w) == [], timeout=60)
        assert [e["unmapped"]["filesystem_id"] for e in w.events(action="filesystem.expire")] == [s.fs]


def test_trash_of_a_crash_is_emptied(world):
    world.stack.kill("brokerd")
    left = world.volumes / "trash" / "left-by-a-crash"
    (left / "data/deep/deeper").mkdir(parents=True)
    (left / "data/deep/deeper/f").write_text("x")
    for p in (left, *left.rglob("*")):
        os.chown(p, 58103, 58103)
    world.stack.start("brokerd")
    eventually(lambda: trash(world) == [])


def test_stopping_is_orderly_with_mounts_and_open_files(world):
    s = Session(world)
    held = open(s.dir / "f", "wb")
    held.write(b"x" * 100)
    held.flush()
    assert world.stack.kill("brokerd", signal.SIGTERM) == 0
    assert error_of(os.listdir, s.dir) in (errno.ENOTCONN, errno.ECONNABORTED)
    world.stack.start("brokerd")
    world.wait_ready()
    eventually(lambda: "boot_id" in world.call("mount.List"))   # operatord's side has found it again, too
    assert "error" not in s.register()
    assert (s.data / "f").read_bytes() == b"x" * 100


@contextlib.contextmanager
def small_disk(options):
    """A world whose volumes are on a file system of their own that fills up before any quota."""
    with files_world.World() as w:
        small = w.stack.dir / "small"
        small.mkdir()
        w.stack.kill("brokerd", 15)
        assert files_world.libc.mount(b"tmpfs", os.fsencode(small), b"tmpfs", 0, options + b",mode=755") == 0
        try:
            w.volumes = small / "volume"
            w.stack.config["brokerd"]["volume_dir"] = str(w.volumes)
            w.stack.start("brokerd")
            w.wait_ready()
            yield w
            w.stack.kill("brokerd", 15)
            w.stack.start("brokerd")
        finally:
            w.stack.kill("brokerd", 15)
            files_world.libc.umount2(os.fsencode(small), 2)


def test_a_full_disk_is_an_error_and_no_more():
    with small_disk(b"size=8m") as w:
        s = Session(w)
        fd = os.open(s.dir / "f", os.O_CREAT | os.O_RDWR)
        with pytest.raises(OSError) as e:
            for i in range(64):
                os.pwrite(fd, b"x" * (1 << 20), i << 20)
        assert e.value.errno == errno.ENOSPC
        size = os.fstat(fd).st_size
        assert s.listed()["used_bytes"] <= size + 4096
        status, _, body = s.put("north", b"y" * 4096 * 64)
        assert status == 507, body
        os.ftruncate(fd, 0)
        assert s.put("north", b"y" * 4096 * 64)[0] == 201
        (s.dir / "after").write_text("fine again")
        os.close(fd)
        s.close()
        assert "error" not in s.release()


def test_names_that_the_disk_has_no_room_for_are_not_charged():
    def used(s):
        mine, = json.loads(s.world.north("GET", "/v1/filesystems", token=s.world.token("alice"))[2])["filesystems"]
        return mine["used_files"]

    with small_disk(b"nr_inodes=60") as w:
        s, made = Session(w), []
        with pytest.raises(OSError) as e:
            for i in range(100):
                os.mkdir(s.dir / str(i))
                made.append(i)
        assert e.value.errno == errno.ENOSPC and used(s) == len(made)
        for fn in (lambda: os.symlink("x", s.dir / "l"), lambda: os.mkfifo(s.dir / "p"),
                   lambda: os.close(os.open(s.dir / "f", os.O_CREAT))):
            assert error_of(fn) == errno.ENOSPC and used(s) == len(made)
        status, _, body = s.put("none/f", b"")
        assert status == 507 and used(s) == len(made), body
        # Two are free: the upload takes one, the first folder another, and there is none for the second.
        for i in made[-2:]:
            os.rmdir(s.dir / str(i))
        assert s.put("a/b/f", b"")[0] == 507 and used(s) == len(made) - 2 + 1
        assert s.put("a/f", b"")[0] == 201 and used(s) == len(made)
        assert os.listdir(s.data.parent / "staging") == []
