"""brokerd's evidence: every operation on either face is in the trail before it is done, and without the trail nothing is."""
# shows: NFR-SEC-79, NFR-SEC-72, NFR-REL-12, NFR-MAINT-AUDIT-SCHEMA (in part), NFR-SEC-73
import concurrent.futures
import json
import os
import signal
import stat
import subprocess
import threading

import pytest

import files_world
from files_world import Session, error_of, errno, eventually


@pytest.fixture(scope="module")
def world():
    with files_world.World() as w:
        yield w


def of(world, session, action):
    return [e for e in world.file_events(session, action=action)]


def test_every_operation_is_an_event(world):
    s = Session(world)
    d = s.dir
    (d / "f").write_bytes(b"x" * 1000)
    (d / "f").read_bytes()
    with open(d / "f", "r+b") as f:
        f.write(b"y")
    os.mkdir(d / "dir")
    os.rename(d / "f", d / "dir/g")
    os.symlink("/etc/shadow", d / "l")
    os.truncate(d / "dir/g", 10)
    os.chmod(d / "dir/g", 0o600)
    os.mkfifo(d / "pipe")
    for fn, args in ((os.link, (d / "dir/g", d / "second")), (os.chown, (d / "dir/g", 1, 1)),
                     (os.mknod, (d / "dev", stat.S_IFCHR, 0x103))):
        assert error_of(fn, *args) == errno.EPERM
    assert error_of(os.rmdir, d / "dir") == errno.ENOTEMPTY
    os.unlink(d / "dir/g")
    os.rmdir(d / "dir")
    s.put("north", b"n" * 77)
    s.get("north")
    s.list()
    s.delete("north")
    s.get("north")
    # What reports a failure or a close is delivered behind the answer.
    eventually(lambda: [len(of(world, s, a)) for a in ("file.get", "file.rmdir")] == [2, 3] and len(of(world, s, "file.close")) >= 3)
    events = {}
    for e in world.file_events(s):
        events.setdefault(e["action"], []).append(e)

    def one(action, n=0):
        e = events[action][n]
        return e["unmapped"], e["outcome"]

    for e in sum(events.values(), []):
        assert e["class_uid"] == 1001 and e["session_id"] == s.id and e["trace_id"].startswith("trc_")
        assert e["unmapped"]["filesystem_id"] == s.fs
        if e["unmapped"]["face"] != "control" and not e["action"].startswith("filesystem.attach"):
            assert e["actor_id"] == "alice"
    assert one("file.create")[0]["handle"] == "f" and one("file.create")[0]["intent"] == "write"
    assert [e["unmapped"]["intent"] for e in events["file.open"][:2]] == ["read", "write"]
    closes = [e["unmapped"] for e in events["file.close"]]
    assert any({"handle": "f", "bytes_written": 1000, "intent": "write"}.items() <= c.items() for c in closes)
    assert one("file.rename")[0]["handle"] == "f" and one("file.rename")[0]["to"] == "dir/g"
    assert one("file.symlink")[0]["to"] == "/etc/shadow"
    assert one("file.truncate")[0]["bytes"] == 10 and one("file.chmod")[0]["handle"] == "dir/g"
    assert one("file.link")[1] == one("file.chown")[1] == "denied"
    assert [e["outcome"] for e in events["file.mknod"]] == ["success", "denied"]
    # Recorded, tried, and the failure recorded under the same trace.
    rmdirs = events["file.rmdir"]
    [failure] = [e for e in rmdirs if e["outcome"] == "failure"]
    [tried] = [e for e in rmdirs if e["outcome"] == "success" and e["trace_id"] == failure["trace_id"]]
    [done] = [e for e in rmdirs if e["trace_id"] != failure["trace_id"]]
    assert failure["unmapped"]["errno"] == errno.ENOTEMPTY and done["outcome"] == "success" and tried
    assert one("file.put")[0]["bytes"] == 77 and one("file.get")[0]["bytes"] == 77
    assert one("file.put")[0]["face"] == "north" and one("file.list")[0]["intent"] == "read"
    assert one("file.get", 1)[1] == "failure"
    assert one("file.delete")[0]["downloadable"] is True
    s.close()
    s.release()


def test_names_cannot_forge_evidence(world):
    s = Session(world)
    d = os.fsencode(s.dir)
    os.mkdir(d + b'/","outcome":"denied')
    os.mkdir(d + b"/new\nline\x1b[2J\xff\\x0a")
    deep = d + b"/" + b"/".join([b"n" * 200] * 15)
    os.makedirs(deep)
    handles = [e["unmapped"]["handle"] for e in of(world, s, "file.mkdir")]
    assert handles[0] == '","outcome":"denied'
    assert handles[1] == "new\\x0aline\\x1b[2J\\xff\\x5cx0a"
    assert "\\..." in handles[-1] and handles[-1].startswith("nnn") and len(handles[-1]) < 1024
    s.close()
    s.release()


def test_refusals_on_the_north_face_are_events(world):
    s = Session(world)
    assert s.get("f", token="x.y.z")[0] == 401
    assert s.get("f", token=world.token("mallory"))[0] == 404
    refused = eventually(lambda: [e for e in world.events(action="file.get") if e["actor_id"] in ("mallory", "unauthenticated")])
    assert {e["outcome"] for e in refused} <= {"denied", "failure"}
    assert all(e["session_id"] == "" for e in refused)   # nothing of the session is told of, or to, a stranger
    s.close()
    s.release()


