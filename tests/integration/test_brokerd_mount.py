"""brokerd's south face: a real FUSE mount behaves as a file system should, whatever is done to it."""
# shows: NFR-SEC-25, NFR-SEC-46, NFR-COST-06 (in part)
import ctypes
import mmap
import os
import random
import resource
import shutil
import socket
import stat
import subprocess
import threading
import time

import pytest

import files_world
from files_world import Session, error_of, errno, eventually


@pytest.fixture(scope="module")
def world():
    with files_world.World() as w:
        yield w


@pytest.fixture
def session(world):
    s = Session(world)
    yield s
    s.close()
    s.release()


@pytest.fixture
def d(session):
    return session.dir


def test_files_are_files(d):
    p = d / "f"
    p.write_bytes(b"hello")
    assert p.read_bytes() == b"hello"
    with open(p, "ab") as f:
        f.write(b" world")
    assert p.read_bytes() == b"hello world"
    os.truncate(p, 5)
    assert p.read_bytes() == b"hello"
    with open(p, "r+b") as f:
        f.seek(10000)
        f.write(b"x")
    assert p.stat().st_size == 10001
    assert p.read_bytes()[:10] == b"hello\0\0\0\0\0"
    os.rename(p, d / "g")
    assert not p.exists()
    with open(d / "g", "wb"):
        pass
    assert (d / "g").stat().st_size == 0
    os.unlink(d / "g")
    assert error_of(os.stat, d / "g") == errno.ENOENT
    assert os.listdir(d) == []


def test_open_flags(d):
    fd = os.open(d / "f", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o444)
    os.write(fd, b"written through a descriptor of a read-only file")
    os.close(fd)
    assert error_of(os.open, d / "f", os.O_CREAT | os.O_EXCL) == errno.EEXIST
    assert error_of(os.open, d / "none", os.O_RDONLY) == errno.ENOENT
    os.mkdir(d / "dir")
    assert error_of(os.open, d / "dir", os.O_WRONLY) == errno.EISDIR
    os.chmod(d / "f", 0o644)
    fd = os.open(d / "f", os.O_RDONLY | os.O_TRUNC)
    assert os.fstat(fd).st_size == 0
    assert error_of(os.write, fd, b"x") == errno.EBADF
    os.close(fd)
    fd = os.open(d / "f", os.O_RDWR | os.O_SYNC)
    os.write(fd, b"abc")
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    dfd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(dfd)
    os.close(dfd)


def test_append_of_many_writers_loses_nothing(d):
    script = "import os,sys\nfd=os.open(sys.argv[1],os.O_WRONLY|os.O_APPEND|os.O_CREAT,0o644)\n" \
             "for i in range(300): os.write(fd,(sys.argv[2]*31+'\\n').encode())\n"
    writers = [subprocess.Popen(["/usr/bin/python3", "-c", script, str(d / "log"), c]) for c in "abcd"]
    assert [w.wait(60) for w in writers] == [0] * 4
    lines = (d / "log").read_text().splitlines()
    assert len(lines) == 1200
    assert all(len(line) == 31 and len(set(line)) == 1 for line in lines)


def test_directories_and_names(d):
    os.makedirs(d / "a/b/c")
    (d / "a/b/c/f").write_text("x")
    os.rename(d / "a/b", d / "moved")
    assert (d / "moved/c/f").read_text() == "x"
    assert error_of(os.rmdir, d / "moved") == errno.ENOTEMPTY
    assert error_of(os.rename, d / "a", d / "a/sub") == errno.EINVAL
    os.mkdir(d / "empty")
    os.rename(d / "moved/c", d / "empty")
    assert (d / "empty/f").read_text() == "x"
    odd = os.fsencode(d) + b"/\xff\x01 \\ new\nline"
    os.mkdir(odd)
    assert os.path.basename(odd) in os.listdir(os.fsencode(d))
    os.rmdir(odd)
    assert error_of(os.mkdir, str(d / ("n" * 256))) == errno.ENAMETOOLONG
    os.mkdir(d / ("n" * 255))


