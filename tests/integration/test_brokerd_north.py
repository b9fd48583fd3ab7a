"""brokerd's north face: files over HTTPS, for their caller and nobody else, bounded in everything."""
# shows: NFR-SEC-09, NFR-SEC-37, NFR-SEC-51, NFR-SEC-53, NFR-SEC-73, NFR-SEC-78, NFR-SEC-81, NFR-SEC-83
import concurrent.futures
import hashlib
import http.client
import json
import os
import socket
import ssl
import threading
import time

import pytest

import files_world
from files_world import Session, b64, error_of, errno, eventually


@pytest.fixture(scope="module")
def world():
    with files_world.World(north_ops="1000000") as w:
        yield w


@pytest.fixture
def session(world):
    s = Session(world)
    yield s
    s.close()
    s.release()


def error(body):
    e = json.loads(body)["error"]
    assert set(e) == {"code", "message", "correlation_id"} and e["correlation_id"].startswith("trc_")
    assert len(body) < 2048
    return e["code"]


def test_put_get_head_delete(session):
    data = os.urandom(100000)
    status, headers, body = session.put("a/b/file.bin", data)
    assert status == 201 and json.loads(body)["size"] == 100000 and not json.loads(body)["replaced"]
    etag = headers["ETag"]
    assert (session.dir / "a/b/file.bin").read_bytes() == data
    status, headers, body = session.get("a/b/file.bin")
    assert status == 200 and body == data and headers["ETag"] == etag
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Content-Disposition"] == "attachment"
    assert "sandbox" in headers["Content-Security-Policy"]
    status, headers, body = session.request("HEAD", "a/b/file.bin")
    assert (status, headers["Content-Length"], body) == (200, "100000", b"")
    status, headers, body = session.put("a/b/file.bin", b"second")
    assert status == 200 and headers["ETag"] != etag
    assert session.get("a/b/file.bin")[2] == b"second"
    assert session.delete("a/b/file.bin")[0] == 204
    assert error(session.get("a/b/file.bin")[2]) == "not_found"
    assert error(session.delete("a/b/file.bin")[2]) == "not_found"
    assert session.delete("a/b")[0] == 204
    assert session.put("empty", b"")[0] == 201 and session.get("empty")[2] == b""


def test_what_the_guest_sees_follows_at_once(session):
    d = session.dir
    assert not (d / "new").exists()         # the guest's kernel now believes in its absence
    session.put("new", b"one")
    assert (d / "new").read_bytes() == b"one"
    with open(d / "new", "rb") as held:
        session.put("new", b"two and longer")
        assert held.read() == b"one"        # the file it opened, not half of another
        assert (d / "new").read_bytes() == b"two and longer"
        assert os.stat(d / "new").st_size == 14
    assert not (d / "deep").exists()
    session.put("deep/er/file", b"x")
    assert (d / "deep/er/file").read_bytes() == b"x"
    assert sorted(os.listdir(d)) == ["deep", "new"]
    session.delete("new")
    assert error_of(os.stat, d / "new") == errno.ENOENT
    (d / "mine").write_bytes(b"guest")
    assert session.get("mine")[2] == b"guest"
    with open(d / "mine", "r+b", buffering=0) as f:
        f.write(b"Guest")
        assert session.get("mine")[2] == b"Guest"   # written is written, closed or not
        session.delete("mine")
        f.write(b" still here")
        assert os.fstat(f.fileno()).st_nlink == 0


def test_conditions(session):
    none = {"If-None-Match": "*"}
    assert session.put("f", b"1", headers=none)[0] == 201
    status, _, body = session.put("f", b"2", headers=none)
    assert status == 412 and error(body) == "wrong_state"
    etag = session.get("f")[1]["ETag"]
    assert session.get("f", headers={"If-None-Match": etag})[0] == 304
    assert session.get("f", headers={"If-None-Match": f'"x", W/{etag}'})[0] == 304
    assert session.get("f", headers={"If-Match": '"other"'})[0] == 412
    assert session.put("f", b"3", headers={"If-Match": '"other"'})[0] == 412
    assert session.put("none", b"3", headers={"If-Match": "*"})[0] == 412
    assert session.delete("f", headers={"If-Match": '"other"'})[0] == 412
    assert session.put("f", b"3", headers={"If-Match": etag})[0] == 200
    assert session.put("f", b"4", headers={"If-Match": etag})[0] == 412
    assert session.get("f")[2] == b"3"
    assert session.delete("f", headers={"If-Match": session.get("f")[1]["ETag"]})[0] == 204
    assert os.listdir(session.data.parent / "staging") == []