def test_nothing_is_done_without_auditd(world):
    """kill -9 in the middle of four writers: what was acknowledged is recorded, what was not did not happen."""
    s = Session(world)
    script = """
import os, sys
i = 0
while True:
    p = f"{sys.argv[1]}/{sys.argv[2]}-{i}"
    try:
        os.close(os.open(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        print(os.path.basename(p), flush=True)
    except OSError as e:
        print("error", e.errno, os.path.basename(p), flush=True)
        sys.exit(0)
    i += 1
"""
    for n in range(4):
        os.mkdir(s.dir / f"w{n}")
    writers = [subprocess.Popen(["/usr/bin/python3", "-c", script, str(s.dir / f"w{n}"), f"w{n}"], stdout=subprocess.PIPE, text=True)
               for n in range(4)]
    eventually(lambda: all(len(os.listdir(s.data / f"w{n}")) > 50 for n in range(4)))
    world.stack.kill("auditd")
    acknowledged, failed = set(), {}
    for n, w in enumerate(writers):
        for line in w.stdout:
            if line.startswith("error"):
                _, code, name = line.split()
                failed[name] = int(code)
            else:
                acknowledged.add(line.strip())
        assert w.wait(60) == 0
    assert set(failed.values()) == {errno.EIO} and len(failed) == 4
    assert len(acknowledged) >= 200
    there = {p.name for n in range(4) for p in (s.data / f"w{n}").iterdir()}
    assert acknowledged <= there
    # What exists but was not acknowledged can only be what was recorded just before the end.
    assert error_of(os.mkdir, s.dir / "dir") == errno.EIO
    assert error_of(os.unlink, s.dir / "w0/w0-0") == errno.EIO
    assert error_of(os.open, s.dir / "w0/w0-0", os.O_RDONLY) == errno.EIO
    assert error_of(os.rename, s.dir / "w0", s.dir / "w9") == errno.EIO
    assert not (s.data / "dir").exists() and (s.data / "w0/w0-0").exists()
    for status, _, body in (s.put("north", b"x"), s.get("w0/w0-0"), s.delete("w0/w0-0"), s.request("GET")):
        assert status == 503 and json.loads(body)["error"]["code"] == "audit_unavailable"
    # Nor is anybody told what is there and what is not.
    etag = {"If-Match": '"other"'}
    asked = (lambda: s.get("none"), lambda: s.get("w0/w0-0", headers=etag), lambda: s.get("w0"), lambda: s.get("w0/../w1"),
             lambda: s.get("w0/w0-0", headers={"Range": "bytes=1-"}), lambda: s.request("HEAD", "none"),
             lambda: s.put("none", b"x", headers=etag), lambda: s.get("none", token=world.token("mallory")))
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        for status, _, body in pool.map(lambda ask: ask(), asked):
            assert status == 503 and (not body or json.loads(body)["error"]["code"] == "audit_unavailable")
    assert not (s.data / "north").exists() and (s.data / "w0/w0-0").exists()
    assert list((s.data.parent / "staging").iterdir()) == []
    assert world.http("/readyz")[0] == 503
    # Looking needs no record.
    assert len(os.listdir(s.dir)) == 4
    world.stack.start("auditd")
    eventually(lambda: world.http("/readyz")[0] == 200, timeout=60)
    (s.dir / "after").write_text("x")
    recorded = {e["unmapped"]["handle"].split("/")[-1] for e in of(world, s, "file.create")}
    assert acknowledged <= recorded
    assert there - acknowledged <= recorded
    assert world.metric("ocu_brokerd_audit_refused_total") >= 8
    subprocess.run([files_world.program("occ"), "--deployment", world.stack.etc, "audit", "verify"], check=True, capture_output=True)
    s.close()
    s.release()


def test_what_failed_is_recorded_before_it_is_told(world):
    s = Session(world)
    s.put("f", b"x")
    other = {"If-Match": '"other"'}
    for what, action, code in ((lambda: s.get("none"), "file.get", "not_found"),
                               (lambda: s.get("f", headers=other), "file.get", "wrong_state"),
                               (lambda: s.get("f", headers={"Range": "bytes=1-"}), "file.get", "invalid_params"),
                               (lambda: s.put("f", b"y", headers=other), "file.put", "wrong_state"),
                               (lambda: s.delete("none"), "file.delete", "not_found"),
                               (lambda: s.get("/f"), "file.get", "invalid_params")):
        trace = what()[1]["X-Correlation-Id"]
        last = world.events(action=action, trace_id=trace)[-1]   # at once: nothing is waited for
        assert (last["outcome"], last["status_code"]) == ("failure", code)
    strange = s.get("f", token=world.token("mallory"))
    assert strange[0] == 404
    assert world.events(trace_id=strange[1]["X-Correlation-Id"])[0]["actor_id"] == "mallory"
    s.close()
    s.release()


def test_a_hung_auditd_does_not_stop_what_needs_no_record(world):
    s = Session(world)
    fd = os.open(s.dir / "f", os.O_CREAT | os.O_RDWR)
    (s.dir / "g").write_text("x")
    world.stack.proc["auditd"].send_signal(signal.SIGSTOP)
    try:
        waiting = threading.Thread(target=lambda: error_of(os.mkdir, s.dir / "later"))
        waiting.start()
        rounds = 0
        while waiting.is_alive():   # without its record; none of these waits for one
            os.pwrite(fd, b"x" * 4096, rounds % 200 * 4096)
            assert os.pread(fd, 4096, rounds % 200 * 4096) == b"x" * 4096
            os.fsync(fd)
            rounds += waiting.is_alive()
        assert rounds > 0
    finally:
        world.stack.proc["auditd"].send_signal(signal.SIGCONT)
    os.close(fd)
    eventually(lambda: world.http("/readyz")[0] == 200)
    (s.dir / "again").write_text("x")
    s.close()
    s.release()