def test_rename_flags(d):
    (d / "a").write_text("a")
    (d / "b").write_text("b")
    libc = files_world.libc
    name = lambda n: os.fsencode(d / n)  # noqa: E731
    assert libc.renameat2(-100, name("a"), -100, name("b"), 1) == -1 and ctypes.get_errno() == errno.EEXIST
    assert libc.renameat2(-100, name("a"), -100, name("b"), 2) == 0
    assert (d / "a").read_text() == "b" and (d / "b").read_text() == "a"
    os.mkdir(d / "dir")
    (d / "dir/in").write_text("in")
    assert libc.renameat2(-100, name("a"), -100, name("dir"), 2) == 0
    assert (d / "a/in").read_text() == "in" and (d / "dir").read_text() == "b"
    assert libc.renameat2(-100, name("b"), -100, name("c"), 1) == 0
    assert libc.renameat2(-100, name("c"), -100, name("w"), 4) == -1 and ctypes.get_errno() == errno.EINVAL
    os.rename(d / "c", d / "c")
    assert (d / "c").read_text() == "a"


def test_symbolic_links_are_the_guests_affair(d, session):
    (d / "target").write_text("inside")
    os.symlink("target", d / "rel")
    os.symlink("/etc/hostname", d / "abs")
    os.symlink("x" * 4000, d / "long")
    assert os.readlink(d / "abs") == "/etc/hostname" and os.readlink(d / "long") == "x" * 4000
    assert (d / "rel").read_text() == "inside"
    assert stat.S_ISLNK(os.lstat(d / "abs").st_mode)
    assert os.readlink(session.data / "abs") == "/etc/hostname"
    os.rename(d / "abs", d / "moved")
    assert os.readlink(d / "moved") == "/etc/hostname"
    os.unlink(d / "moved")


def test_owner_is_the_guests_root_and_modes_are_kept(world):
    s = Session(world, guest_uid=100000)
    d = s.dir
    (d / "f").write_text("x")
    os.mkdir(d / "dir")
    os.symlink("f", d / "l")
    for name in (".", "f", "dir", "l"):
        st = os.lstat(d / name)
        assert (st.st_uid, st.st_gid) == (100000, 100000)
    for mode in (0o600, 0o4755 & 0o777, 0o000, 0o644, 0o1777):
        os.chmod(d / "f", mode)
        assert stat.S_IMODE(os.stat(d / "f").st_mode) == mode
    os.chmod(d / "dir", 0o3775)
    assert stat.S_IMODE(os.stat(d / "dir").st_mode) == 0o3775
    os.chmod(d / "f", 0o6755)  # means nothing on a nosuid mount, and is not stored on the host
    assert stat.S_IMODE(os.stat(s.data / "f").st_mode) == 0o755
    old = os.umask(0)
    try:
        os.close(os.open(d / "open", os.O_CREAT, 0o666))
        os.mkdir(d / "opendir", 0o777)
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(d / "open").st_mode) == 0o666
    assert stat.S_IMODE(os.stat(d / "opendir").st_mode) == 0o777
    os.chown(d / "f", 100000, 100000)
    os.chown(d / "f", -1, -1)
    assert error_of(os.chown, d / "f", 0, -1) == errno.EPERM
    assert error_of(os.chown, d / "f", -1, 100001) == errno.EPERM
    s.close()
    s.release()


def test_what_is_not_served_is_refused(d):
    (d / "f").write_text("x")
    assert error_of(os.link, d / "f", d / "second") == errno.EPERM
    assert error_of(os.mknod, d / "dev", stat.S_IFCHR | 0o600, os.makedev(1, 3)) == errno.EPERM
    assert error_of(os.mknod, d / "blk", stat.S_IFBLK | 0o600, os.makedev(8, 0)) == errno.EPERM
    assert error_of(os.setxattr, d / "f", "user.a", b"1") == errno.ENOTSUP
    assert error_of(os.getxattr, d / "f", "user.a") == errno.ENOTSUP
    assert sorted(os.listdir(d)) == ["f"]
    os.mknod(d / "plain", stat.S_IFREG | 0o600)
    assert (d / "plain").stat().st_size == 0


