"""Collectors for auditd: a certificate authority of theirs, rsyslog as its users run it, and hostile ones."""
import json
import pathlib
import signal
import socket
import ssl
import subprocess
import threading

from stack import eventually, run

PORT = 16514


class Authority:
    def __init__(self, folder, name="collectors"):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.dir.chmod(0o755)
        self.ca = self.dir / "ca.pem"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                     f"/CN={name}", "-keyout", self.dir / "ca.key", "-out", self.ca)

    def openssl(self, *args):
        run(["openssl", *map(str, args)])

    def issue(self, name, san):
        """(certificate, key), readable by auditd's user."""
        key, csr, cert, ext = (self.dir / f"{name}.{x}" for x in ("key", "csr", "pem", "ext"))
        ext.write_text(f"subjectAltName={san}\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", csr)
        self.openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.dir / "ca.key", "-CAcreateserial", "-days", "30", "-extfile", ext,
                     "-out", cert)
        for f in (self.ca, cert, key):
            f.chmod(0o644)
        return cert, key


class Rsyslog:
    """Takes messages from whoever shows a certificate for `peer`."""

    def __init__(self, folder, authority, peer="auditd-client"):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.out = self.dir / "out.json"
        cert, key = authority.issue("collector", "DNS:collector.example,IP:127.0.0.1")
        (self.dir / "conf").write_text(f"""
global(workDirectory="{self.dir}" maxMessageSize="64k" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{authority.ca}"
       defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/name" PermittedPeer=["{peer}"])
input(type="imtcp" address="127.0.0.1" port="{PORT}" ruleset="r")
template(name="j" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf") property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf") property(outname="procid" name="procid" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf") property(outname="sd" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf") property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
}}
ruleset(name="r") {{ action(type="omfile" file="{self.out}" template="j") }}
""")

    def start(self):
        with open(self.dir / "log", "ab") as log:
            self.p = subprocess.Popen(["rsyslogd", "-n", "-i", self.dir / "pid", "-f", self.dir / "conf"], stdout=log, stderr=log)
        eventually(self.listens)
        return self

    def listens(self):
        assert self.p.poll() is None, (self.dir / "log").read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", PORT)) == 0

    def stop(self, sig=signal.SIGTERM):
        self.p.send_signal(sig)
        self.p.wait(60)

    def messages(self):
        text = self.out.read_text(errors="replace") if self.out.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def numbers(self):
        return [int(m["sd"].split('n="')[1].split('"')[0]) for m in self.messages()]

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if self.p.poll() is None:
            self.stop()


class Hostile:
    """A collector with a good certificate; talk(connection) is what it does with it."""

    def __init__(self, authority, talk):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*authority.issue("hostile", "IP:127.0.0.1"))
        self.talk = talk
        self.connections = 0
        self.socket = socket.create_server(("127.0.0.1", PORT))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                raw, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(raw,), daemon=True).start()

    def one(self, raw):
        try:
            with self.context.wrap_socket(raw, server_side=True) as c:
                self.connections += 1
                self.talk(c)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.socket.close()
