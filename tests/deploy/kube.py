"""A real kube-apiserver and etcd, and a stand-in for the one thing Helm waits for: jobs that end. Their containers are run by pods.Cluster."""
import base64
import json
import os
import pathlib
import secrets
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import yaml

from chart import HELM

PORT, ETCD = 16443, 23790


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body[:500]}")
        self.status = status


class Api:
    def __init__(self, program):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ocu-kube-", dir="/var/tmp"))
        self.admin = secrets.token_hex(16)
        (self.dir / "tokens.csv").write_text(f"{self.admin},admin,admin,system:masters\n")
        subprocess.run(["openssl", "genrsa", "-out", self.dir / "sa.key", "2048"], check=True, capture_output=True)
        log = open(self.dir / "log", "ab")
        client, peer = f"http://127.0.0.1:{ETCD}", f"http://127.0.0.1:{ETCD + 1}"
        self.running = [subprocess.Popen(
            ["etcd", "--data-dir", self.dir / "etcd", "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
             "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"], stdout=log, stderr=log)]
        self.running.append(subprocess.Popen(
            [program, f"--etcd-servers={client}", f"--cert-dir={self.dir}/certs", f"--secure-port={PORT}", "--bind-address=127.0.0.1",
             "--advertise-address=192.0.2.2", "--service-cluster-ip-range=10.96.0.0/16", "--service-account-issuer=https://kubernetes.default.svc",
             f"--service-account-key-file={self.dir}/sa.key", f"--service-account-signing-key-file={self.dir}/sa.key",
             f"--token-auth-file={self.dir}/tokens.csv", "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount"],
            stdout=log, stderr=log))
        self.kubeconfig = self.dir / "kubeconfig"

    def ready(self):
        ca = self.dir / "certs/apiserver.crt"
        if not ca.exists():
            return False
        try:
            return self.call("GET", "/readyz") == "ok"
        except (OSError, Refused):
            return False

    def use(self, namespace):
        self.kubeconfig.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {
                "cluster": "c", "user": "u", "namespace": namespace}}],
            "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{PORT}", "certificate-authority": str(self.dir / "certs/apiserver.crt")}}],
            "users": [{"name": "u", "user": {"token": self.admin}}]}))
        self.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})

    def call(self, method, path, body=None, token=None, kind="application/json"):
        context = ssl.create_default_context(cafile=self.dir / "certs/apiserver.crt")
        request = urllib.request.Request(f"https://127.0.0.1:{PORT}{path}", method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {token or self.admin}", "Content-Type": kind})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        try:
            with opener.open(request, timeout=30) as r:
                text = r.read().decode()
        except urllib.error.HTTPError as e:
            raise Refused(e.code, e.read().decode()) from None
        try:
            return json.loads(text)
        except ValueError:
            return text

    def path(self, o, namespace):
        """Where objects of this kind are made, as the server itself lists it."""
        version = o["apiVersion"]
        base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        resource = next(r for r in self.call("GET", base)["resources"] if r["kind"] == o["kind"] and "/" not in r["name"])
        return f"{base}/namespaces/{namespace}/{resource['name']}" if resource["namespaced"] else f"{base}/{resource['name']}"

    def names(self, namespace, resource="secrets", base="/api/v1"):
        return {o["metadata"]["name"] for o in self.call("GET", f"{base}/namespaces/{namespace}/{resource}")["items"]}

    def helm(self, *args, check=True):
        env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        p = subprocess.run([HELM, *args], capture_output=True, text=True, timeout=300, env=dict(env, KUBECONFIG=str(self.kubeconfig)))
        if check and p.returncode:
            raise RuntimeError(p.stderr)
        return p

    def stop(self):
        for p in reversed(self.running):
            p.terminate()
            p.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)


class Jobs:
    """Runs each new job of a namespace with `run(job) -> ok` and files the outcome, as the job controller does."""

    def __init__(self, api, namespace, run):
        self.api, self.base, self.run = api, f"/apis/batch/v1/namespaces/{namespace}/jobs", run
        self.seen, self.stopping, self.failures = [], threading.Event(), []
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        done = set()
        while not self.stopping.is_set():
            for job in self.api.call("GET", self.base)["items"]:
                uid = job["metadata"]["uid"]
                if uid not in done:
                    done.add(uid)
                    self.finish(job)
            time.sleep(0.1)  # the one place that polls: Helm itself is what is awaited

    def finish(self, job):
        name = job["metadata"]["name"]
        self.seen.append(name)
        try:
            ok, now = self.run(job), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        except Exception as e:  # a test's own fault must not leave Helm waiting
            self.failures.append(e)
            ok, now = False, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        status = {"conditions": [{"type": "Complete" if ok else "Failed", "status": "True"}], "startTime": now}
        status.update({"succeeded": 1, "completionTime": now} if ok else {"failed": 1})
        self.api.call("PATCH", f"{self.base}/{name}/status", {"status": status}, kind="application/merge-patch+json")

    def stop(self):
        self.stopping.set()
        self.thread.join(10)
        assert not self.failures, self.failures


def decoded(secret):
    return {k: base64.b64decode(v) for k, v in secret["data"].items()}
