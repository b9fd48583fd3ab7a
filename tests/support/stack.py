"""A whole deployment of real daemons in one folder, for tests: init, start, kill, restart, stop; the operator's tool; a
small MCP client that speaks plain HTTP, for the requests no well-behaved SDK would send."""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OCU_BUILD", ROOT / "build")).resolve()
IMAGES = pathlib.Path(os.environ.get("OCU_IMAGES", "/var/cache/ocu/images"))
ORDER = ["auditd", "operatord", "brokerd", "egressd", "sandboxd", "gateway"]


def program(name):
    return str(BUILD / "bin" / name)


class Stack:
    """config: {daemon: {key: value}} becomes OCU_<DAEMON>_<KEY> in that daemon's environment."""

    def __init__(self, config=None, caller="alice"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ocu-", dir="/var/tmp"))
        self.dir.chmod(0o755)
        self.config = {d: {} for d in ORDER}
        self.config["sandboxd"]["image_dir"] = str(IMAGES)
        # Tests start sessions faster than any caller should.
        self.config["operatord"]["starts_per_minute"] = "100000"
        for daemon, values in (config or {}).items():
            self.config.setdefault(daemon, {}).update(values)
        self.caller = caller
        self.nofile = {}   # daemon: descriptors it may have, at most
        self.proc = {}
        self.etc = self.dir / "etc"
        run([program("occ"), "init", "--dir", self.etc, "--state", self.dir / "state", "--run", self.dir / "run",
             "--caller", caller])

    @property
    def token(self):
        return (self.etc / "caller.token").read_text().strip()

    def env_of(self, daemon):
        env = dict(os.environ, **{f"OCU_{daemon}_{k}".upper(): v if isinstance(v, str) else json.dumps(v)
                                  for k, v in self.config[daemon].items()})
        # A secret of the host that must never be seen in a sandbox.
        env["HOST_DB_PASSWORD"] = "canary-5f1e"
        return env

    def start(self, *daemons):
        for daemon in daemons or ORDER:
            self.start_one(daemon)
        if not daemons:
            eventually(self.ready)
        return self

    def ready(self, port=9191):
        """operatord's /readyz: it has compared its registry with what sandboxd runs."""
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(c):
            c.request("GET", "/readyz")
            return c.getresponse().status == 200
        return False

    def limit_of(self, daemon):
        n = self.nofile.get(daemon)
        return n and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)))

    def start_one(self, daemon, timeout=60):
        assert daemon not in self.proc or self.proc[daemon].poll() is not None, f"{daemon} runs already"
        r, w = os.pipe()
        with open(self.log_path(daemon), "ab") as log:
            self.proc[daemon] = subprocess.Popen(
                [program(f"ocu-{daemon}"), "--config", self.etc / f"{daemon}.yaml", "--ready-fd", str(w)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[w], env=self.env_of(daemon),
                start_new_session=True, preexec_fn=self.limit_of(daemon))
        os.close(w)
        ready, _, _ = select.select([r], [], [], timeout)
        said = os.read(r, 1) if ready else b""
        os.close(r)
        if said != b"\n":
            raise RuntimeError(f"{daemon} did not become ready:\n{self.log(daemon)[-3000:]}")
        if daemon == "sandboxd":
            state = os.stat(pathlib.Path(self.config[daemon].get("state_dir", self.dir / "state")) / daemon)
            text = f"{os.path.realpath(self.dir / 'run')} {state.st_dev:x}:{state.st_ino:x}"
            self.sandbox_group = "ocu." + hashlib.sha256(text.encode()).hexdigest()[:8]

    def log_path(self, daemon):
        return self.dir / f"{daemon}.log"

    def log(self, daemon):
        path = self.log_path(daemon)
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self, daemon, sig=signal.SIGKILL):
        self.proc[daemon].send_signal(sig)
        return self.proc[daemon].wait(60)

    def restart(self, daemon, sig=signal.SIGKILL):
        self.kill(daemon, sig)
        self.start_one(daemon)

    def alive(self):
        return [d for d, p in self.proc.items() if p.poll() is None]

    def stop(self):
        """Stops in reverse order and returns {daemon: exit status}; removes the folder."""
        status = {}
        for daemon in reversed(ORDER):
            p = self.proc.get(daemon)
            if not p:
                continue
            with contextlib.suppress(ProcessLookupError):
                p.terminate()
            try:
                status[daemon] = p.wait(60)
            except subprocess.TimeoutExpired:
                p.kill()
                status[daemon] = "did not stop"
        if not os.environ.get("OCU_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        return status

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc):
        if exc[0] and os.environ.get("OCU_KEEP"):
            print(f"kept {self.dir}")
        status = self.stop()
        if not exc[0]:
            assert all(s == 0 for s in status.values()), status

    def occ(self, *args, check=True, timeout=120):
        """Runs occ; with --json in args returns the parsed output, else the CompletedProcess."""
        p = subprocess.run([program("occ"), "--deployment", str(self.etc), *map(str, args)], capture_output=True, text=True,
                           timeout=timeout)
        if check and p.returncode:
            raise RuntimeError(f"occ {args}: {p.returncode}\n{p.stdout}{p.stderr}")
        return json.loads(p.stdout) if check and "--json" in args else p

    def mcp(self, token=None, **kw):
        return Mcp("127.0.0.1", 8080, token or self.token, **kw)

    def sessions(self):
        out = self.occ("session", "list", "--json")
        return out["sessions"] if isinstance(out, dict) else out

    def events(self, **match):
        """Events of the trail whose members equal those given, oldest first."""
        out = subprocess.run([program("occ"), "--deployment", str(self.etc), "audit", "export"],
                             capture_output=True, text=True, timeout=60, check=True).stdout
        found = []
        for line in out.splitlines():
            record = json.loads(line)
            event = record.get("event", record)
            if all(event.get(k) == v for k, v in match.items()):
                found.append(event)
        return found


