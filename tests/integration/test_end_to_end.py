"""One governed session from end to end, with the official clients.
shows: NFR-SEC-01, NFR-SEC-03, NFR-SEC-08, NFR-SEC-17, NFR-SEC-47, NFR-SEC-79, NFR-IC-02, NFR-IC-05, NFR-FLEX-14"""
import concurrent.futures
import http.client
import json
import shutil
import signal
import ssl
import subprocess
import time

import pytest
from stack import McpError, SdkClient, Stack, eventually, program

PROGRAM = "import sys\nprint('hello', sys.argv[1])\n"


def north(stack, path, method="GET", body=None, token=None, headers=None):
    ctx = ssl.create_default_context(cafile=stack.etc / "pki/ca.pem")
    c = http.client.HTTPSConnection("127.0.0.1", 8443, context=ctx, timeout=60)
    c.request(method, path, body, {"Authorization": f"Bearer {token or stack.token}", **(headers or {})})
    r = c.getresponse()
    return r.status, r.headers, r.read()


def text_of(result):
    return "".join(c["text"] for c in result["content"])


def test_clean_stop():
    with Stack() as s:
        s.mcp().bash("true")


@pytest.mark.parametrize("kind", ["v1", "v2", "v2-auto"])
def test_whole_session(fresh, kind, tmp_path):
    stack = fresh
    client = SdkClient(kind, stack.token)
    assert client.hello["server"]["name"] == "ocu"
    names = [t["name"] for t in client.wait(client.send(op="list"))["ok"]["tools"]]
    assert names == ["bash_tool", "view", "create_file", "str_replace"]

    made = client.call("create_file", path="/workspace/src/hello.py", file_text=PROGRAM)
    assert made["structuredContent"] == {"size": len(PROGRAM), "replaced": False}
    ran = client.call("bash_tool", command="python3 src/hello.py world", description="run it")
    assert ran["structuredContent"]["stdout"] == "hello world\n" and ran["structuredContent"]["exit_code"] == 0
    edited = client.call("str_replace", path="/workspace/src/hello.py", old_str="'hello'", new_str="'goodbye'")
    assert edited["structuredContent"]["line"] == 2
    seen = client.call("view", path="/workspace/src/hello.py", view_range=[2, 2])
    assert seen["structuredContent"]["content"] == "print('goodbye', sys.argv[1])\n"
    assert text_of(seen).strip().startswith("2\t")

    fs = seen["_meta"]["ocu/filesystem_id"]
    status, _, body = north(stack, f"/v1/filesystems/{fs}/files/src/hello.py")
    assert status == 200 and body.decode() == PROGRAM.replace("hello'", "goodbye'")
    assert north(stack, f"/v1/filesystems/{fs}/files/from-north.txt", "PUT", b"north\n")[0] in (200, 201, 204)
    assert client.call("bash_tool", command="cat /workspace/from-north.txt")["structuredContent"]["stdout"] == "north\n"

    allowed = client.call("bash_tool", command="curl -sS --max-time 10 http://allowed.example/hi")
    assert json.loads(allowed["structuredContent"]["stdout"])["host"] == "allowed.example", allowed
    tls = client.call("bash_tool", command="curl -sSk --max-time 10 https://allowed.example/tls")
    assert json.loads(tls["structuredContent"]["stdout"])["path"] == "/tls"
    other = client.call("bash_tool", command="curl -sS --max-time 10 http://other.example/")
    assert other["structuredContent"]["exit_code"] == 6, other
    raw = client.call("bash_tool", command="curl -sSi --max-time 10 http://20.30.40.3/")
    assert "x-deny-reason: address_not_named" in raw["structuredContent"]["stdout"], raw
    proxied = client.call("bash_tool", command="curl -sSi --max-time 10 -x http://100.64.0.1:3128 http://other.example/")
    assert "x-deny-reason: destination_not_allowed" in proxied["structuredContent"]["stdout"], proxied

    [session] = stack.sessions()
    running = client.send(op="call", tool="bash_tool", args={"command": "touch /workspace/started; sleep 60"})
    eventually(lambda: north(stack, f"/v1/filesystems/{fs}/files/started")[0] == 200)
    t0 = time.monotonic()
    stack.occ("kill", session["session_id"])
    answer = client.wait(running)
    assert time.monotonic() - t0 < 30   # and not: when the command ends by itself
    assert answer["error"]["code"] == -32003 and "operator" in answer["error"]["message"], answer
    assert answer["error"]["data"]["reason"] == "session_denylisted"
    again = client.wait(client.send(op="call", tool="view", args={"path": "/workspace"}))
    assert "error" in again, again
    client.close()
    trail(stack, session["session_id"], tmp_path)


