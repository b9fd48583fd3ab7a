"""auditd alone, over real TLS: whose a record is, hostile events, and the auditor's interface.
shows: NFR-SEC-03, NFR-MAINT-AUDIT-SCHEMA (in part)"""
import base64
import contextlib
import hashlib
import http.client
import json
import pathlib
import random
import ssl
import subprocess
import time

import pytest
from audit_world import HEADER, RPC, Auditd, raw
from stack import b64url, eventually, program, run


@pytest.fixture(scope="module")
def auditd():
    with Auditd() as a:
        yield a


def test_it_has_no_rights(auditd):
    status = dict(x.split(":", 1) for x in pathlib.Path(f"/proc/{auditd.proc['auditd'].pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["58105"] * 4
    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[caps], 16) == 0, caps
    assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
    assert auditd.trail.stat().st_mode & 0o777 == 0o700


def test_the_source_is_the_peer(auditd):
    claims = raw(resource="claimed", source="operatord",
                 metadata={"version": "1.3.0", "log_provider": "operatord", "product": {"name": "x", "feature": {"name": "operatord"}}})
    code, reply = auditd.append(claims, peer="brokerd")
    assert code == 0, reply
    [record] = [r for r in auditd.records() if r["event"]["resource"] == "claimed"]
    assert record["source"] == "brokerd" and record["n"] == int(reply["first"])
    assert "operatord" not in json.dumps(record["event"])


def test_text_tools_check_the_chain(auditd):
    auditd.append(raw(resource="before"), raw(resource="ünïcödé \"quoted\" \n"))
    segment = auditd.trail / "00000001.jsonl"
    prev, seen = "0" * 64, 0
    for line in segment.read_bytes()[HEADER:].split(b"\0", 1)[0].split(b"\n")[:-1]:
        record = json.loads(line)
        assert record["prev"] == prev
        prev = hashlib.sha256(line[:line.rindex(b',"hash":"')]).hexdigest()
        assert record["hash"] == prev
        seen += 1
    assert seen > 3


BAD = {
    "empty": b"", "no-json": b"hello", "array": b"[]", "duplicate-key": b'{"class_uid":1007,"class_uid":1007}',
    "bad-utf8": raw().replace(b"alice", b"al\xffce"), "truncated": raw()[:-1], "trailing": raw() + b"{}", "deep": b"[" * 40 + b"]" * 40,
    "nul": raw(resource="a\0b"), "no-actor": raw(actor_id=None), "wrong-outcome": raw(outcome="fine"), "wrong-class": raw(class_uid=5),
    "no-version": raw(metadata={}), "oversize": raw(resource="x" * 40000),
}


@pytest.mark.parametrize("name", BAD)
def test_one_bad_event_refuses_the_request(auditd, name):
    before = len(auditd.own("append.refused"))
    mark = f"with-{name}"
    peer = ("egressd", "gateway", "brokerd", "sandboxd", "operatord")[sorted(BAD).index(name) % 5]  # ten a second are recorded of each
    code, reply = auditd.append(raw(resource=mark), BAD[name], raw(resource=mark), peer=peer)
    assert code == 1 and reply["error"]["reason"] in ("parse_error", "invalid_request", "too_large"), reply
    assert "event 1" in reply["error"]["text"] and len(reply["error"]["text"]) <= 512
    refusals = eventually(lambda: (r := auditd.own("append.refused")) and len(r) > before and r)
    assert refusals[-1]["resource"] == peer and refusals[-1]["outcome"] == "denied" and refusals[-1]["unmapped"]["event"] == 1
    assert not [r for r in auditd.records() if r["event"]["resource"] == mark]
    auditd.must_verify()


def test_too_much_in_one_request(auditd):
    for events in ([], [b"{}"] * 257):
        code, reply = auditd.append(*events)
        assert code == 1 and reply["error"]["reason"] in ("invalid_request", "too_large"), reply
    assert auditd.append(*[raw()] * 256)[0] == 0
    auditd.must_verify()


def test_nobody_speaks_as_auditd(auditd):
    code, reply = auditd.append(raw(resource="forged"), peer="auditd")
    assert code == 1 and reply["error"]["reason"] == "peer_not_permitted", reply
    assert not [r for r in auditd.records() if r["event"]["resource"] == "forged"]
    assert eventually(lambda: auditd.own("rpc.refused"))


def test_the_head_is_for_operatord(auditd):
    def head(peer):
        p = subprocess.run([program("ocu-rpc-probe"), "--pki", auditd.pki, "--as", peer, "--to", RPC, "--peer", "auditd", "audit.Head",
                            "{}"], capture_output=True, text=True, timeout=120)
        return p.returncode, json.loads(p.stdout)
    code, reply = head("operatord")
    assert code == 0
    last = auditd.records()[int(reply["records"]) - 1]
    assert base64.b64decode(reply["head"]).hex() == last["hash"]
    assert head("gateway")[0] == 1


# --- the auditor ---

def assertion(a, aud="ocu-auditor", iss="occ", ttl=50, key=None, kid=None, sub="ann"):
    now = int(time.time())
    kid = kid or json.loads((a.pki / "operator-jwks.json").read_text())["keys"][0]["kid"]
    claims = {"iss": iss, "aud": aud, "sub": sub, "iat": now, "exp": now + ttl, "jti": f"tok_{random.getrandbits(64):x}"}
    signed = ".".join(b64url(json.dumps(x).encode()) for x in ({"alg": "EdDSA", "typ": "JWT", "kid": kid}, claims))
    text = a.dir / "to-sign"
    text.write_text(signed)
    sig = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key or a.pki / "operator/operator.key", "-in", text],
                         capture_output=True, check=True).stdout
    return f"{signed}.{b64url(sig)}"