def test_only_one_of_many_creators_wins(session):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for n in range(10):
            codes = list(pool.map(lambda i: session.put(f"f{n}", b"%d" % i, headers={"If-None-Match": "*"})[0], range(12)))
            assert sorted(codes) == [201] + [412] * 11


def test_readers_never_see_a_half_written_file(session):
    versions = [bytes([65 + i]) * 300000 for i in range(4)]
    session.put("f", versions[0])
    stop = threading.Event()
    seen, bad = set(), []

    def read(via):
        while not stop.is_set():
            data = session.get("f")[2] if via else (session.dir / "f").read_bytes()
            seen.add(data[:1])
            if len(data) != 300000 or data != data[:1] * 300000:
                bad.append((via, len(data)))

    readers = [threading.Thread(target=read, args=(i % 2,)) for i in range(4)]
    for r in readers:
        r.start()
    for i in range(40):
        assert session.put("f", versions[i % 4])[0] == 200
    stop.set()
    for r in readers:
        r.join()
    assert not bad and len(seen) > 1
    eventually(lambda: session.listed()["used_bytes"] == 303104)   # the guest gives what it read back in its own time


def test_ranges(session):
    session.put("f", bytes(range(100)))
    for header, status, body, content_range in (
            ("bytes=0-9", 206, bytes(range(10)), "bytes 0-9/100"), ("bytes=90-", 206, bytes(range(90, 100)), "bytes 90-99/100"),
            ("bytes=-5", 206, bytes(range(95, 100)), "bytes 95-99/100"), ("bytes=0-1,5-6", 200, bytes(range(100)), None),
            ("junk", 200, bytes(range(100)), None)):
        r = session.get("f", headers={"Range": header})
        assert (r[0], r[2], r[1]["Content-Range"]) == (status, body, content_range), header
    status, headers, body = session.get("f", headers={"Range": "bytes=100-"})
    assert status == 416 and headers["Content-Range"] == "bytes */100" and error(body) == "invalid_params"
    assert session.get("f", headers={"Range": "bytes=0-0", "If-Range": '"other"'})[0] == 200
    assert session.get("f", headers={"Range": "bytes=0-0", "If-Range": session.get("f")[1]["ETag"]})[0] == 206


def test_content_types_come_from_bytes_and_nothing_runs(session):
    for name, data, want in (("page.png", b"<html><script>alert(1)</script>", "text/plain; charset=utf-8"),
                             ("x.html", b"\x89PNG\r\n\x1a\n", "image/png"), ("a.txt", b"\0\1\2", "application/octet-stream"),
                             ("b.svg", b"<svg onload='x'/>", "text/plain; charset=utf-8"), ("c", b"%PDF-1.4", "application/pdf")):
        session.put(name, data)
        headers = session.get(name)[1]
        assert headers["Content-Type"] == want and headers["Content-Disposition"] == "attachment", name


def test_listing(session):
    for i in range(25):
        session.put(f"d/f{i:02}", b"x" * i)
    (session.dir / "d/sub").mkdir()
    os.symlink("x", session.dir / "link")
    os.mkdir(os.fsencode(session.dir) + b"/bad\xff")
    status, page = session.list()
    assert status == 200 and [(e["path"], e["type"]) for e in page["entries"]] == [("d", "directory"), ("link", "symlink")]
    assert page["omitted"] == 1 and page["next_cursor"] is None
    found, cursor = [], ""
    while cursor is not None:
        status, page = session.list(path="d", limit=10, cursor=cursor)
        assert status == 200 and len(page["entries"]) <= 10
        found += page["entries"]
        cursor = page["next_cursor"]
    assert [e["path"] for e in found] == [f"d/f{i:02}" for i in range(25)] + ["d/sub"]
    assert found[7]["size"] == 7 and found[7]["etag"] == session.get("d/f07")[1]["ETag"]
    assert found[7]["modified"].endswith("Z")
    for bad in ({"limit": "0"}, {"limit": "x"}, {"recursive": "1"}, {"path": "../x"}, {"cursor": "%%%"}, {"path": "/d"}):
        status, body = session.list(**bad)
        assert status == 400 and body["error"]["code"] == "invalid_params", bad
    assert session.list(path="none")[0] == 404


