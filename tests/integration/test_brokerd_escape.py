"""Getting out of a volume: from inside the mount with names swapped under the broker's feet, and from the north face."""
# shows: NFR-SEC-25, NFR-SEC-31, NFR-SEC-22, NFR-SEC-43
import http.client
import os
import pathlib
import subprocess
import time
import urllib.parse

import pytest

import files_world
from files_world import Session, error_of, errno, eventually

SECRET = "the secret outside"


@pytest.fixture(scope="module")
def world():
    with files_world.World(north_ops="1000000") as w:
        yield w


@pytest.fixture
def victim(world):
    """A folder outside of every volume that brokerd's user may read and write: only the confinement protects it."""
    v = world.stack.dir / "victim"
    v.mkdir(exist_ok=True)
    (v / "secret").write_text(SECRET)
    (v / "dir").mkdir(exist_ok=True)
    (v / "dir/inner").write_text(SECRET)
    for p in (v, *v.rglob("*")):
        os.chown(p, 58103, 58103)
    before = snapshot(v)
    yield v
    assert snapshot(v) == before


def snapshot(top):
    return {str(p.relative_to(top)): (p.read_text() if p.is_file() else None, p.lstat().st_mode, p.lstat().st_uid,
                                      p.lstat().st_mtime_ns) for p in top.rglob("*")}


@pytest.fixture
def session(world):
    s = Session(world)
    yield s
    s.close()
    s.release()


