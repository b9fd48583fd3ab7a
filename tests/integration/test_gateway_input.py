"""What a hostile or broken client sends to the MCP endpoint.
shows: NFR-SEC-09, NFR-SEC-10, NFR-SEC-51, NFR-SEC-53"""
import hashlib
import hmac
import http.client
import json
import socket
import time

import pytest
from stack import McpError, b64url, eventually, run

INIT = {"jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}


def claims_of(token):
    import base64
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def forge(header, claims, sign=lambda data: b"\0" * 64):
    body = b64url(json.dumps(header).encode()) + "." + b64url(json.dumps(claims).encode())
    return body + "." + b64url(sign(body.encode()))


def header_of(token):
    import base64
    part = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def forgeries(token):
    h, c = header_of(token), claims_of(token)
    kid = h["kid"]
    yield "none", forge({"alg": "none", "kid": kid}, c, lambda d: b""), "token_algorithm"
    yield "hs256", forge({"alg": "HS256", "kid": kid}, c,
                         lambda d: hmac.new(kid.encode(), d, hashlib.sha256).digest()), "token_algorithm"
    yield "unknown-kid", forge({"alg": "EdDSA", "kid": "nobody"}, c), "token_unknown_key"
    yield "no-kid", forge({"alg": "EdDSA"}, c), None
    yield "bad-signature", forge(h, {**c, "sub": "root"}), "token_bad_signature"
    yield "crit", forge({**h, "crit": ["exp"]}, c), None
    yield "truncated", token[:-8], None
    yield "two-parts", token.rsplit(".", 1)[0], "token_malformed"
    yield "empty", "..", "token_malformed"
    yield "huge", "a" * 9000, "token_malformed"
    yield "not-base64", "!!." * 3, "token_malformed"


def test_no_token_is_told_where_to_get_one(stack):
    m = stack.mcp(token="x", initialize=False)
    m.token = None
    status, headers, body = m.post(INIT)
    assert status == 401
    challenge = headers["WWW-Authenticate"]
    assert 'resource_metadata="http://127.0.0.1:8080/.well-known/oauth-protected-resource/mcp"' in challenge
    assert json.loads(body)["error"]["data"]["reason"] == "unauthenticated"
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
        c = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
        c.request("GET", path)
        doc = json.loads(c.getresponse().read())
        assert doc["resource"] == "http://127.0.0.1:8080/mcp" and doc["bearer_methods_supported"] == ["header"]


def test_forged_tokens(stack):
    for name, token, reason in forgeries(stack.token):
        m = stack.mcp(token=token, initialize=False)
        status, headers, body = m.post(INIT)
        assert status in (401, 431, 400), (name, status)
        if status == 401:
            assert "invalid_token" in headers["WWW-Authenticate"], name
            got = json.loads(body)["error"]["data"]["reason"]
            assert reason is None or got == reason, (name, got)


def test_a_flood_without_a_token_leaves_the_trail_alone(stack):
    """Counted in full, recorded as a sample: nobody fills auditd's disk, or hides in the crowd."""
    before = len(stack.events(action="mcp.authenticate"))
    c = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
    for _ in range(2000):
        c.request("GET", "/mcp")
        r = c.getresponse()
        r.read()
        assert r.status == 401
    # Of all that were ever refused: what was not recorded before the flood may be told with the first of it.
    refused = metric("ocu_gateway_refused_total")
    assert refused >= before + 2000

    def counted():
        got = stack.events(action="mcp.authenticate")
        told = sum(e.get("unmapped", {}).get("unreported_before", 0) for e in got)
        return told + sum(e["resource"] != "several" for e in got) == refused and got[before:]
    # Whoever it was does not come back: the last of them are told all the same.
    assert len(eventually(counted, every=0.2)) < 400


def metric(name):
    c = http.client.HTTPConnection("127.0.0.1", 9190, timeout=60)
    c.request("GET", "/metrics")
    return sum(float(x.split()[-1]) for x in c.getresponse().read().decode().splitlines() if x.startswith(name + " "))


def test_one_address_does_not_hold_every_connection(stack):
    """With nothing but patience, and no token."""
    def idle():
        s = socket.create_connection(("127.0.0.1", 8080))
        s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n")
        return s
    def closed(s):
        try:
            return s.recv(1, socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
    held = [idle() for _ in range(700)]
    try:
        eventually(lambda: sum(map(closed, held)) >= 150, timeout=20, every=0.1)
        with socket.socket() as s:
            s.bind(("127.0.0.2", 0))
            s.connect(("127.0.0.1", 8080))
            s.settimeout(20)
            s.sendall(b"GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        for s in held:
            s.close()
    eventually(lambda: stack.mcp(chat="after").bash("echo on") == "on\n")


def unread(stack, token, chat, calls=32):
    """A batch whose answer nobody takes: the connection."""
    big = {"name": "bash_tool", "arguments": {"command": "head -c 250000 /dev/zero | tr '\\0' x"}}
    body = json.dumps([{"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": big} for n in range(calls)]).encode()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", 8080))
    s.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer " + token.encode() + b"\r\nX-Chat-Id: " + chat.encode() +
              b"\r\nMCP-Protocol-Version: 2025-03-26\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return s


def test_answers_that_nobody_takes_are_the_callers_own(stack):
    """They are memory: bounded for a batch, and calls of their caller's until they are taken."""
    token = stack.occ("token", "mint", "--caller", "glutton", "--json")["token"]
    with unread(stack, token, "taken") as s:
        f = s.makefile("rb")
        size = int([line for line in iter(f.readline, b"\r\n") if line.lower().startswith(b"content-length")][0].split()[1])
        answers = json.loads(f.read(size))
    assert len(answers) == 32 and size < 5 << 20
    assert {a["error"]["data"]["reason"] for a in answers if "error" in a} == {"too_large"} and any("result" in a for a in answers)
    m = stack.mcp(token=token, chat="taken")
    assert m.bash("echo on") == "on\n"
    held = [unread(stack, token, f"held-{n}") for n in range(2)]

    def reason():
        try:
            return m.bash("echo on")
        except McpError as e:
            return e.data["reason"]
    eventually(lambda: reason() == "rate_limited", timeout=60, every=0.5)
    assert stack.mcp(chat="other").bash("echo on") == "on\n"
    for s in held:
        s.close()
    eventually(lambda: reason() == "on\n", timeout=60, every=0.2)


def test_token_for_another_audience(stack):
    token = stack.occ("token", "mint", "--caller", "bob", "--audience", "elsewhere", "--json")["token"]
    status, _, body = stack.mcp(token=token, initialize=False).post(INIT)
    assert status == 401 and json.loads(body)["error"]["data"]["reason"] == "token_audience"


def test_expired_token(stack):
    minted = stack.occ("token", "mint", "--caller", "bob", "--ttl", "1s", "--json")
    m = stack.mcp(token=minted["token"], initialize=False)
    status, body = eventually(lambda: (lambda r: (r[0], r[2]) if r[0] == 401 else None)(m.post(INIT)))
    assert json.loads(body)["error"]["data"]["reason"] == "token_expired"


def test_revoked_token_stops_working(stack):
    minted = stack.occ("token", "mint", "--caller", "carol", "--json")
    m = stack.mcp(token=minted["token"])
    m.rpc("ping")
    stack.occ("token", "revoke", claims_of(minted["token"])["jti"])
    status, body = eventually(lambda: (lambda r: (r[0], r[2]) if r[0] == 401 else None)(
        m.post({"jsonrpc": "2.0", "id": 5, "method": "ping"})))
    assert json.loads(body)["error"]["data"]["reason"] == "token_revoked"


def test_denied_caller(stack):
    minted = stack.occ("token", "mint", "--caller", "dave", "--json")
    m = stack.mcp(token=minted["token"])
    stack.occ("deny", "add", "caller", "dave")
    eventually(lambda: m.post({"jsonrpc": "2.0", "id": 5, "method": "ping"})[0] == 403)
    stack.occ("deny", "lift", "caller", "dave")
    eventually(lambda: m.post({"jsonrpc": "2.0", "id": 5, "method": "ping"})[0] == 200)


BAD_BODIES = [
    (b"", 400), (b"{", 400), (b"nonsense", 400), (b"[]", 400), (b"42", 200), (b"\xff\xfe{}", 400),
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping"}trailing', 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 200 + b"]" * 200 + b"}", 400),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\u0000"}}', 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1e999}}', 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"' + b"\xc3\x28" + b'"}}', 400),
]