def test_pipes_and_sockets_work_between_guest_programs(d):
    os.mkfifo(d / "pipe")
    reader = threading.Thread(target=lambda: got.append((d / "pipe").read_text()))
    got = []
    reader.start()
    (d / "pipe").write_text("through")
    reader.join(10)
    assert got == ["through"]
    server = socket.socket(socket.AF_UNIX)
    cwd = os.getcwd()
    os.chdir(d)
    try:
        server.bind("sock")
        server.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect("sock")
    finally:
        os.chdir(cwd)
    client.send(b"hi")
    assert server.accept()[0].recv(10) == b"hi"
    assert stat.S_ISSOCK(os.lstat(d / "sock").st_mode)


def test_times(d):
    (d / "f").write_text("x")
    os.utime(d / "f", ns=(1_000_000_001, 2_000_000_002))
    st = os.stat(d / "f")
    assert (st.st_atime_ns, st.st_mtime_ns) == (1_000_000_001, 2_000_000_002)
    os.utime(d / "f")
    assert abs(os.stat(d / "f").st_mtime - time.time()) < 10
    os.symlink("none", d / "l")
    os.utime(d / "l", ns=(5, 6), follow_symlinks=False)
    assert os.lstat(d / "l").st_mtime_ns == 6


def test_unlinked_files_live_until_closed(d, session):
    before = session.listed()["used_bytes"] if "used_bytes" in session.listed() else 0
    f = open(d / "f", "w+b")
    f.write(b"x" * 100000)
    f.flush()
    os.unlink(d / "f")
    assert os.fstat(f.fileno()).st_nlink == 0
    assert os.fstat(f.fileno()).st_size == 100000
    f.seek(0)
    assert f.read() == b"x" * 100000
    f.write(b"y" * 5000)
    f.flush()
    os.ftruncate(f.fileno(), 50000)
    os.fchmod(f.fileno(), 0o600)
    with open(f"/proc/self/fd/{f.fileno()}", "rb") as again:
        assert again.read() == b"x" * 50000
    (d / "f").write_text("another")
    assert os.fstat(f.fileno()).st_size == 50000
    assert session.listed()["used_bytes"] == before + 53248 + 4096
    f.close()
    eventually(lambda: session.listed()["used_bytes"] == before + 4096)
    # The same for one that another is renamed over.
    with open(d / "f", "rb") as f:
        (d / "g").write_text("new")
        os.rename(d / "g", d / "f")
        assert f.read() == b"another"
        assert os.fstat(f.fileno()).st_nlink == 0
    assert (d / "f").read_text() == "new"


