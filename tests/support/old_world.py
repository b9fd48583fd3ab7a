"""A trail that is old, and a store whose clock agrees: what it takes to see in a minute what otherwise takes ninety days."""
import base64
import datetime
import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time

from audit_world import HEADER

SLOT = HEADER // 2
DAY = 86400


def b64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


class Ager:
    """Writes a stopped trail anew as if it had happened `days` ago, with the key that auditd signs with."""

    def __init__(self, folder, key, days):
        self.folder, self.key, self.shift, self.hashes, self.last = folder, key, datetime.timedelta(days=days), {}, b"0" * 64
        for path in sorted(folder.glob("0*.jsonl")):
            self.segment(path)
            then = time.time() - days * DAY
            os.utime(path, (then, then))

    def earlier(self, line):
        """Its first time, which is that of the line and not of the event in it."""
        def back(m):
            t = datetime.datetime.fromisoformat(m[1].decode()[:-1]) - self.shift
            return b'"time":"' + t.isoformat(timespec="milliseconds").encode() + b'Z"'
        return re.sub(rb'"time":"([^"]+)"', back, line, count=1)

    def line(self, line):
        line = re.sub(rb'"prev":"[0-9a-f]{64}"', b'"prev":"' + self.last + b'"', self.earlier(line), count=1)
        body, tail = line.rsplit(b',"hash":"', 1)
        self.last = hashlib.sha256(body).hexdigest().encode()
        self.hashes[tail[:64]] = self.last
        return body + b',"hash":"' + self.last + b'"}'

    def head(self, slot):
        line = self.earlier(slot.rstrip())
        old = re.search(rb'"last":"([0-9a-f]{64})"', line)[1]
        body = line.replace(old, self.hashes[old]).rsplit(b',"sig":"', 1)[0]
        return (body + b',"sig":"' + b64url(self.sign(body)) + b'"}').ljust(SLOT - 1) + b"\n"

    def sign(self, body):
        path = self.folder.parent / "to-sign"
        path.write_bytes(body)
        return subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.key, "-in", path], capture_output=True, check=True).stdout

    def segment(self, path):
        data = path.read_bytes()
        lines = b"".join(self.line(x) + b"\n" for x in data[HEADER:].split(b"\n")[:-1])
        assert len(lines) == len(data) - HEADER
        with open(path, "r+b") as f:
            f.write(self.head(data[:SLOT]) + self.head(data[SLOT:HEADER]) + lines)


class Middle:
    """Between auditd and the store: passes everything on and changes what HEAD is answered, as whoever owns the store could.
    Without more it says that each object was put `days` earlier than it was."""

    def __init__(self, authority, port, store_port, days=100):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*authority.issue("middle", "IP:127.0.0.1"))
        self.store = ssl.create_default_context(cafile=authority.ca)
        self.port, self.days, self.change, self.heads = store_port, days, lambda text: text, 0
        self.socket = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                raw, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(raw,), daemon=True).start()

    def message(self, f, has_body=True):
        """(head, body) of the next message."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = f.readline()
            if not line:
                raise OSError("it hung up")
            head += line
        length = re.search(rb"(?im)^content-length: *([0-9]+)", head)
        return head, f.read(int(length[1])) if length and has_body else b""

    def one(self, raw):
        try:
            with self.context.wrap_socket(raw, server_side=True) as c:
                head, body = self.message(c.makefile("rb"))
                with socket.create_connection(("127.0.0.1", self.port)) as plain, self.store.wrap_socket(plain, server_hostname="127.0.0.1") as s:
                    s.sendall(head + body)
                    is_head = head.startswith(b"HEAD ")
                    answer, body = self.message(s.makefile("rb"), not is_head)
                if is_head and b" 200 " in answer.split(b"\r\n")[0]:
                    answer = self.change(self.older(answer.decode())).encode()
                    self.heads += 1
                c.sendall(answer + body)
        except OSError:
            pass

    def older(self, text):
        def back(m):
            t = datetime.datetime.strptime(m[1], "%a, %d %b %Y %H:%M:%S GMT") - datetime.timedelta(days=self.days)
            return f"Last-Modified: {t:%a, %d %b %Y %H:%M:%S} GMT"
        return re.sub(r"(?im)^last-modified: *([^\r]+)", back, text)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.socket.close()