@pytest.mark.parametrize("body,status", BAD_BODIES)
def test_malformed_bodies(mcp, body, status):
    got, _, reply = mcp.post(body)
    assert got == status and len(reply) < 4096
    error = json.loads(reply)["error"]
    assert error["code"] in (-32700, -32600) and error["data"]["correlation_id"].startswith("trc_")
    assert mcp.rpc("ping") == {}


BAD_MESSAGES = [
    ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, -32600),
    ({"jsonrpc": "2.0", "id": 1}, -32600),
    ({"jsonrpc": "2.0", "id": None, "method": "ping"}, -32600),
    ({"jsonrpc": "2.0", "id": {}, "method": "ping"}, -32600),
    ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, -32600),
    ({"jsonrpc": "2.0", "id": "x" * 300, "method": "ping"}, -32600),
    ({"jsonrpc": "2.0", "id": 1, "method": "ping", "evil": 1}, -32600),
    ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, -32600),
    ({"jsonrpc": "2.0", "id": 1, "method": "session.Kill"}, -32601),
    ({"jsonrpc": "2.0", "id": 1, "method": "resources/list"}, -32601),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": "x"}}, -32602),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "rm_rf"}}, -32602),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "view", "arguments": []}}, -32602),
    ({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "view", "arguments": {}, "x": 1}}, -32602),
    ({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}, -32602),
]