def test_removed_folders_stay_where_somebody_stands(d):
    os.mkdir(d / "cwd")
    fd = os.open(d / "cwd", os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir(d / "cwd")
    assert os.listdir(fd) == []
    assert error_of(lambda: os.open("f", os.O_CREAT, dir_fd=fd)) == errno.ENOENT
    assert os.fstat(fd).st_ino > 0
    os.close(fd)


def test_mmap(d):
    (d / "m").write_bytes(b"\0" * 3 * 4096)
    with open(d / "m", "r+b") as f:
        m = mmap.mmap(f.fileno(), 0)
        m[0:5] = b"first"
        m[8192:8197] = b"third"
        m.flush()
        assert (d / "m").read_bytes()[8192:8197] == b"third"
        m[4096:4102] = b"second"
        m.close()
    assert (d / "m").read_bytes()[4096:4102] == b"second"
    with open(d / "m", "rb") as f:
        m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        os.unlink(d / "m")
        assert m[0:5] == b"first"
        m.close()


def test_mapped_writes_are_on_disk_after_close(d, session):
    with open(d / "m", "w+b") as f:
        f.truncate(8192)
        m = mmap.mmap(f.fileno(), 0)
        m[100:105] = b"bytes"
        m.close()
    assert (session.data / "m").read_bytes()[100:105] == b"bytes"


def test_holes_allocation_and_server_side_copy(d):
    fd = os.open(d / "f", os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(fd, 0, 1 << 20)
    assert os.fstat(fd).st_size == 1 << 20
    os.pwrite(fd, b"A" * 65536, 65536)
    libc = files_world.libc
    assert libc.fallocate(fd, 3, ctypes.c_long(65536), ctypes.c_long(4096)) == 0  # punch a hole
    assert os.pread(fd, 4097, 65536) == b"\0" * 4096 + b"A"
    assert libc.fallocate(fd, 1, ctypes.c_long(0), ctypes.c_long(2 << 20)) == -1  # blocks past the end: no
    assert ctypes.get_errno() == errno.EOPNOTSUPP
    assert os.fstat(fd).st_size == 1 << 20
    assert os.lseek(fd, 0, os.SEEK_DATA) >= 0
    out = os.open(d / "copy", os.O_CREAT | os.O_RDWR)
    done = 0
    while done < 1 << 20:
        n = os.copy_file_range(fd, out, 1 << 30, done, done)
        assert n > 0
        done += n
    assert (d / "copy").read_bytes()[65536 + 4096:131072] == b"A" * (65536 - 4096)
    os.close(fd)
    os.close(out)


def test_listing_survives_changes(d):
    for i in range(500):
        (d / f"stay{i:03}").touch()
        (d / f"go{i:03}").touch()
    seen = []
    with os.scandir(d) as entries:
        for n, e in enumerate(entries):
            seen.append(e.name)
            if n == 100:
                for i in range(500):
                    os.unlink(d / f"go{i:03}")
                    (d / f"new{i:03}").touch()
    assert len(seen) == len(set(seen))
    assert {f"stay{i:03}" for i in range(500)} <= set(seen)
    fresh = os.listdir(d)
    assert len(fresh) == 1000 and not [n for n in fresh if n.startswith("go")]


def test_ten_thousand_files(d):
    many = d / "many"
    many.mkdir()
    for i in range(10000):
        os.close(os.open(many / f"file-{i}", os.O_CREAT | os.O_WRONLY))
    assert len(os.listdir(many)) == 10000
    assert sum(1 for e in os.scandir(many) if e.stat().st_size == 0) == 10000
    assert os.statvfs(d).f_files - os.statvfs(d).f_ffree == 10001
    shutil.rmtree(many)
    assert os.listdir(d) == []
    assert os.statvfs(d).f_files == os.statvfs(d).f_ffree


def test_a_git_repository(d, tmp_path):
    def git(*args):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *map(str, args)], check=True, capture_output=True,
                       timeout=600)

    src = d / "src"
    src.mkdir()
    rng = random.Random(1)
    for i in range(400):
        p = src / f"dir{i % 13}" / f"f{i}.txt"
        p.parent.mkdir(exist_ok=True)
        p.write_bytes(rng.randbytes(rng.randrange(3000)))
    git("init", "-q", src)
    git("-C", src, "add", ".")
    git("-C", src, "commit", "-qm", "all")
    git("clone", "-q", "--no-hardlinks", src, d / "clone")
    git("-C", d / "clone", "gc", "-q")
    git("-C", d / "clone", "fsck", "--strict")
    subprocess.run(["diff", "-r", "-x", ".git", src, d / "clone"], check=True)
    git("clone", "-q", f"file://{d}/clone", tmp_path / "out")
    subprocess.run(["diff", "-r", "-x", ".git", src, tmp_path / "out"], check=True)


