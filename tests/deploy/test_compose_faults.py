"""What goes wrong on a user's host: each stops the one daemon concerned, which says what to change and comes back when it was.
shows: NFR-SEC-02, NFR-REL-12"""
import contextlib
import json
import os
import re
import shlex
import shutil
import socket

import pytest
from certificates import issue
from docker_world import DAEMONS
from stack import McpError, eventually, run

KEY, CERT = "pki/gateway/key.pem", "pki/gateway/cert.pem"


def reissue(project, folder, start, end):
    keys, ca = project.volume("keys-gateway"), project.volume("deployment") / "pki"
    return issue(ca, keys / KEY, "gateway", folder, start, end)


def of_another(project, *_):
    return (project.volume("keys-egressd") / "pki/egressd/cert.pem").read_bytes()


CERTIFICATES = {
    "expired": (CERT, lambda p, d: reissue(p, d, "20200101000000Z", "20210101000000Z"), "has expired.*clock"),
    "of the future": (CERT, lambda p, d: reissue(p, d, "20900101000000Z", "20910101000000Z"), "not yet valid.*clock"),
    "of another": (CERT, of_another, "key.pem is not the key of .*cert.pem"),
    "no certificate": (CERT, lambda *_: b"-----BEGIN NOTHING-----\n", "cert.pem is not usable PEM"),
    "missing": (KEY, lambda *_: None, "key.pem: No such file"),
    "unreadable": (KEY, lambda *_: 0o000, "key.pem: Permission denied"),
    "open to all": (KEY, lambda *_: 0o644, "key.pem.*0600"),
}


def stopped_with(project, daemon, words, status=78):
    """The daemon alone has stopped, with that exit status, and said why. Docker tries it again and again."""
    def said():
        state = project.inspect(daemon)["State"]
        return state["ExitCode"] == status and re.search(words, project.log(daemon))
    eventually(said, timeout=30, every=0.2)
    others = [d for d in DAEMONS if d != daemon]
    eventually(lambda: all(project.inspect(d)["State"]["Running"] for d in others), timeout=5, every=0.2)


def works(project, chat):
    def call():
        with contextlib.suppress(McpError, OSError):
            m = project.mcp()
            said = m.bash(f"echo {shlex.quote(chat)}")
            m.end()  # a caller has a quota of sessions, and those of chats last
            return said == chat + "\n"
    eventually(call, timeout=30, every=0.2)


@pytest.mark.parametrize("fault", CERTIFICATES)
def test_a_certificate_that_will_not_do(project, tmp_path, fault):
    name, make, words = CERTIFICATES[fault]
    path = project.volume("keys-gateway") / name
    good, owner, mode = path.read_bytes(), path.stat(), path.stat().st_mode & 0o777
    new = make(project, tmp_path)
    try:
        if new is None:
            path.unlink()
        elif isinstance(new, int):
            path.chmod(new)
        else:
            path.write_bytes(new)
        project.compose("restart", "-t", "15", "gateway")
        stopped_with(project, "gateway", words)
    finally:
        path.write_bytes(good)
        path.chmod(mode)
        os.chown(path, owner.st_uid, owner.st_gid)
    project.wait_healthy()  # by itself
    works(project, f"after {fault}")


@pytest.mark.parametrize("env,words", [
    ({"OCU_PROFILE": "untrusted"}, "profile untrusted needs a sandbox tier"),
    ({"OCU_PROFILE": "nonesuch"}, "OCU_OPERATORD_PROFILE.*trusted_operator"),
    ({"OCU_EGRESS_RUNG": "open"}, "OCU_OPERATORD_EGRESS_RUNG.*passthrough"),
    ({"OCU_EGRESS_ALLOW": '[{"hots": "a.example"}]'}, "OCU_OPERATORD_EGRESS_ALLOW.*unknown field.*hots"),
    ({"OCU_EGRESS_ALLOW": "a.example"}, "OCU_OPERATORD_EGRESS_ALLOW.*JSON line 1"),
])
def test_a_setting_that_will_not_do(project, env, words):
    project.compose("up", "-d", "--no-deps", "operatord", env=env)
    try:
        stopped_with(project, "operatord", words)
    finally:
        project.up()
    works(project, f"after {env}")


