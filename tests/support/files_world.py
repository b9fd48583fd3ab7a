"""The files alone: a real brokerd and auditd, operatord's part played by ocu-edge-operator, sandboxd's by this module: a
FUSE mount is made and its descriptor handed over as sandboxd does it."""
import base64
import contextlib
import ctypes
import errno
import http.client
import json
import os
import pathlib
import secrets
import select
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.parse

from cryptography.hazmat.primitives import serialization

import stack as stacks
from stack import eventually, program

BROKERD, FEED, PULL = "tls+tcp://127.0.0.1:9401", "tls+tcp://127.0.0.1:9202", "tls+tcp://127.0.0.1:9203"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MS_NOSUID, MS_NODEV, MNT_DETACH = 2, 4, 2
libc = ctypes.CDLL(None, use_errno=True)


def ulid():
    return "".join(secrets.choice(ALPHABET[:8] if i == 0 else ALPHABET) for i in range(26))


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, value):
    """One protobuf field: a varint or a string."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def parse_result(packet):
    """handover.Result: code, text."""
    code, text, at = 0, "", 1

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = packet[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(packet):
        tag = read()
        value = read()
        if tag & 7 == 2:
            text = packet[at:at + value].decode()
            at += value
        else:
            code = struct.unpack("<i", struct.pack("<I", value & 0xffffffff))[0]
    return code, text


class Session:
    """What operatord registers and sandboxd mounts."""

    def __init__(self, world, caller="alice", quota_bytes=64 << 20, quota_files=50000, mount=True, guest_uid=0):
        self.world, self.caller, self.guest_uid = world, caller, guest_uid
        self.id, self.fs = "ses_" + ulid(), "fs_" + ulid()
        self.quota_bytes, self.quota_files = quota_bytes, quota_files
        self.dir = world.stack.dir / f"mnt-{self.id[-6:]}"
        self.mounted = False
        reply = self.register()
        assert "error" not in reply, reply
        world.sessions.append(self)
        if mount:
            self.mount()

    def register(self):
        return self.world.call("mount.Register", session_id=self.id, filesystem_id=self.fs, caller=self.caller,
                               quota_bytes=self.quota_bytes, quota_files=self.quota_files)

    def make_mount(self):
        self.dir.mkdir(exist_ok=True)
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions".encode()
        if libc.mount(b"ocu", str(self.dir).encode(), b"fuse.ocu", MS_NOSUID | MS_NODEV, options):
            raise OSError(ctypes.get_errno(), "mount")
        self.mounted = True
        return fd

    def mount(self):
        fd = self.make_mount()
        try:
            result = self.world.handover(self.id, [fd], guest_uid=self.guest_uid)
            assert result == (0, ""), result
        finally:
            os.close(fd)
        return self

    def unmount(self):
        if self.mounted:
            libc.umount2(str(self.dir).encode(), MNT_DETACH)
            self.mounted = False

    def release(self, scrub=True):
        return self.world.call("mount.Release", session_id=self.id, scrub=scrub)

    def listed(self):
        for m in self.world.call("mount.List")["mounts"]:
            if m["session_id"] == self.id:
                return m
        return None

    @property
    def data(self):
        """The volume on disk, behind the broker's back."""
        return self.world.volumes / self.fs / "data"

    # north face
    def request(self, method, path="", body=None, token=None, headers=None, query=None):
        url = f"/v1/filesystems/{self.fs}/files"
        if path:
            url += "/" + urllib.parse.quote(path)
        if query:
            url += "?" + urllib.parse.urlencode(query)
        return self.world.north(method, url, body, token or self.world.token(self.caller), headers)

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def put(self, path, body, **kw):
        return self.request("PUT", path, body, **kw)

    def delete(self, path, **kw):
        return self.request("DELETE", path, **kw)

    def list(self, **query):
        status, _, body = self.request("GET", query=query)
        return status, json.loads(body)

    def close(self):
        self.unmount()
        with contextlib.suppress(OSError):
            self.dir.rmdir()


