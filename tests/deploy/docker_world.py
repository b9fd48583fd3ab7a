"""A docker daemon of our own, the images built from this tree, and the Compose project on it."""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from stack import Mcp, eventually, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("OCU_DOCKER_CACHE", "/var/cache/ocu/docker"))
DAEMONS = ("gateway", "operatord", "brokerd", "sandboxd", "egressd", "auditd")
IMAGES = (*DAEMONS, "occ")
PLUGIN = "/usr/libexec/docker/cli-plugins/docker-compose"


def version():
    return re.search(r"^VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.M).group(1)


class Docker:
    """dockerd on a socket of its own. What it has built is kept for the next time, by one user at a time."""

    def __init__(self, cache=CACHE):
        self.cache = cache

    def __enter__(self):
        self.cache.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.cache / "lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ocu-docker-", dir="/var/tmp"))
        self.env = {**os.environ, "DOCKER_HOST": f"unix://{self.dir}/docker.sock", "DOCKER_CONFIG": str(self.dir),
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OCU_TAG": version()}
        # Containers of a run that was killed: dockerd would start them again before they could be removed.
        shutil.rmtree(CACHE / "data/containers", ignore_errors=True)
        self.start()
        self.clean()
        return self

    def start(self):
        log = open(self.dir / "log", "ab")
        self.p = subprocess.Popen(["dockerd", "--data-root", self.cache / "data", "--exec-root", self.dir / "exec", "--pidfile",
                                   self.dir / "pid", "-H", self.env["DOCKER_HOST"]], stdout=log, stderr=log, env=self.env)
        eventually(self.answers, timeout=60, every=0.1)

    def answers(self):
        assert self.p.poll() is None, (self.dir / "log").read_text(errors="replace")[-4000:]
        return subprocess.run(["docker", "version"], env=self.env, capture_output=True).returncode == 0

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        self.p.wait(60)
        (self.dir / "pid").unlink(missing_ok=True)

    def clean(self):
        """What an interrupted run left: containers, networks and volumes, never images."""
        for one, many in ((["rm", "-f"], ["ps", "-aq"]), (["network", "rm"], ["network", "ls", "-q", "--filter", "type=custom"]),
                          (["volume", "rm", "-f"], ["volume", "ls", "-q"])):
            names = self(*many).split()
            if names:
                self(*one, *names)

    def __call__(self, *args, **kw):
        return run(["docker", *args], env=self.env, **kw)

    def inspect(self, name):
        return json.loads(self("inspect", name))[0]

    def build(self, *args, out=None):
        out = out or ROOT / "build/images"
        run([ROOT / "deploy/images/build-images", "--out", out, *args], env=self.env, timeout=1500)
        rows = (line.split() for line in (out / "digests.txt").read_text().splitlines())
        return {name.split(":")[0].split("/")[1]: {"id": image, "layers": layers.strip(",").split(","), "size": int(size)}
                for name, image, layers, size in rows}

    def __exit__(self, *exc):
        with contextlib.suppress(RuntimeError):
            self.clean()
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
        self.lock.close()


class Project:
    def __init__(self, docker, upstream, name="ocu", folder=ROOT / "deploy/compose", options=(), **env):
        self.docker, self.name, self.folder, self.options = docker, name, folder, options
        self.env = {**docker.env, "OCU_CALLER": "alice", "OCU_EGRESS_RUNG": "passthrough",
                    "OCU_EGRESS_ALLOW": json.dumps(upstream.config["operatord"]["egress_allow"]),
                    "OCU_RESOLVERS": json.dumps(upstream.config["egressd"]["resolvers"]), **env}

    def compose(self, *args, **kw):
        program = ["docker", "compose"] if os.path.exists(PLUGIN) else ["docker-compose"]
        return run([*program, *self.options, "-p", self.name, *args], cwd=self.folder, env={**self.env, **kw.pop("env", {})},
                   timeout=300, **kw)

    def __enter__(self):
        try:
            self.up()
            return self
        except BaseException:
            self.__exit__(True)
            raise

    def up(self, **env):
        self.compose("up", "-d", env=env)
        self.wait_healthy()

    def wait_healthy(self, *daemons, timeout=60):
        eventually(lambda: all(self.health(d) == "healthy" for d in daemons or DAEMONS), timeout=timeout, every=0.2)

    def __exit__(self, *exc):
        if exc and exc[0]:
            for d in DAEMONS:
                with contextlib.suppress(IndexError):
                    print(d, self.log(d)[-1500:])
        with contextlib.suppress(RuntimeError):
            self.compose("down", "-v", "-t", "15")

    def container(self, daemon):
        return self.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.name}", "--filter",
                           f"label=com.docker.compose.service={daemon}").split()[0]

    def inspect(self, daemon):
        return self.docker.inspect(self.container(daemon))

    def health(self, daemon):
        with contextlib.suppress(IndexError, RuntimeError):
            state = self.inspect(daemon)["State"]
            return state["Health"]["Status"] if state["Running"] else state["Status"]

    def pid(self, daemon):
        return self.inspect(daemon)["State"]["Pid"]

    def log(self, daemon):
        p = subprocess.run(["docker", "logs", self.container(daemon)], env=self.env, capture_output=True, text=True)
        return p.stdout + p.stderr

    def volume(self, name):
        return pathlib.Path(json.loads(self.docker("volume", "inspect", f"{self.name}_{name}"))[0]["Mountpoint"])

    @property
    def token(self):
        return (self.volume("deployment") / "caller.token").read_text().strip()

    def mcp(self, **kw):
        return Mcp("127.0.0.1", 8080, self.token, **kw)

    def occ(self, *args):
        return self.compose("run", "--rm", "-T", "occ", *args, stdin=subprocess.DEVNULL)

    def events(self, **match):
        found = (json.loads(line) for line in self.occ("audit", "export").splitlines() if line.startswith("{"))
        return [e["event"] for e in found if all(e["event"].get(k) == v for k, v in match.items())]