def test_a_port_in_use(project):
    project.compose("stop", "-t", "15", "gateway")
    with socket.create_server(("127.0.0.1", 8080)):
        with pytest.raises(RuntimeError, match="127.0.0.1:8080.*address already in use"):
            project.compose("up", "-d", "gateway")
        assert all(project.health(d) == "healthy" for d in DAEMONS if d != "gateway")
    project.up()
    works(project, "after port")


def test_a_volume_that_is_read_only(project, tmp_path):
    override = tmp_path / "ro.yml"
    override.write_text(json.dumps({"version": "3.8", "services": {"auditd": {"volumes": ["trail:/var/lib/ocu/auditd:ro"]}}}))
    project.compose("-f", "docker-compose.yml", "-f", override, "up", "-d", "--no-deps", "auditd")
    try:
        stopped_with(project, "auditd", "/var/lib/ocu/auditd.*Read-only file system", status=1)
    finally:
        project.up()
    works(project, "after read-only")
    assert "verified" in project.occ("audit", "verify")


@contextlib.contextmanager
def small_volume(project, name, daemon, size):
    """The volume's folder on a file system of that size, until the end; yields the folder."""
    folder = project.volume(name)
    kept = folder.with_name("_kept")
    project.compose("stop", "-t", "15", daemon)
    run(["cp", "-a", folder, kept])
    st = folder.stat()
    run(["mount", "-t", "tmpfs", "-o", f"size={size},uid={st.st_uid},gid={st.st_gid},mode={st.st_mode & 0o777:o}", "none", folder])
    try:
        run(["cp", "-a", f"{kept}/.", folder])
        project.compose("start", daemon)
        project.wait_healthy()
        yield folder
    finally:
        project.compose("stop", "-t", "15", daemon)
        run(["cp", "-a", f"{folder}/.", kept])
        run(["umount", folder])
        run(["cp", "-a", f"{kept}/.", folder])
        shutil.rmtree(kept)
        project.compose("start", daemon)
        project.wait_healthy()


def fill(folder):
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(bytes(4096))
    assert os.statvfs(folder).f_bfree == 0
    return ballast


@pytest.mark.parametrize("volume,daemon", [("trail", "auditd"), ("registry", "operatord"), ("files", "brokerd")])
def test_a_full_volume(project, volume, daemon):
    with small_volume(project, volume, daemon, "64m") as folder:
        works(project, f"{volume} not full yet")
        pids = {d: project.pid(d) for d in DAEMONS}
        ballast, acknowledged, refused = fill(folder), set(), None
        size = 100000 if volume == "files" else 10
        for n in range(3000):
            try:
                # The registry is written when sessions are made and ended, the others whenever there is a call.
                m = project.mcp(chat=None if volume == "registry" else f"{volume} full")
                r = m.call("bash_tool", command=f"head -c {size} /dev/urandom > /workspace/f{n}")
                if volume == "registry":
                    m.http.close()
                    m.http.request("DELETE", "/mcp", headers=m.headers())
                    m.http.getresponse().read()
                acknowledged.add(r["_meta"]["ocu/correlation_id"])
                refused = r if r["isError"] or r["structuredContent"]["exit_code"] else None
            except McpError as e:
                assert e.data["reason"] in ("no_space", "audit_unavailable") and len(str(e)) < 2048
                refused = e
            if refused:
                break
        assert refused, "the volume was never full"
        ballast.unlink()
        works(project, f"{volume} space again")
        assert {d: project.pid(d) for d in DAEMONS} == pids  # nobody had to be started
        assert acknowledged <= {e["trace_id"] for e in project.events(action="tool.call")}
        assert "verified" in project.occ("audit", "verify")
    works(project, f"{volume} back")