def ask(a, path, token=None, method="GET"):
    ctx = ssl.create_default_context(cafile=a.pki / "ca.pem")
    ctx.check_hostname = False
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", 9602, context=ctx, timeout=60)) as c:
        c.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
        r = c.getresponse()
        return r.status, r.headers, r.read()


def test_auditor_reads(auditd):
    auditd.append(*[raw(session_id="ses_a", resource=f"a{i}") for i in range(7)], *[raw(session_id="ses_b")] * 3)
    token = assertion(auditd)
    status, _, head = ask(auditd, "/v1/trail/head", token)
    head = json.loads(head)
    assert status == 200 and head["last"] == auditd.records()[head["head"] - 1]["hash"] and head["sig"] and head["kid"]
    status, headers, body = ask(auditd, "/v1/events?session_id=ses_a&limit=5", token)
    page = [json.loads(x) for x in body.splitlines()]
    assert status == 200 and [r["event"]["resource"] for r in page] == [f"a{i}" for i in range(5)]
    status, headers, body = ask(auditd, f"/v1/events?session_id=ses_a&from={headers['X-OCU-Next']}", token)
    assert [json.loads(x)["event"]["resource"] for x in body.splitlines()] == ["a5", "a6"]
    assert "X-OCU-Next" not in headers
    status, _, body = ask(auditd, "/v1/events?from=2&limit=3", token)
    assert [json.loads(x)["n"] for x in body.splitlines()] == [2, 3, 4]
    assert auditd.own("auditor.read")[-1]["actor_id"] == "operator:ann"


def test_auditor_wants_an_operator(auditd, tmp_path):
    run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "other.key"])
    for token in (None, "x.y.z", assertion(auditd, aud="ocu-operator-api"), assertion(auditd, iss="me"), assertion(auditd, ttl=-1),
                  assertion(auditd, ttl=3600), assertion(auditd, key=tmp_path / "other.key"), assertion(auditd, kid="nobody"),
                  auditd.token):
        for path in ("/v1/trail/head", "/v1/events"):
            status, _, body = ask(auditd, path, token)
            assert status == 401 and b"tool.call" not in body and len(body) < 1024, (path, status, body)
    assert eventually(lambda: auditd.own("auditor.denied"))


def test_auditor_can_only_read(auditd):
    token = assertion(auditd)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/v1/trail/head", "/v1/events", "/v1/sessions", "/"):
            assert ask(auditd, path, token, method)[0] in (404, 405)
    for query in ("from=0", "from=x", "limit=0", "limit=1001", "limit=-1", "from=99999999999999999999", "session_id=a%22b",
                  "session_id=" + "x" * 100, "session_id="):
        status, _, body = ask(auditd, f"/v1/events?{query}", token)
        assert status == 400 and len(body) < 1024, (query, status, body)
