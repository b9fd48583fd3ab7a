"""Sandboxes driven over the exec and control RPCs themselves, as the gateway and operatord would, and seen from the host."""
import base64
import glob
import itertools
import json
import os
import pathlib
import re
import subprocess
import time

from stack import eventually, program

COUNTER = itertools.count(1)
EXEC, CONTROL, SESSION = 9301, 9302, 9201


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(f"{error.get('reason')}: {error.get('text')}")
        self.reason, self.text = error.get("reason"), error.get("text")


def popen(stack, identity, port, peer, method, request, deadline=60000):
    return subprocess.Popen([program("ocu-rpc-probe"), "--pki", stack.etc / "pki", "--as", identity, "--to",
                             f"tls+tcp://127.0.0.1:{port}", "--peer", peer, "--deadline", str(deadline), method,
                             json.dumps(request)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(p, timeout=90):
    out, err = p.communicate(timeout=timeout)
    try:
        reply = json.loads(out)
    except ValueError:
        raise AssertionError(f"the probe said {out!r} {err!r}") from None
    if "error" in reply:
        raise RpcError(reply["error"])
    return reply


def rpc(stack, identity, port, peer, method, request, **kw):
    return finish(popen(stack, identity, port, peer, method, request, **kw))


def control(stack, method, **request):
    return rpc(stack, "operatord", CONTROL, "sandboxd", f"control.{method}", request)


class Sandbox:
    """One session, made by operatord."""

    def __init__(self, stack, caller="alice"):
        self.stack, self.caller = stack, caller
        request = {"caller": caller, "token_id": "tok_test", "hint": f"hint-{os.getpid()}-{next(COUNTER)}", "label": "test"}

        # operatord refuses while it has not yet compared itself with what runs.
        def create():
            try:
                return rpc(stack, "gateway", SESSION, "operatord", "session.Create", request)
            except RpcError as e:
                if e.reason not in ("unavailable", "busy"):
                    raise
        made = eventually(create, timeout=60, every=0.1)
        self.id = made["session_id"]
        self.routed, self.granted = made["route"]["grant"], time.monotonic()

    @property
    def grant(self):
        if time.monotonic() - self.granted > 30:
            route = rpc(self.stack, "gateway", SESSION, "operatord", "session.Route",
                        {"caller": self.caller, "session_id": self.id})
            self.routed, self.granted = route["route"]["grant"], time.monotonic()
        return self.routed

    def begin(self, method, deadline=60000, **request):
        if method in ("Run", "Start", "View", "CreateFile", "StrReplace"):
            request.setdefault("call_id", f"call_{os.getpid()}_{next(COUNTER)}")
        return popen(self.stack, "gateway", EXEC, "sandboxd", f"exec.{method}", {"grant": self.grant, **request}, deadline)

    def call(self, method, **request):
        return finish(self.begin(method, **request))

    def begin_run(self, command, **kw):
        return self.begin("Run", argv=["/bin/bash", "-c", command] if isinstance(command, str) else command,
                          **{"tool": "bash_tool", "timeout_ms": 30000, **kw})

    def run(self, command, **kw):
        """exit_code, stdout and stderr (as text), and the rest of the reply."""
        reply = finish(self.begin_run(command, **kw))
        for stream in ("stdout", "stderr"):
            reply[stream] = base64.b64decode(reply[stream]).decode(errors="replace")
        return reply

    def out(self, command, **kw):
        reply = self.run(command, **kw)
        assert reply["exit_code"] == 0, reply
        return reply["stdout"]

    def stop(self):
        return control(self.stack, "Stop", session_id=self.id, reason="test")

    def destroy(self):
        rpc(self.stack, "gateway", SESSION, "operatord", "session.Destroy", {"caller": self.caller, "session_id": self.id})

    def listed(self):
        return next((s for s in control(self.stack, "List")["sandboxes"] if s["session_id"] == self.id), None)

    @property
    def container(self):
        if not hasattr(self, "_container"):
            self._container = self.listed()["container_name"]
        return self._container

    def pids(self):
        return pids_of(self.container)

    def init(self):
        """The host's pid of the agent: PID 1 inside."""
        for pid in self.pids():
            if re.search(r"^NSpid:.*\t1$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M):
                return pid
        raise AssertionError("no init")


def groups():
    """Every control group of every sandbox of this machine, one folder per hierarchy."""
    return [pathlib.Path(p) for p in glob.glob("/sys/fs/cgroup/ocu.*/*/") + glob.glob("/sys/fs/cgroup/*/ocu.*/*/")]


def pids_of(container):
    for group in groups():
        if group.name == container and (group / "cgroup.procs").exists():
            try:
                return [int(p) for p in (group / "cgroup.procs").read_text().split()]
            except OSError:
                return []
    return []


def parents_of(stack):
    """The groups of one deployment, by the name sandboxd derives from its run_dir and its state folder."""
    name = stack.sandbox_group
    return [pathlib.Path(p) for p in glob.glob(f"/sys/fs/cgroup/{name}") + glob.glob(f"/sys/fs/cgroup/*/{name}")]


def containers_left(stack):
    return sorted({p.name for parent in parents_of(stack) for p in parent.iterdir() if p.is_dir()})


def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def sandboxd_status(stack):
    return status_of(stack.proc["sandboxd"].pid)


def rss_mib(stack):
    return int(sandboxd_status(stack)["VmRSS"].split()[0]) / 1024


def zombies(stack):
    """Children of sandboxd that nobody reaped."""
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = pathlib.Path(stat).read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] == "Z" and int(fields[1]) == stack.proc["sandboxd"].pid:
            found.append(stat)
    return found
