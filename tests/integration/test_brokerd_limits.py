"""brokerd's north face under other settings than the usual: rates, and files that may not leave."""
# shows: NFR-SEC-53, NFR-SEC-73, NFR-SEC-78, NFR-COST-06 (in part)
import concurrent.futures
import contextlib
import errno
import json
import os
import pathlib
import socket
import ssl
import stat

import pytest

import files_world
from files_world import Held, Session, eventually


def error(body):
    return json.loads(body)["error"]["code"]


def test_a_caller_has_a_rate_of_its_own():
    with files_world.World(north_ops="2", north_bytes=str(64 << 10)) as w:
        a, b, c = (Session(w, caller=n) for n in ("alice", "bob", "carol"))
        assert a.get("none")[0] == 404
        status, headers, body = next(r for r in iter(lambda: a.get("none"), None) if r[0] == 429)
        assert error(body) == "rate_limited"
        assert b.get("none")[0] == 404                                # not bob's concern
        assert c.put("big", b"x" * (1 << 20))[0] == 201               # overdrawn by some 15 s, and now it is paid back
        assert c.get("big")[0] == 429
        eventually(lambda: c.get("none")[0] == 404, timeout=120)
        eventually(lambda: [e for e in w.events(action="file.get", outcome="denied") if e["actor_id"] == "alice"])


def test_a_rate_that_is_spent_says_nothing_of_files():
    with files_world.World(north_bytes=str(64 << 10)) as w:
        s = Session(w)
        assert s.put("big", b"x" * (1 << 20))[0] == 201
        assert [s.request(method, name)[0] for method in ("GET", "HEAD") for name in ("big", "none")] == [429] * 4
        # Nothing left, nor is it said to have.
        eventually(lambda: [e["outcome"] for e in w.file_events(s, action="file.get")] == ["denied"] * 2)


def test_what_may_not_leave_does_not():
    with files_world.World(downloadable="false") as w:
        s = Session(w)
        (s.dir / "f").write_text("stays")
        status, headers, body = s.get("f")
        assert status == 403 and error(body) == "policy_denied" and b"stays" not in body
        assert s.request("HEAD", "f")[0] == 200
        assert s.list()[0] == 200 and s.put("in", b"x")[0] == 201
        e = w.file_events(s, action="file.get")[0]
        assert e["outcome"] == "denied" and e["unmapped"]["downloadable"] is False


def test_one_address_does_not_take_every_connection():
    with files_world.World() as w:
        s = Session(w)
        silent = [socket.create_connection(("127.0.0.1", 8443)) for _ in range(512)]
        c = w.connect(source=("127.0.0.2", 0))
        c.timeout = 20   # less than the silent ones are given
        c.request("GET", f"/v1/filesystems/{s.fs}/files", headers={"Authorization": "Bearer " + w.token("alice")})
        assert c.getresponse().status == 200
        for k in silent:
            k.close()

        def served():
            with contextlib.suppress(OSError):   # until the last of them is noticed to be gone
                return s.list()[0] == 200
        eventually(served)


def test_nobody_takes_the_descriptors_of_others():
    """Few descriptors; a guest that holds all it can, with names and without, and connections beside it."""
    limit = 600
    with files_world.World(nofile=limit) as w, contextlib.ExitStack() as held:
        greedy, other = Session(w), Session(w, caller="bob")
        # As often as it takes for every descriptor that the file without a name costs.
        for i in range(limit):
            try:
                held.callback(os.close, os.open(greedy.dir / f"f{i}", os.O_CREAT | os.O_RDWR))
            except OSError as e:
                assert e.errno in (errno.EMFILE, errno.ENFILE) and i > 40
                break
            with contextlib.suppress(OSError):
                os.unlink(greedy.dir / f"f{i}")
        else:
            raise AssertionError("nothing bounds what it holds")
        for _ in range(100):
            held.enter_context(socket.create_connection(("127.0.0.1", 8443), source_address=("127.0.0.2", 0)))

        def works(s):
            for i in range(10):
                held.callback(os.close, os.open(s.dir / f"f{i}", os.O_CREAT | os.O_RDWR))
            os.mkdir(s.dir / "d")
            assert sorted(os.listdir(s.dir)) == sorted(["d"] + [f"f{i}" for i in range(10)])
        works(other)
        works(Session(w))   # and another can come
        assert len(os.listdir(f"/proc/{w.stack.proc['brokerd'].pid}/fd")) < limit - 100
        ends = next(r for r in (w.call("mount.Register", session_id="ses_" + files_world.ulid(), caller="eve",
                                       filesystem_id="fs_" + files_world.ulid(), quota_bytes=1 << 20, quota_files=10)
                                for _ in range(limit)) if "error" in r)
        assert ends["error"]["reason"] == "quota_exceeded"   # not in the middle of somebody's work