@pytest.mark.parametrize("message,code", BAD_MESSAGES)
def test_invalid_messages(mcp, message, code):
    _, _, reply = mcp.post(message)
    assert json.loads(reply)["error"]["code"] == code


BAD_ARGUMENTS = [
    ("bash_tool", {}), ("bash_tool", {"command": 1}), ("bash_tool", {"command": ""}),
    ("bash_tool", {"command": "true", "user": "root"}), ("bash_tool", {"command": "x" * 140000}),
    ("view", {"path": "relative"}), ("view", {"path": "/a", "view_range": [1]}),
    ("view", {"path": "/a", "view_range": [1, "2"]}), ("create_file", {"path": "/a"}),
    ("str_replace", {"path": "/a", "old_str": ""}),
]


@pytest.mark.parametrize("tool,args", BAD_ARGUMENTS)
def test_arguments_outside_the_schema_never_reach_a_sandbox(mcp, stack, tool, args):
    before = len(stack.sessions())
    r = mcp.call(tool, **args)
    assert r["isError"] and r["_meta"]["ocu/reason"] in ("invalid_params", "unknown_field", "too_large")
    assert len(r["content"][0]["text"]) <= 1024
    assert len(stack.sessions()) == before


def test_errors_name_no_session_container_or_host(mcp):
    mcp.bash("true")
    texts = []
    for tool, args in (("view", {"path": "/nope"}), ("str_replace", {"path": "/etc/passwd", "old_str": "root", "new_str": ""}),
                       ("create_file", {"path": "/proc/x", "file_text": ""}), ("view", {"path": "/dev/zero"})):
        r = mcp.call(tool, **args)
        assert r["isError"]
        texts.append(json.dumps(r))
    for t in texts:
        for secret in ("ses_", "ocu-0", "127.0.0.1", "/var/", "/run/", "sandboxd", "tls+tcp"):
            assert secret not in t, t


def test_body_over_the_limit_is_refused_before_it_is_read(stack):
    s = socket.create_connection(("127.0.0.1", 8080), 10)
    s.sendall((f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer {stack.token}\r\n"
               "Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n").encode())
    assert b" 413 " in s.recv(4096).split(b"\r\n")[0]


def test_method_and_path(stack):
    for method, path, status in (("PUT", "/mcp", 405), ("GET", "/", 404), ("POST", "/v1/kill-all", 404),
                                 ("GET", "/mcp", 405)):
        c = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
        c.request(method, path, headers={"Authorization": f"Bearer {stack.token}"})
        assert c.getresponse().status == status, (method, path)


