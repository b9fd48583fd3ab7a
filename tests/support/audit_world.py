"""auditd alone: a deployment of which only auditd runs, and what tests send to it and read from its files."""
import base64
import http.client
import json
import pathlib
import subprocess

from stack import Stack, program

RPC = "tls+tcp://127.0.0.1:9601"
HEADER = 8192


class Auditd(Stack):
    """A deployment of which only auditd runs."""

    def __enter__(self):
        try:
            return self.start("auditd")
        except BaseException:
            self.stop()
            raise

    @property
    def trail(self):
        return pathlib.Path(self.config["auditd"].get("state_dir", self.dir / "state")) / "auditd"

    @property
    def pki(self):
        return self.etc / "pki"

    def records(self, folder=None):
        return [r for s in sorted((folder or self.trail).glob("0*.jsonl")) for r in lines_of(s)[1:]]

    def own(self, action):
        return [r["event"] for r in self.records() if r["source"] == "auditd" and r["event"]["action"] == action]

    def verify(self, folder=None):
        p = self.occ("audit", "verify", "--json", "--dir", folder or self.trail, check=False)
        return p.returncode, p.stdout + p.stderr

    def must_verify(self, folder=None):
        code, said = self.verify(folder)
        assert code == 0, said
        return json.loads(said)

    def append(self, *events, peer="gateway"):
        """(0, reply) or (1, error)"""
        p = subprocess.run([program("ocu-rpc-probe"), "--pki", self.pki, "--as", peer, "--to", RPC, "--peer", "auditd",
                            "audit.Append", json.dumps({"events": [base64.b64encode(e).decode() for e in events]})],
                           capture_output=True, text=True, timeout=120)
        return p.returncode, json.loads(p.stdout)

    def load(self, *args, **kw):
        return subprocess.Popen([program("ocu-audit-load"), "--url", RPC, "--pki", self.pki, *map(str, args)],
                                stdout=subprocess.PIPE, text=True, **kw)

    def metric(self, name):
        c = http.client.HTTPConnection("127.0.0.1", 9195, timeout=60)
        c.request("GET", "/metrics")
        text = c.getresponse().read().decode()
        return sum(float(x.split()[-1]) for x in text.splitlines() if x.startswith(name))


def lines_of(segment):
    """The opening and records of a segment, parsed; up to the first line that is not whole."""
    data = segment.read_bytes()[HEADER:].split(b"\0", 1)[0]
    return [json.loads(x) for x in data.split(b"\n")[:-1]]


def event(**members):
    return {"class_uid": 1007, "activity_id": 1, "time": 1795470278794, "metadata": {"version": "1.3.0"}, "trace_id": "trc_1",
            "session_id": "ses_1", "actor_id": "alice", "resource": "true", "action": "tool.call", "outcome": "success", **members}


def raw(**members):
    return json.dumps(event(**members)).encode()


def result(process, timeout=60):
    out, _ = process.communicate(timeout=timeout)
    return json.loads(out)