def test_filesystems_are_the_callers(world):
    a, b = Session(world, caller="carol", quota_bytes=1 << 20), Session(world, caller="dave")
    a.put("f", b"x")
    status, _, body = world.north("GET", "/v1/filesystems", token=world.token("carol"))
    mine, = json.loads(body)["filesystems"]
    assert mine == {"filesystem_id": a.fs, "state": "active", "mounted": True, "used_bytes": 4096, "quota_bytes": 1 << 20,
                    "used_files": 1, "quota_files": 50000}
    world.deny(1, a.id)
    eventually(lambda: json.loads(world.north("GET", "/v1/filesystems", token=world.token("carol"))[2])["filesystems"][0]["state"]
               == "denied")
    for s in (a, b):
        s.close()
        s.release()


def test_tokens(world, session):
    session.put("f", b"x")
    now = int(time.time())
    signed = world.token("alice").split(".")
    none = b64(b'{"alg":"none","typ":"JWT"}') + "." + signed[1] + "."
    hs = b64(json.dumps({**json.loads(files_world.base64.urlsafe_b64decode(signed[0] + "==")), "alg": "HS256"}).encode())
    refused = {
        "unauthenticated": None,
        "token_malformed": "x",
        "token_algorithm": hs + "." + signed[1] + "." + signed[2],
        "token_bad_signature": signed[0] + "." + signed[1] + "." + ("A" if signed[2][0] != "A" else "B") + signed[2][1:],
        "token_expired": world.token("alice", exp=now - 1),
        "token_audience": world.token("alice", aud=["ocu-gateway"]),
        "token_issuer": world.token("alice", iss="ocu:other"),
        "token_claim": world.token("alice", jti=None),
    }
    for reason, token in refused.items():
        status, headers, body = world.north("GET", f"/v1/filesystems/{session.fs}/files/f", token=token)
        assert status == 401 and error(body) == reason and headers["WWW-Authenticate"].startswith("Bearer"), reason
    assert world.north("GET", f"/v1/filesystems/{session.fs}/files/f", token=none)[0] == 401
    assert session.get("f", token=world.token("alice", sub="mallory"))[0] == 404
    assert session.get("f", token=world.token("alice", sub=""))[0] == 401
    assert session.get("f", token=world.token("alice", sub="x" * 300))[0] == 401
    assert session.get("f", headers={"Authorization": "Basic YTpi"}, token="")[0] in (200, 401)
    c = world.connect()
    c.request("GET", f"/v1/filesystems/{session.fs}/files/f", headers={"Authorization": "Basic YTpi"})
    assert c.getresponse().status == 401


def test_nothing_of_the_host_is_told(world, session):
    """Errors carry a reason and a correlation id, and no path, host, session or stack."""
    session.put("f", b"x")
    answers = [session.get("none"), session.get("f/below"), session.put("f/below", b"x"), session.get("x" * 256),
               session.delete("f", headers={"If-Match": '"x"'}), session.list(path="..")[1]]
    for a in answers:
        text = json.dumps(a) if isinstance(a, dict) else a[2].decode() + str(a[1])
        for secret in ("ses_", "ocu-", "/var", "brokerd", session.id, "volume", "58103"):
            assert secret not in text.replace("ocu-files", ""), (secret, text)