class McpError(Exception):
    def __init__(self, error):
        super().__init__(f"{error.get('code')} {error.get('message')} {error.get('data')}")
        self.code, self.data = error.get("code"), error.get("data") or {}


class Mcp:
    """One MCP session over HTTP, one connection."""

    def __init__(self, host, port, token, chat=None, version="2025-11-25", initialize=True, timeout=60):
        self.http = http.client.HTTPConnection(host, port, timeout=timeout)
        self.token, self.chat, self.version, self.id = token, chat, version, 0
        self.session = None
        if initialize:
            self.rpc("initialize", {"protocolVersion": version, "capabilities": {},
                                    "clientInfo": {"name": "test", "version": "1"}})

    def end(self):
        """Ends the MCP session and with it the sandbox."""
        self.http.close()
        self.http.request("DELETE", "/mcp", headers=self.headers())
        assert self.http.getresponse().status == 204
        self.http.close()

    def headers(self):
        h = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self.token:
            h["Authorization"] = "Bearer " + self.token
        if self.session:
            h["Mcp-Session-Id"] = self.session
            h["MCP-Protocol-Version"] = self.version
        if self.chat:
            h["X-Chat-Id"] = self.chat
        return h

    def post(self, body, headers=None):
        """Raw: (status, headers, body bytes)."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.http.request("POST", "/mcp", data, {**self.headers(), **(headers or {})})
        r = self.http.getresponse()
        return r.status, r.headers, r.read()

    def rpc(self, method, params=None):
        self.id += 1
        message = {"jsonrpc": "2.0", "id": self.id, "method": method}
        if params is not None:
            message["params"] = params
        status, headers, body = self.post(message)
        if headers.get("Mcp-Session-Id"):
            self.session = headers["Mcp-Session-Id"]
        reply = json.loads(body)
        if "error" in reply:
            raise McpError(reply["error"])
        assert status == 200, (status, body)
        return reply["result"]

    def call(self, tool, **args):
        return self.rpc("tools/call", {"name": tool, "arguments": args})

    def bash(self, command):
        """stdout of a command that must succeed."""
        r = self.call("bash_tool", command=command)
        assert r["structuredContent"]["exit_code"] == 0, r
        return r["structuredContent"]["stdout"]

    def sh(self, command):
        """structuredContent whatever the exit code."""
        return self.call("bash_tool", command=command)["structuredContent"]


class SdkClient:
    """tests/integration/clients/driver.mjs: the official SDKs."""

    def __init__(self, kind, token, url="http://127.0.0.1:8080/mcp", chat=None):
        clients = ROOT / "tests/integration/clients"
        env = dict(os.environ, OCU_TOKEN=token)
        if chat:
            env["OCU_CHAT_ID"] = chat
        self.p = subprocess.Popen([clients / "node_modules/.bin/node", clients / "driver.mjs", kind, url],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.n, self.seen, self.notes = 0, {}, []
        hello = self.wait(0)
        assert "ok" in hello, hello
        self.hello = hello["ok"]

    def send(self, **command):
        self.n += 1
        self.p.stdin.write(json.dumps({"id": self.n, **command}) + "\n")
        self.p.stdin.flush()
        return self.n

    def wait(self, number):
        while number not in self.seen:
            line = self.p.stdout.readline()
            assert line, "the client ended"
            m = json.loads(line)
            if "progress" in m:
                self.notes.append(m)
            else:
                self.seen[m["id"]] = m
        return self.seen.pop(number)

    def call(self, tool, **args):
        m = self.wait(self.send(op="call", tool=tool, args=args))
        assert "ok" in m, m
        return m["ok"]

    def close(self):
        self.p.stdin.close()
        self.p.wait(20)


def run(args, **kw):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True, **kw)
    if p.returncode:
        raise RuntimeError(f"{args}: {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def eventually(check, timeout=30, every=0.02):
    """Polls a condition of the outside world that offers no event to wait for."""
    end = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, "the condition never held"
        time.sleep(every)
