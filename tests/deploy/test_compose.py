"""The Compose project as its users run it.
shows: NFR-FLEX-07, NFR-FLEX-13, NFR-REL-07, NFR-SEC-17"""
import http.client
import json
import os
import signal
import ssl

import pytest
from docker_world import DAEMONS
from stack import McpError, SdkClient, eventually


def north(project, path, method="GET", body=None):
    ctx = ssl.create_default_context(cafile=project.volume("deployment") / "pki/ca.pem")
    c = http.client.HTTPSConnection("127.0.0.1", 8443, context=ctx, timeout=20)
    c.request(method, path, body, {"Authorization": f"Bearer {project.token}"})
    r = c.getresponse()
    return r.status, r.read()


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_a_governed_session(project, kind):
    client = SdkClient(kind, project.token, chat=f"chat-{kind}")
    client.call("create_file", path="/workspace/hello.py", file_text="print('hello')\n")
    ran = client.call("bash_tool", command="python3 hello.py; id -u")
    assert ran["structuredContent"]["stdout"] == "hello\n0\n"
    fs = ran["_meta"]["ocu/filesystem_id"]
    assert north(project, f"/v1/filesystems/{fs}/files/hello.py") == (200, b"print('hello')\n")
    allowed = client.call("bash_tool", command="curl -sS --max-time 10 http://allowed.example/hi")
    assert json.loads(allowed["structuredContent"]["stdout"])["host"] == "allowed.example", allowed
    denied = client.call("bash_tool", command="curl -sSi --max-time 10 -x http://100.64.0.1:3128 http://other.example/")
    assert "x-deny-reason: destination_not_allowed" in denied["structuredContent"]["stdout"], denied
    # Names of the other containers are nobody's business in here.
    inner = client.call("bash_tool", command="curl -sS --max-time 10 http://auditd:9601/ http://operatord:9443/")
    assert inner["structuredContent"]["exit_code"] != 0

    running = client.send(op="call", tool="bash_tool", args={"command": "touch started; sleep 60"})
    eventually(lambda: north(project, f"/v1/filesystems/{fs}/files/started")[0] == 200)
    [session] = [s for s in json.loads(project.occ("session", "list", "--json"))["sessions"]
                 if s["filesystem_id"] == fs and s["state"] == "active"]
    project.occ("kill", session["session_id"])
    answer = client.wait(running)
    assert answer["error"]["data"]["reason"] == "session_denylisted", answer
    client.close()
    actions = {e["action"] for e in project.events(session_id=session["session_id"])}
    assert {"session.create", "sandbox.create", "tool.call", "file.create", "session.kill"} <= actions
    assert "verified" in project.occ("audit", "verify")


def test_state_is_kept(project):
    before = project.mcp(chat="kept")
    before.bash("echo kept > /workspace/kept")
    token, records = project.token, len(project.events())
    project.compose("down", "-t", "15")
    project.up()
    assert project.token == token
    after = project.mcp(chat="new")
    assert after.bash("echo on") == "on\n"
    assert len(project.events()) > records and "verified" in project.occ("audit", "verify")
    # The session ended in order with its sandboxd; that is in the trail, and nobody is told otherwise.
    assert project.events(action="sandbox.stopped")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_killed_daemon_comes_back(project, daemon):
    project.mcp(chat=f"before-{daemon}").bash("true")
    before = project.pid(daemon)
    os.kill(before, signal.SIGKILL)  # not `docker kill`, which means that it should stay away
    eventually(lambda: project.pid(daemon) not in (0, before), timeout=30, every=0.1)
    project.wait_healthy()

    def works():
        try:
            m = project.mcp()
            said = m.bash("echo on")
            m.end()  # a caller has a quota of sessions, and those of chats last
            return said == "on\n"
        except McpError as e:
            assert len(str(e)) < 2048
    eventually(works, timeout=30, every=0.2)
    assert "verified" in project.occ("audit", "verify")


@pytest.mark.parametrize("daemon", [d for d in DAEMONS if d != "gateway"])
def test_a_paused_daemon_costs_bounded_errors(project, daemon):
    project.docker("pause", project.container(daemon))
    try:
        m = project.mcp(chat=f"paused-{daemon}", timeout=60)
        m.bash("true")  # a daemon that this call does not need
    except McpError as e:
        assert e.data.get("reason") and len(str(e)) < 2048
    finally:
        project.docker("unpause", project.container(daemon))
    project.wait_healthy()

    def works():
        try:
            m = project.mcp()
            said = m.bash("echo on")
            m.end()
            return said == "on\n"
        except McpError:
            return False
    eventually(works, timeout=30, every=0.2)


def test_the_docker_daemon_restarts(project):
    records = len(project.events())
    project.docker.stop()
    project.docker.start()
    project.wait_healthy()
    assert project.mcp(chat="after-docker").bash("echo on") == "on\n"
    assert len(project.events()) > records and "verified" in project.occ("audit", "verify")