def in_guest(session, script, wait=True):
    """Runs a program whose root is the mount: it can reach nothing else, unless the broker reaches it on its behalf."""
    code = f"import os, ctypes, threading, time, random, encodings.idna\nlibc = ctypes.CDLL(None)\nos.chdir({str(session.dir)!r})\nos.chroot('.')\n" + script
    p = subprocess.Popen(["/usr/bin/python3", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if not wait:
        return p
    out, err = p.communicate(timeout=120)
    assert p.returncode == 0, err
    return out


def test_links_out_lead_nowhere_for_the_guest(session, victim):
    out = in_guest(session, f"""
target = {str(victim)!r}
os.symlink(target + '/secret', 'abs')
os.symlink('../' * 12 + target.lstrip('/') + '/secret', 'rel')
os.symlink(target, 'dir')
for name in ('abs', 'rel', 'dir/secret', '../' * 20 + target.lstrip('/') + '/secret', '/proc/self/root/etc/passwd'):
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_CREAT):
        try:
            os.close(os.open(name, flags))
            print('opened', name, flags)
        except OSError:
            pass
""")
    assert out == ""
    assert error_of(os.link, session.dir / "abs", session.dir / "hard") == errno.EPERM


def test_swapped_names_never_reach_the_outside(session, victim):
    """A folder and a link out trade places as fast as they can while the guest and the north face work through the name."""
    os.mkdir(session.dir / "door")
    (session.dir / "door/secret").write_text("inside")
    (session.dir / "door/inner").write_text("inside")
    os.symlink(str(victim), session.dir / "trap")
    swapper = in_guest(session, """
print('go', flush=True)
while not os.path.exists('stop'):
    for _ in range(50):
        libc.renameat2(-100, b'door', -100, b'trap', 2)
""", wait=False)
    assert swapper.stdout.readline() == "go\n"
    worker = in_guest(session, """
seen = set()
rng = random.Random(1)
while not os.path.exists('stop'):
    for _ in range(20):
        try:
            what = rng.randrange(7)
            if what == 0: seen.add(open('door/secret').read())
            elif what == 1: open('door/new', 'w').write('planted')
            elif what == 2: os.unlink('door/new')
            elif what == 3: os.rename('door/inner', 'door/other')
            elif what == 4: os.rename('door/other', 'door/inner')
            elif what == 5: os.mkdir('door/made')
            elif what == 6: os.rmdir('door/made')
        except OSError:
            pass
print(sorted(seen))
""", wait=False)
    statuses = {}
    start = time.monotonic()
    # Eight seconds of it, and longer where neither state of the door was met in them.
    while (t := time.monotonic() - start) < 8 or (t < 60 and not (statuses.keys() & {404, 409} and 200 in statuses)):
        for r in (session.get("door/secret"), session.put("door/north", b"planted"), session.delete("door/north"),
                  session.request("GET", query={"path": "door"}), session.delete("door/dir/inner"),
                  session.put("door/dir/inner", b"planted")):
            statuses[r[0]] = statuses.get(r[0], 0) + 1
            assert SECRET.encode() not in r[2]
            assert r[0] in (200, 201, 204, 404, 409), r
    (session.dir / "stop").touch()
    assert swapper.wait(60) == 0
    out = worker.communicate(timeout=60)[0]
    assert SECRET not in out
    assert statuses.get(409, 0) + statuses.get(404, 0) > 0 and statuses.get(200, 0) > 0, statuses


def test_moving_a_folder_that_is_in_use(session, victim):
    """Working inside a folder while it is moved about, replaced by a link, and removed."""
    out = in_guest(session, f"""
os.makedirs('a/b/c'); os.makedirs('x/y')
end = time.monotonic() + 60
done = 0
def mover():
    while time.monotonic() < end and done <= 50:
        for p, q in (('a/b', 'x/y/b'), ('x/y/b', 'b'), ('b', 'a/b')):
            os.rename(p, q)
            try: os.symlink({str(victim)!r}, p)
            except OSError: pass
            try: os.unlink(p)
            except OSError: pass
t = threading.Thread(target=mover); t.start()
fd = os.open('a', os.O_RDONLY)
while time.monotonic() < end and done <= 50:
    for base in ('a/b/c', 'x/y/b/c', 'b/c'):
        try:
            f = os.open(base + '/f', os.O_CREAT | os.O_RDWR)
            os.write(f, b'mine'); os.close(f)
            os.unlink(base + '/f')
            done += 1
        except OSError:
            pass
t.join()
print(done > 50)
""")
    assert out == "True\n"


BAD_PATHS = ["..", "../victim/secret", "a/../../victim/secret", "%2e%2e/victim/secret", "..%2fvictim%2fsecret", "a/..%2f..%2fx",
             "%2fetc%2fpasswd", "/etc/passwd", "//etc/passwd", ".", "./a", "a/./b", "a//b", "a/", "http%3a%2f%2fhost%2fx",
             "s3%3a%2f%2fbucket%2fx", "file%3a%2fetc%2fpasswd", "a%0ab", "a%00b", "%ff", "%c0%ae%c0%ae/x", "a%7f", "%c2%85",
             "n" * 256, "a/" * 600 + "b", "%", "%zz", "%c3"]


@pytest.mark.parametrize("path", BAD_PATHS, ids=[p[:24] for p in BAD_PATHS])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_paths_that_are_none_are_refused_before_anything_is_done(session, victim, path, method):
    c = session.world.connect()
    body = b"planted" if method == "PUT" else None
    c.putrequest(method, f"/v1/filesystems/{session.fs}/files/{path}", skip_accept_encoding=True)
    c.putheader("Authorization", "Bearer " + session.world.token())
    if body:
        c.putheader("Content-Length", str(len(body)))
    c.endheaders(body)
    try:
        status = c.getresponse().status
    except (http.client.BadStatusLine, ConnectionError):
        status = 400   # the HTTP layer closed on it
    assert status in (400, 404, 413, 414), status
    assert os.listdir(session.data) == []


def test_the_north_face_never_follows_links(session, victim):
    d = session.dir
    os.symlink(victim / "secret", d / "file")
    os.symlink(victim, d / "dir")
    os.symlink("dir", d / "chain")
    (d / "real").mkdir()
    os.symlink("../../../victim/secret", d / "real/rel")
    for path in ("file", "dir/secret", "chain/secret", "real/rel", "dir/dir/inner"):
        assert session.get(path)[0] in (404, 409), path
        assert session.put(path, b"planted")[0] in (404, 409), path
    for path in ("dir/secret", "chain/secret", "dir/dir/inner"):
        assert session.delete(path)[0] in (404, 409), path
    status, listing = session.list(recursive="true")
    assert status == 200 and {e["path"]: e["type"] for e in listing["entries"]} == {
        "file": "symlink", "dir": "symlink", "chain": "symlink", "real": "directory", "real/rel": "symlink"}
    assert session.request("GET", query={"path": "dir"})[0] in (404, 409)
    assert session.delete("file")[0] == 204     # the link itself may go
    assert (victim / "secret").read_text() == SECRET


def test_pipes_and_sockets_do_not_hold_the_broker(session):
    os.mkfifo(session.dir / "pipe")
    assert session.get("pipe")[0] in (400, 409)
    assert session.put("pipe", b"x")[0] in (400, 409)
    assert session.get("pipe/x")[0] == 404
    assert session.delete("pipe")[0] == 204


def test_one_session_cannot_name_another(world, session):
    other = Session(world, caller="bob")
    (other.dir / "private").write_text("bob's")
    alice, bob = world.token("alice"), world.token("bob")
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert other.request(method, "private", b"x" if method == "PUT" else None, token=alice)[0] == 404
    assert other.request("GET", token=alice)[0] == 404
    assert other.get("private", token=bob)[2] == b"bob's"
    for fs in (session.fs.lower(), session.fs + "x", "..", "trash", urllib.parse.quote("../" + other.fs, safe=""), "*"):
        assert world.north("GET", f"/v1/filesystems/{fs}/files/private", token=alice)[0] == 404
    other.close()
    other.release()


def test_the_volume_folder_is_closed_to_others(world, session):
    (session.dir / "f").write_text("x")
    for p in (world.volumes, world.volumes / session.fs):
        st = os.stat(p)
        assert (st.st_uid, st.st_mode & 0o777) == (58103, 0o700)
    script = f"import os\nos.setgid(65534); os.setuid(65534)\nopen({str(session.data / 'f')!r})"
    p = subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, text=True)
    assert p.returncode != 0 and "Permission" in p.stderr
