"""A gateway that is told to stop with requests under way: each has its answer, or an error that says what it is, and the end of the
process is a clean one. Run with a gateway built by `make asan` it also shows that nothing is used after it was freed."""
import concurrent.futures
import http.client
import json
import signal

from stack import McpError, eventually

DISCONNECTED = (ConnectionError, http.client.HTTPException)


def under_way(count):
    def check():
        c = http.client.HTTPConnection("127.0.0.1", 9190, timeout=60)
        c.request("GET", "/metrics")
        return f"\nocu_gateway_requests_inflight {count}\n".encode() in c.getresponse().read()
    return check


def sane(stack):
    assert "Sanitizer" not in stack.log("gateway"), stack.log("gateway")[-4000:]


def test_a_call_under_way_gets_its_answer(fresh):
    stack = fresh
    m = stack.mcp()
    m.bash("true")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(m.bash, "sleep 3; echo done")
        eventually(under_way(1))
        assert stack.kill("gateway", signal.SIGTERM) == 0
        assert call.result(60) == "done\n"
    sane(stack)
    stack.start_one("gateway")
    assert stack.mcp().bash("echo again") == "again\n"


def test_a_call_that_outlasts_the_stop_ends_with_an_error(fresh):
    stack = fresh
    m = stack.mcp()
    m.bash("true")
    # A client that asked for progress has a stream, one that did not has none: both.
    s = stack.mcp()
    s.bash("true")
    stream = {"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": {
        "name": "bash_tool", "arguments": {"command": "sleep 50"}, "_meta": {"progressToken": "p"}}}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        call, streamed = pool.submit(m.bash, "sleep 50"), pool.submit(s.post, stream)
        eventually(under_way(2))
        assert stack.kill("gateway", signal.SIGTERM) == 0
        try:
            answer = call.result(60)
        except McpError as e:
            assert e.data["reason"] in ("cancelled", "unavailable"), e
        except DISCONNECTED:
            pass
        else:
            raise AssertionError(answer)
        try:
            _, _, body = streamed.result(60)
        except DISCONNECTED:
            pass
        else:
            assert b'"result"' not in body, body
    sane(stack)
    stack.start_one("gateway")
    assert stack.mcp().bash("echo again") == "again\n"


def test_stopping_in_the_middle_of_a_crowd(fresh):
    stack = fresh
    for _ in range(3):
        clients = [stack.mcp(chat=f"chat-{i}") for i in range(8)]
        for c in clients:
            c.bash("true")

        def ask_on(c):
            """How many right answers there were before the end."""
            for n in range(100000):
                try:
                    assert c.bash(f"echo {n}") == f"{n}\n"
                except McpError as e:
                    assert e.data["reason"] in ("cancelled", "unavailable"), e
                    return n
                except DISCONNECTED:
                    return n
                except json.JSONDecodeError as e:   # turned away with 503 and the server's own error body
                    assert e.doc in ("", b""), e.doc
                    return n
            raise AssertionError("never stopped")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(ask_on, c) for c in clients]
            eventually(lambda: not under_way(0)())
            assert stack.kill("gateway", signal.SIGTERM) == 0
            assert all(a.result(60) >= 0 for a in asking)
        sane(stack)
        stack.start_one("gateway")