def opened(world, session):
    found = []
    for p in pathlib.Path(f"/proc/{world.stack.proc['brokerd'].pid}/fd").iterdir():
        with contextlib.suppress(OSError):   # closed meanwhile
            if session.fs in os.readlink(p):
                found.append((os.readlink(p), os.stat(p)))
    return found


def blocks_of(world, session):
    """Bytes of disk under the session's files, those without a name that brokerd has open included."""
    stats = [*(os.stat(p) for p in session.data.rglob("*")), *(st for _, st in opened(world, session))]
    return sum({st.st_ino: st.st_blocks * 512 for st in stats if stat.S_ISREG(st.st_mode)}.values())


@pytest.mark.parametrize("how", ["guest", "guest_unknown", "guest_rename", "north", "north_replace", "unmounted"])
def test_a_file_without_a_name_is_charged_until_it_is_sent(how):
    size, quota = 8 << 20, 32 << 20
    with files_world.World(north_bytes=str(1 << 30)) as w:
        s, slow = Session(w, quota_bytes=quota, mount=how != "unmounted"), []
        take_away = {"guest": lambda: os.unlink(s.dir / "f"), "guest_unknown": lambda: os.unlink(s.dir / "f"),
                     "guest_rename": lambda: os.rename(s.dir / "g", s.dir / "f"),
                     "north": lambda: s.delete("f"), "unmounted": lambda: s.delete("f"),
                     "north_replace": lambda: s.put("f", b"")}[how]

        def fits():
            try:
                if how not in ("guest", "guest_rename"):
                    return s.put("f", b"x" * size)[0] != 507
                (s.dir / "f").write_bytes(b"x" * size)
                (s.dir / "g").touch()
            except ssl.SSLError:   # no room is said before the whole of it is taken
                return False
            except OSError as e:
                assert e.errno == errno.EDQUOT
                return False
            return True
        for i in range(10):
            if not fits():
                break
            # Two readers: it is charged once, and until the second is done.
            for _ in range(2):
                slow.append(files_world.Request(w, f"GET /v1/filesystems/{s.fs}/files/f HTTP/1.1", w.token("alice")))
                assert slow[-1].status() == 200
            take_away()
            assert blocks_of(w, s) <= quota
        assert i == quota // size, i
        assert not any(r.cut() for r in slow)   # who reads the old file goes on reading it
        for r in slow[::2]:
            r.s.close()
        eventually(lambda: len([n for n, _ in opened(w, s) if n.endswith("(deleted)")]) == len(slow) // 2)
        assert s.listed()["used_bytes"] >= quota - size
        for r in slow[1::2]:
            r.s.close()
        eventually(lambda: s.listed().get("used_bytes", 0) <= size)   # of a write that did not fit, part may be there
        assert s.put("f", b"x" * size)[0] in (200, 201)


def test_one_caller_does_not_take_every_worker():
    with files_world.World(north_workers="4") as w, concurrent.futures.ThreadPoolExecutor(16) as pool:
        hog, other = Session(w, caller="hog"), Session(w)
        with Held(hog.data) as held:
            under_way = [pool.submit(hog.list) for _ in range(8)]
            held.wait()
            held.wait()
            assert all(pool.submit(other.list).result(30)[0] == 200 for _ in range(20))
        assert all(f.result()[0] == 200 for f in under_way)