def test_random_operations_on_one_file_match_a_model(d):
    """In the manner of fsx: reads, writes, truncation, mappings, holes and copies, checked byte by byte."""
    rng = random.Random(7)
    model, top = bytearray(), 256 << 10
    fd = os.open(d / "fsx", os.O_CREAT | os.O_RDWR)

    def write(at, data):
        if len(model) < at + len(data):
            model.extend(b"\0" * (at + len(data) - len(model)))
        model[at:at + len(data)] = data

    for step in range(6000):
        at, n = rng.randrange(top), rng.randrange(1, 40000)
        what = rng.randrange(9)
        if what == 0:
            data = rng.randbytes(n)
            assert os.pwrite(fd, data, at) == n
            write(at, data)
        elif what == 1:
            assert os.pread(fd, n, at) == bytes(model[at:at + n]), step
        elif what == 2:
            os.ftruncate(fd, at)
            if at < len(model):
                del model[at:]
            else:
                model.extend(b"\0" * (at - len(model)))
        elif what == 3 and model:
            with mmap.mmap(fd, len(model)) as m:
                at %= len(model)
                data = rng.randbytes(min(n, len(model) - at))
                m[at:at + len(data)] = data
                model[at:at + len(data)] = data
        elif what == 4 and model:
            with mmap.mmap(fd, len(model), prot=mmap.PROT_READ) as m:
                at %= len(model)
                assert m[at:at + n] == bytes(model[at:at + n]), step
        elif what == 5:
            assert files_world.libc.fallocate(fd, 3, ctypes.c_long(at), ctypes.c_long(n)) == 0
            end = min(at + n, len(model))
            if end > at:
                model[at:end] = b"\0" * (end - at)
        elif what == 6 and rng.randrange(4) == 0:
            os.close(fd)
            fd = os.open(d / "fsx", os.O_RDWR)
        elif what == 7 and rng.randrange(4) == 0:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        elif what == 8 and len(model) > 1:
            src = rng.randrange(len(model))
            n = min(n, len(model) - src, abs(at - src) or 1)
            got = os.copy_file_range(fd, fd, n, src, at) if at != src else 0
            write(at, bytes(model[src:src + got]))
        assert os.fstat(fd).st_size == len(model), step
    os.close(fd)
    assert (d / "fsx").read_bytes() == bytes(model)


def tree_of(top):
    found = {}
    for base, dirs, files in os.walk(top):
        for n in dirs + files:
            p = os.path.join(base, n)
            st = os.lstat(p)
            kind = stat.S_IFMT(st.st_mode)
            found[os.path.relpath(p, top)] = (kind, stat.S_IMODE(st.st_mode) if kind != stat.S_IFLNK else 0,
                                              open(p, "rb").read() if kind == stat.S_IFREG else
                                              os.readlink(p) if kind == stat.S_IFLNK else None)
    return found


def test_random_tree_operations_match_the_local_file_system(d, tmp_path):
    """The same thousands of operations here and on the disk below: the same results, errors included."""
    ref = tmp_path / "ref"
    ref.mkdir()
    rng = random.Random(3)
    names = ["a", "b", "c", "d"]

    def path():
        return "/".join(rng.choice(names) for _ in range(rng.randrange(1, 4)))

    def both(fn):
        results = []
        for top in (d, ref):
            try:
                results.append(fn(str(top) + "/"))
            except OSError as e:
                results.append(("error", e.errno))
        assert results[0] == results[1], (fn, results)

    def put(top, p, data):
        with open(top + p, "wb") as f:
            f.write(data)

    def read(top, p):
        with open(top + p, "rb") as f:
            return f.read()

    for step in range(4000):
        p, q, data, what = path(), path(), rng.randbytes(rng.randrange(200)), rng.randrange(11)
        both([lambda t: put(t, p, data), lambda t: os.mkdir(t + p), lambda t: os.rename(t + p, t + q),
              lambda t: os.unlink(t + p), lambda t: os.rmdir(t + p), lambda t: read(t, p),
              lambda t: sorted(os.listdir(t + p)), lambda t: os.symlink(q, t + p), lambda t: os.readlink(t + p),
              lambda t: os.truncate(t + p, len(data)), lambda t: os.chmod(t + p, 0o700 | step % 64)][what])
        if step % 500 == 499:
            assert tree_of(d) == tree_of(ref)
    assert tree_of(d) == tree_of(ref)