def test_uploads_are_bounded_before_they_are_taken(world, session):
    def raw(headers, body=b"", to=session):
        context = ssl.create_default_context(cafile=str(world.stack.etc / "pki/ca.pem"))
        context.check_hostname = False
        with context.wrap_socket(socket.create_connection(("127.0.0.1", 8443), 20)) as s:
            head = f"PUT /v1/filesystems/{to.fs}/files/big HTTP/1.1\r\nHost: h\r\n" + "".join(
                f"{k}: {v}\r\n" for k, v in headers.items())
            s.sendall(head.encode() + b"\r\n")
            try:
                s.sendall(body)
            except OSError:
                pass
            answer = b""
            try:
                while b"\r\n\r\n" not in answer:
                    block = s.recv(65536)
                    if not block:
                        break
                    answer += block
            except OSError:
                pass
            return int(answer.split()[1]) if answer else 0

    auth = {"Authorization": "Bearer " + world.token()}
    # Refused from the header alone: no byte of the body was sent.
    assert raw({**auth, "Content-Length": str((50 << 20) + 1)}) == 413
    assert raw({**auth, "Content-Length": str(1 << 60)}) == 413
    assert raw({"Content-Length": "10"}) == 401
    assert raw({"Authorization": "Bearer x", "Content-Length": str(10 << 20)}) == 401
    assert raw({**auth, "Content-Length": "-1"}) == 400
    small = Session(world, quota_bytes=1 << 20)
    assert raw({**auth, "Content-Length": str((1 << 20) + 1)}, to=small) == 507
    assert small.put("f", b"x" * (1 << 20))[0] == 201
    assert small.put("g", b"x")[0] == 507
    # Without a length: taken up to the bound, then cut.
    chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    assert raw({**auth, "Transfer-Encoding": "chunked"}, chunk * 52) in (0, 413)
    # No room is a bound, too: cut long before the twenty megabytes are there.
    assert raw({**auth, "Transfer-Encoding": "chunked"}, chunk * 20 + b"0\r\n\r\n", to=small) == 0
    assert not (session.data / "big").exists()
    assert os.listdir(world.stack.dir / "state/brokerd/spool") == []
    small.close()
    small.release()


def test_an_upload_of_fifty_megabytes(world):
    s = Session(world, quota_bytes=200 << 20)
    data = os.urandom(1 << 20) * 50
    start = time.monotonic()
    assert s.put("big", data)[0] == 201
    up = time.monotonic() - start
    start = time.monotonic()
    assert hashlib.sha256(s.get("big")[2]).digest() == hashlib.sha256(data).digest()
    print(f"50 MiB up in {up:.2f} s, down in {time.monotonic() - start:.2f} s")
    assert (s.dir / "big").stat().st_size == 50 << 20
    s.close()
    s.release()


def test_a_client_that_goes_away_leaves_nothing(world, session):
    for cut in (0, 1000, 500000):
        c = world.connect()
        c.putrequest("PUT", f"/v1/filesystems/{session.fs}/files/half")
        c.putheader("Authorization", "Bearer " + world.token())
        c.putheader("Content-Length", "1000000")
        c.endheaders()
        c.send(b"x" * cut)
        c.close()
    assert session.put("whole", b"x")[0] == 201
    assert os.listdir(session.data) == ["whole"]
    eventually(lambda: session.listed()["used_bytes"] == 4096)
    assert os.listdir(session.data.parent / "staging") == []


def test_methods_and_routes_that_are_none(world, session):
    token = world.token()
    base = f"/v1/filesystems/{session.fs}/files"
    for method, url, want in (("POST", base, 405), ("PATCH", base + "/f", 405), ("GET", "/", 404), ("GET", "/v1", 404),
                              ("GET", "/v2/filesystems", 404), ("DELETE", base, 405), ("PUT", "/v1/filesystems", 405),
                              ("GET", "/metrics", 404), ("OPTIONS", base, 405), ("TRACE", base + "/f", 405)):
        assert world.north(method, url, token=token)[0] == want, (method, url)


def test_only_tls_1_3(world):
    old = ssl.create_default_context(cafile=str(world.stack.etc / "pki/ca.pem"))
    old.check_hostname = False
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(socket.create_connection(("127.0.0.1", 8443), 10)).close()
    s = socket.create_connection(("127.0.0.1", 8443), 10)
    s.sendall(b"GET /v1/filesystems HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b"200" not in s.recv(1000)


def test_names_that_need_escaping(session):
    for name in ("with space", "ünïcode/€😀", "a+b", "100%", "a&b=c;d", "#hash", "?question", "quote\"'", "C:\\x", "..."):
        assert session.put(name, name.encode())[0] == 201, name
        assert session.get(name)[2] == name.encode(), name
        assert (session.dir / name).read_bytes() == name.encode()
    status, page = session.list(recursive="true")
    assert len([e for e in page["entries"] if e["type"] == "file"]) == 10