class World:
    def __init__(self, nofile=None, **config):
        self.stack = stacks.Stack({"brokerd": config})
        if nofile:
            self.stack.nofile["brokerd"] = nofile
        self.sessions, self.tokens = [], {}
        self.volumes = self.stack.dir / "state/brokerd/volume"

    def __enter__(self):
        try:
            self.stack.start("auditd")
            self.start_operator()
            self.stack.start("brokerd")
            self.wait_ready()
            return self
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def start_operator(self):
        self.operator = subprocess.Popen(
            [program("ocu-edge-operator"), str(self.stack.etc / "pki"), BROKERD, FEED, PULL, "brokerd"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert json.loads(self.operator.stdout.readline()) == {"ok": True}

    def __exit__(self, *exc):
        for s in self.sessions:
            s.close()
        if hasattr(self, "operator"):
            self.operator.stdin.close()
            self.operator.wait(60)
        if exc[0]:
            print(self.stack.log("brokerd")[-6000:])
        status = self.stack.stop()
        if not exc[0]:
            assert all(s == 0 for s in status.values()), status

    def http(self, path, port=9192):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read().decode()

    def wait_ready(self):
        eventually(lambda: self.http("/readyz")[0] == 200)

    def metric(self, name):
        for line in self.http("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return 0.0

    def say(self, line):
        self.operator.stdin.write(line + "\n")
        return json.loads(self.operator.stdout.readline())

    def call(self, method, **args):
        reply = self.say(f"call {method} {json.dumps(args)}")
        if method == "mount.List":
            reply.setdefault("mounts", [])
        return reply

    def deny(self, kind, value):
        return self.say(f"deny {kind} {value}")

    def handover(self, session, fds, kind=1, guest_uid=0, raw=None):
        """What sandboxd sends; (code, text) of the answer, or None when the connection was closed instead."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(str(self.stack.dir / "run/handover/brokerd.sock"))
            packet = raw if raw is not None else b"\x01" + field(1, session.encode()) + field(2, kind) + field(
                3, guest_uid) + field(4, 65536)
            socket.send_fds(s, [packet], fds)
            try:
                answer = s.recv(4096)
            except ConnectionResetError:
                return None
            return parse_result(answer) if answer else None

    def token(self, caller="alice", key="caller.key", **changes):
        cached = not changes and key == "caller.key"
        if cached and caller in self.tokens:
            return self.tokens[caller]
        claims = {"iss": "ocu:ocu.local", "aud": ["ocu-gateway", "ocu-files"], "sub": caller, "iat": int(time.time()),
                  "exp": int(time.time()) + 3600, "jti": "tok_" + ulid(), **changes}
        claims = {k: v for k, v in claims.items() if v is not None}
        keys = self.stack.etc / "pki/operatord"
        secret = serialization.load_pem_private_key((keys / key).read_bytes(), None)
        kid = json.loads((self.stack.etc / "pki/caller-jwks.json").read_text())["keys"][0]["kid"]
        text = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "EdDSA", "typ": "JWT", "kid": kid}, claims))
        token = text + "." + b64(secret.sign(text.encode()))
        if cached:
            self.tokens[caller] = token
        return token

    def connect(self, source=None):
        context = ssl.create_default_context(cafile=str(self.stack.etc / "pki/ca.pem"))
        context.check_hostname = False
        return http.client.HTTPSConnection("127.0.0.1", 8443, context=context, timeout=60, source_address=source)

    def north(self, method, url, body=None, token=None, headers=None):
        c = self.connect()
        h = dict(headers or {})
        if token:
            h["Authorization"] = "Bearer " + token
        c.request(method, url, body, h)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.headers, data

    def events(self, **match):
        return self.stack.events(**match)

    def file_events(self, session, **match):
        return self.events(session_id=session.id, **match)


class Request:
    """A request to the files API of which this side decides when a byte is sent or read."""

    def __init__(self, world, head, token):
        context = ssl.create_default_context(cafile=str(world.stack.etc / "pki/ca.pem"))
        context.check_hostname = False
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(60)
        s.connect(("127.0.0.1", 8443))
        self.s = context.wrap_socket(s)
        self.s.sendall(f"{head}\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n".encode())

    def status(self):
        return int(self.s.recv(1000).split()[1])

    def cut(self):
        p = select.poll()
        p.register(self.s, select.POLLRDHUP)
        return bool(p.poll(0))

    def rest(self):
        n = 0
        with contextlib.suppress(OSError):
            while block := self.s.recv(1 << 16):
                n += len(block)
        return n


class Held:
    """Whoever opens a folder waits until this is left."""
    FAN_CLASS_CONTENT, FAN_MARK_ADD, FAN_OPEN_PERM, FAN_ONDIR, FAN_ALLOW, AT_FDCWD = 4, 1, 0x10000, 0x40000000, 1, -100

    def __init__(self, folder):
        self.fd = libc.fanotify_init(self.FAN_CLASS_CONTENT, os.O_RDONLY)
        mask = ctypes.c_uint64(self.FAN_OPEN_PERM | self.FAN_ONDIR)
        assert libc.fanotify_mark(self.fd, self.FAN_MARK_ADD, mask, self.AT_FDCWD, bytes(folder)) == 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self.fd)   # which lets everybody go on

    def wait(self):
        event = os.read(self.fd, 24)   # struct fanotify_event_metadata
        os.close(struct.unpack("<IBBHQii", event)[5])


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def error_of(fn, *args):
    """errno of a call that must fail."""
    try:
        fn(*args)
    except OSError as e:
        return e.errno
    raise AssertionError("it did not fail")


__all__ = ["World", "Held", "Request", "Session", "error_of", "errno", "eventually", "pathlib"]