def test_quota_of_bytes(world):
    s = Session(world, quota_bytes=1 << 20)
    d = s.dir
    fd = os.open(d / "f", os.O_CREAT | os.O_RDWR)
    assert os.pwrite(fd, b"x" * (1 << 20), 0) == 1 << 20
    assert error_of(os.pwrite, fd, b"x", 1 << 20) == errno.EDQUOT
    assert error_of(os.ftruncate, fd, (1 << 20) + 1) == errno.EDQUOT
    assert error_of(os.posix_fallocate, fd, 1 << 20, 1) == errno.EDQUOT
    assert error_of(lambda: (d / "g").write_bytes(b"y")) == errno.EDQUOT
    assert os.pwrite(fd, b"y" * 4096, 0) == 4096
    v = os.statvfs(d)
    assert v.f_blocks * v.f_frsize == 1 << 20 and v.f_bavail == 0
    os.ftruncate(fd, 4096)
    (d / "g").write_bytes(b"y" * 100)
    assert s.listed()["used_bytes"] == 8192
    # A copy onto a nearly full volume is charged for what there is to copy, not for what was asked.
    os.ftruncate(fd, (1 << 20) - 8192)
    out = os.open(d / "h", os.O_CREAT | os.O_RDWR)
    g = os.open(d / "g", os.O_RDONLY)
    assert os.copy_file_range(g, out, 1 << 30) == 100
    for x in (fd, out, g):
        os.close(x)
    shutil.rmtree(d, ignore_errors=True)
    eventually(lambda: s.listed().get("used_bytes", 0) == 0)
    assert world.metric("ocu_brokerd_quota_total") > 0
    s.close()
    s.release()


def test_what_can_still_be_opened_is_still_charged(world):
    """An O_PATH descriptor is no open file to the broker, and yet a way back to one whose name is gone."""
    s = Session(world, quota_bytes=1 << 20)
    f = s.dir / "f"
    f.write_bytes(b"x" * (1 << 20))
    held = os.open(f, os.O_PATH)
    os.unlink(f)
    assert s.listed()["used_bytes"] == 1 << 20
    assert error_of(lambda: (s.dir / "more").write_bytes(b"y")) == errno.EDQUOT
    again = os.open(f"/proc/self/fd/{held}", os.O_RDWR)
    assert error_of(os.pwrite, again, b"x", 1 << 20) == errno.EDQUOT
    os.ftruncate(again, 1 << 19)
    assert s.listed()["used_bytes"] == 1 << 19
    os.close(again)
    assert s.listed()["used_bytes"] == 1 << 19
    os.rename(s.dir / "more", s.dir / "less")   # made, and empty
    os.close(held)
    eventually(lambda: s.listed().get("used_bytes", 0) == 0)
    f.write_bytes(b"x" * (1 << 20))
    f.with_name("new").touch()
    os.rename(f.with_name("new"), f)             # the same by another way to lose a name
    eventually(lambda: s.listed().get("used_bytes", 0) == 0)
    s.release()


def test_truncation_beside_a_copy_is_charged(world):
    """The guest's kernel truncates in open without the lock it copies under."""
    size, at = 16 << 20, 32 << 20
    s = Session(world, quota_bytes=128 << 20)
    (s.dir / "in").write_bytes(b"k" * size)
    out = s.dir / "out"
    out.touch()
    rng = random.Random(1)

    def truncate(delay):
        time.sleep(delay)
        os.close(os.open(out, os.O_WRONLY | os.O_TRUNC))

    with open(s.dir / "in", "rb") as src, open(out, "r+b") as dst:
        for _ in range(100):
            t = threading.Thread(target=truncate, args=(rng.random() * 0.002,))   # somewhere in the copy
            t.start()
            os.copy_file_range(src.fileno(), dst.fileno(), size, 0, at)
            t.join()
            assert s.listed()["used_bytes"] == sum(f.stat().st_size for f in s.data.iterdir())
    os.unlink(out)
    eventually(lambda: s.listed()["used_bytes"] == size)
    s.close()
    s.release()