def test_headers(mcp, stack):
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for headers, status in (({"Host": "evil.example"}, 403), ({"Origin": "https://evil.example"}, 403),
                            ({"Origin": "http://localhost:8080"}, 200), ({"MCP-Protocol-Version": "1999-01-01"}, 400),
                            ({"Mcp-Session-Id": "mcp_01ARZ3NDEKTSV4RRFFQ69G5FAV.AAAA"}, 404), ({"X-Chat-Id": "c" * 300}, 400),
                            ({"Content-Type": "text/plain"}, 400)):
        m = stack.mcp()
        assert m.post(ping, headers)[0] == status, headers
    stranger = stack.occ("token", "mint", "--caller", "eve", "--json")["token"]
    m = stack.mcp(token=stranger)
    m.session = mcp.session
    assert m.post(ping)[0] == 404


def test_a_session_is_needed_and_ends(stack):
    m = stack.mcp(initialize=False)
    assert m.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})[0] == 400
    m = stack.mcp()
    m.bash("true")
    n = len(stack.sessions())
    m.http.request("DELETE", "/mcp", headers=m.headers())
    r = m.http.getresponse()
    r.read()
    assert r.status == 204
    eventually(lambda: len([s for s in stack.sessions() if s.get("state") == "active"]) < n)


def test_batches_in_the_old_version_only(stack):
    two = [{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"jsonrpc": "2.0", "method": "notifications/initialized"},
           {"jsonrpc": "2.0", "id": "b", "method": "tools/list"}]
    old = stack.mcp(version="2025-03-26")
    status, _, body = old.post(two)
    assert status == 200 and {r["id"] for r in json.loads(body)} == {1, "b"}
    assert old.post([{"jsonrpc": "2.0", "method": "notifications/initialized"}])[0] == 202
    assert stack.mcp().post(two)[0] == 400


def test_versions_are_negotiated(stack):
    for asked, given in (("2025-03-26", "2025-03-26"), ("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"),
                         ("2099-01-01", "2025-11-25")):
        m = stack.mcp(initialize=False)
        assert m.rpc("initialize", {**INIT["params"], "protocolVersion": asked})["protocolVersion"] == given


def test_slow_and_silent_clients_do_not_block_others(stack, mcp):
    slow = [socket.create_connection(("127.0.0.1", 8080), 10) for _ in range(200)]
    for s in slow:
        s.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Le")
    for _ in range(5):
        t0 = time.monotonic()
        assert mcp.rpc("ping") == {}
        assert time.monotonic() - t0 < 20   # and not: when those of the slow end after 30 s
    for s in slow:
        s.close()


def test_output_is_bounded_and_says_so(mcp):
    r = mcp.call("bash_tool", command="head -c 20000000 /dev/zero | tr '\\0' 'x'; echo end >&2")
    s = r["structuredContent"]
    assert s["stdout_dropped"] + len(s["stdout"]) == 20000000 and s["stderr"] == "end\n"
    assert "truncated" in r["content"][0]["text"] and len(json.dumps(r)) < 1 << 20
    weird = mcp.call("bash_tool", command="head -c 300000 /dev/urandom")
    assert len(json.dumps(weird, ensure_ascii=False).encode()) < 1 << 20


def test_ceiling_of_calls_per_caller(stack):
    token = stack.occ("token", "mint", "--caller", "greedy", "--json")["token"]
    first = stack.mcp(token=token)
    first.bash("true")
    clients = []
    for _ in range(80):
        m = stack.mcp(token=token, initialize=False)
        m.session = first.session
        m.http.connect()
        clients.append(m)
    for i, m in enumerate(clients):
        body = json.dumps({"jsonrpc": "2.0", "id": i, "method": "tools/call",
                           "params": {"name": "bash_tool", "arguments": {"command": "sleep 0.2"}}})
        m.http.request("POST", "/mcp", body, m.headers())
    replies = [json.loads(m.http.getresponse().read()) for m in clients]
    reasons = [r["error"]["data"]["reason"] for r in replies if "error" in r]
    assert any(r in ("rate_limited", "busy") for r in reasons) and any("result" in r for r in replies)
    first.http.close()   # it was idle meanwhile, perhaps for longer than the server keeps one
    with pytest.raises(McpError):
        first.rpc("nothing")


def test_nothing_brought_a_daemon_down(stack):
    assert len(stack.alive()) == 6
    assert run(["ss", "-Hltn"]).count(":8080") == 1