def trail(stack, session, tmp_path):
    """The evidence: every step is in it, it verifies, and a copy with one bit flipped does not."""
    actions = [e["action"] for e in stack.events(session_id=session)]
    for wanted in ("session.create", "tool.call", "file.create", "session.kill"):
        assert any(a == wanted for a in actions), (wanted, sorted(set(actions)))
    tools = [e for e in stack.events(session_id=session, action="tool.call")]
    assert len(tools) >= 9 and all(e["actor_id"] == stack.caller for e in tools)
    assert any(e["outcome"] == "denied" for e in stack.events(session_id=session) if e["class_uid"] in (4001, 4003))
    assert any(e["outcome"] == "success" for e in stack.events(session_id=session, class_uid=4001))
    stack.occ("audit", "verify")
    copy = tmp_path / "trail"
    shutil.copytree(stack.dir / "state/auditd", copy)
    assert verify(stack, copy).returncode == 0
    segment = max(copy.rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    data = bytearray(segment.read_bytes())
    data[data.index(b"tool.call")] ^= 1
    segment.write_bytes(data)
    broken = verify(stack, copy)
    assert broken.returncode == 1, broken.stdout + broken.stderr


def verify(stack, folder):
    return subprocess.run([program("occ"), "--deployment", stack.etc, "audit", "verify", "--dir", folder],
                          capture_output=True, text=True, timeout=60)


def test_kill_all_ends_every_session(fresh):
    clients = [fresh.mcp(chat=f"chat-{i}") for i in range(4)]
    for m in clients:
        m.bash("(sleep 9753 &); true")
    fresh.occ("kill", "--all", "--yes")
    eventually(lambda: subprocess.run(["pgrep", "-f", "sleep 9753"], capture_output=True).returncode == 1)
    assert [s for s in fresh.sessions() if s["state"] == "active"] == []
    for m in clients:
        with pytest.raises(McpError) as e:
            m.bash("true")
        assert e.value.data["reason"] == "session_denylisted"
    assert fresh.mcp(chat="another").bash("echo on") == "on\n"


def test_progress_comes_as_sse(stack):
    client = SdkClient("v1", stack.token)
    n = client.send(op="call", tool="bash_tool", args={"command": "sleep 12; echo done"}, progress=True)
    assert client.wait(n)["ok"]["structuredContent"]["stdout"] == "done\n"
    assert client.notes and client.notes[0]["progress"]["progress"] >= 5
    client.close()


def test_cancel_stops_the_command(stack):
    client = SdkClient("v1", stack.token)
    client.call("bash_tool", command="rm -f /workspace/alive")
    n = client.send(op="call", tool="bash_tool", args={"command": "sleep 30; touch /workspace/alive"}, abort_ms=4000)
    assert "error" in client.wait(n)
    r = client.call("bash_tool", command="ls /workspace")   # its turn comes when the other is over
    assert "alive" not in r["structuredContent"]["stdout"]
    client.close()


def test_cancel_before_the_command_has_a_sandbox(stack):
    """The command never begins, though its session is made."""
    def under_way():
        c = http.client.HTTPConnection("127.0.0.1", 9190, timeout=60)
        c.request("GET", "/metrics")
        return b"\nocu_gateway_requests_inflight 1\n" in c.getresponse().read()

    m, other = stack.mcp(chat="cancelled"), stack.mcp(chat="cancelled")
    stack.proc["operatord"].send_signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(m.bash, "touch /workspace/begun")
            eventually(under_way)
            assert other.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": m.id}})[0] == 202
            stack.proc["operatord"].send_signal(signal.SIGCONT)
            with pytest.raises(McpError) as e:
                call.result(60)
    finally:
        stack.proc["operatord"].send_signal(signal.SIGCONT)
    assert e.value.data["reason"] == "cancelled"
    assert m.bash("ls -A /workspace") == ""


def test_chat_id_keeps_the_sandbox_across_mcp_sessions(stack):
    a = stack.mcp(chat="chat-1")
    a.bash("echo kept > /workspace/kept")
    b = stack.mcp(chat="chat-1")
    assert b.bash("cat /workspace/kept") == "kept\n"
    c = stack.mcp(chat="chat-2")
    assert "kept" not in c.bash("ls -a /workspace")

