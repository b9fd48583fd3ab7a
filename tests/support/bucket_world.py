"""An S3 store for auditd's archive: Debian's Ceph object gateway over a monitor and a memory store, on TLS, signatures enforced."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import uuid
import xml.etree.ElementTree as ET

from stack import eventually, run

PORT, MONITOR = 17443, 13300
ACCESS, SECRET = "AKIAOCUTEST00000001", "ocu-test-secret-key-000000000000000000001"


class Store:
    """One for a whole test module: it takes about ten seconds to start."""

    def __init__(self, authority):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ocu-store-", dir="/var/tmp"))
        self.conf, self.proc, self.authority = self.dir / "ceph.conf", {}, authority
        cert, key = authority.issue("store", "DNS:store.example,IP:127.0.0.1")
        (self.dir / "mon").mkdir()
        (self.dir / "osd").mkdir()
        self.conf.write_text(f"""
[global]
fsid = {uuid.uuid4()}
mon host = [v2:127.0.0.1:{MONITOR},v1:127.0.0.1:{MONITOR + 1}]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
run dir = {self.dir}
admin socket = {self.dir}/$name.asok
pid file = {self.dir}/$name.pid
log file = {self.dir}/$name.log
keyring = {self.dir}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 1
mon warn on pool no redundancy = false
[mon.a]
mon data = {self.dir}/mon
[osd]
osd data = {self.dir}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
[client.rgw.a]
rgw frontends = beast ssl_endpoint=127.0.0.1:{PORT} ssl_certificate={cert} ssl_private_key={key}
rgw enable ops log = false
""")

    def tool(self, *args, timeout=60):
        return run([args[0], "-c", self.conf, *args[1:]], timeout=timeout)

    def spawn(self, name, *args):
        with open(self.dir / f"{name}.out", "ab") as log:
            self.proc[name] = subprocess.Popen([args[0], "-c", self.conf, "-f", *args[1:]], stdout=log, stderr=log)

    def serves(self, port):
        for name, p in self.proc.items():
            assert p.poll() is None, (self.dir / f"{name}.out").read_text()[-2000:]
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        keyring, monmap = self.dir / "keyring", self.dir / "monmap"
        fsid = self.conf.read_text().split("fsid = ")[1].split()[0]
        run(["ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *"])
        for who in ("client.admin", "osd.0", "client.rgw.a"):
            run(["ceph-authtool", keyring, "--gen-key", "-n", who, "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"])
        run(["monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{MONITOR},v1:127.0.0.1:{MONITOR + 1}]", monmap])
        self.tool("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(monmap), "--keyring", str(keyring))
        self.spawn("mon", "ceph-mon", "-i", "a")
        eventually(lambda: self.serves(MONITOR + 1), timeout=60)
        disk = str(uuid.uuid4())
        self.tool("ceph", "osd", "create", disk, "0")
        self.tool("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self.spawn("osd", "ceph-osd", "-i", "0")
        eventually(lambda: json.loads(self.tool("ceph", "osd", "stat", "-f", "json"))["num_up_osds"] == 1, timeout=120, every=0.3)
        self.up()
        self.tool("radosgw-admin", "-n", "client.rgw.a", "user", "create", "--uid", "auditd", "--display-name", "auditd",
                  "--access-key", ACCESS, "--secret", SECRET)
        return self

    def up(self):
        self.spawn("rgw", "radosgw", "-n", "client.rgw.a")
        eventually(lambda: self.serves(PORT), timeout=120)

    def down(self, name="rgw"):
        p = self.proc.pop(name)
        p.kill()
        p.wait(60)

    def stop(self):
        for name in list(self.proc):
            self.down(name)
        if not os.environ.get("OCU_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def __exit__(self, *exc):
        self.stop()

    # --- as another client of it, with curl ---

    def ask(self, method, path, *args, key=f"{ACCESS}:{SECRET}"):
        """(status, body)"""
        p = subprocess.run(["curl", "-sS", "--cacert", self.authority.ca, "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", key, "-X", method,
                            "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-w", "\n%{http_code}", "--max-time", "60", *map(str, args),
                            f"https://127.0.0.1:{PORT}/{path}"], capture_output=True, check=True)
        body, status = p.stdout.rsplit(b"\n", 1)
        return int(status), body

    def bucket(self, name, lock=True):
        status, body = self.ask("PUT", name, *(["-H", "x-amz-bucket-object-lock-enabled: true"] if lock else []))
        assert status == 200, body

    def keys(self, bucket):
        status, body = self.ask("GET", bucket)
        assert status == 200, body
        return sorted(e.text for e in ET.fromstring(body).iter() if e.tag.endswith("}Key") or e.tag == "Key")

    def get(self, bucket, key):
        status, body = self.ask("GET", f"{bucket}/{key}")
        assert status == 200, body
        return body

    def versions(self, bucket):
        """[(key, version id)]"""
        root = ET.fromstring(self.ask("GET", f"{bucket}?versions=")[1])
        found = []
        for v in root.iter():
            if v.tag.split("}")[-1] == "Version":
                of = {c.tag.split("}")[-1]: c.text for c in v}
                found.append((of["Key"], of["VersionId"]))
        return found