def test_quota_of_files(world):
    s = Session(world, quota_files=10)
    d = s.dir
    os.mkdir(d / "dir")
    os.symlink("x", d / "link")
    for i in range(8):
        (d / f"f{i}").touch()
    assert error_of(lambda: (d / "more").touch()) == errno.EDQUOT
    assert error_of(os.mkdir, d / "more") == errno.EDQUOT
    assert error_of(os.symlink, "x", d / "more") == errno.EDQUOT
    assert error_of(os.mkfifo, d / "more") == errno.EDQUOT
    assert os.statvfs(d).f_favail == 0
    os.rename(d / "f0", d / "f1")
    (d / "more").touch()
    assert error_of(lambda: (d / "again").touch()) == errno.EDQUOT
    assert len(os.listdir(d)) == 10
    s.close()
    s.release()


def test_ceilings_of_one_session(world):
    s, other = Session(world), Session(world)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    (s.dir / "f").write_text("x")
    held, refused = [], None
    for _ in range(1500):
        try:
            held.append(os.open(s.dir / "f", os.O_RDONLY))
        except OSError as e:
            refused = e.errno
            break
    assert refused == errno.EMFILE and len(held) == 1024
    (other.dir / "f").write_text("not my concern")
    for fd in held:
        os.close(fd)
    eventually(lambda: s.dir.joinpath("f").read_text() == "x")
    folders = []
    with pytest.raises(OSError):
        for _ in range(500):
            folders.append(os.open(s.dir, os.O_RDONLY | os.O_DIRECTORY))
    assert len(folders) == 256
    for fd in folders:
        os.close(fd)
    for x in (s, other):
        x.close()
        x.release()


def test_deep_trees_are_bounded(d, session):
    fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    depth = 0
    while depth < 700:
        try:
            os.mkdir("d", dir_fd=fd)
        except OSError as e:
            assert e.errno == errno.ENAMETOOLONG
            break
        deeper = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = deeper
        depth += 1
    assert 400 < depth < 520
    os.close(os.open("bottom", os.O_CREAT, dir_fd=fd))
    os.close(fd)
    session.close()
    removed = session.release()
    assert removed["files_deleted"] >= depth + 1


def test_a_flooding_session_costs_its_neighbour_little(world):
    """Sequential small operations of one session, alone and beside a session whose programs flood the broker."""
    quiet, loud = Session(world), Session(world)
    (quiet.dir / "f").write_bytes(b"x" * 4096)
    stop = loud.dir / "stop"
    script = f"""
import os, threading
def flood(n):
    fd = os.open({str(loud.dir)!r} + f"/f{{n}}", os.O_CREAT | os.O_RDWR)
    while not os.path.exists({str(stop)!r}):
        for i in range(200):
            os.pwrite(fd, b"z" * 65536, (i % 16) * 65536)
            if i % 20 == 0:
                os.close(os.open({str(loud.dir)!r} + f"/c{{n}}-{{i}}", os.O_CREAT))
for n in range(16):
    threading.Thread(target=flood, args=(n,)).start()
"""

    def measure():
        fd = os.open(quiet.dir / "f", os.O_RDWR)
        times = []
        for i in range(1500):
            t = time.perf_counter()
            os.pwrite(fd, b"y" * 4096, 0)
            times.append(time.perf_counter() - t)
        os.close(fd)
        times.sort()
        return times[len(times) // 2], times[int(len(times) * 0.99)]

    alone = measure()
    p = subprocess.Popen(["/usr/bin/python3", "-c", script])
    eventually(lambda: (loud.dir / "f15").exists() and (loud.dir / "f15").stat().st_size > 0)
    beside = measure()
    assert p.poll() is None, "the flood ended before it was measured beside"
    stop.touch()
    assert p.wait(60) == 0
    print(f"p50/p99 alone {alone[0] * 1e6:.0f}/{alone[1] * 1e6:.0f} us, beside a flood {beside[0] * 1e6:.0f}/{beside[1] * 1e6:.0f} us")
    for x in (quiet, loud):
        x.close()
        x.release()
