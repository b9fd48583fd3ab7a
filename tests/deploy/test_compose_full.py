"""The profile `full`: callers of an identity provider, a collector that has the whole trail, a store that keeps it.
shows: NFR-FLEX-07, NFR-MAINT-AUDIT-SCHEMA (in part)"""
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode

import pytest
from docker_world import ROOT, Project
from stack import Mcp, McpError, eventually, run
from test_compose_walls import OUTSIDE, inside, reachable


@pytest.fixture(scope="module")
def full(docker, upstream):
    run([ROOT / "deploy/full/build-full-image"], env=docker.env, timeout=1500)
    with Project(docker, upstream, options=("--env-file", "full.env"), OCU_SEGMENT_AGE="3s") as p:
        p.wait_healthy("store", timeout=120)
        yield p


def token(full, secret=None, **form):
    """What a client does that knows nothing of OCU (RFC 6749, section 4.4)."""
    secret = secret or (full.volume("idp") / "client-secret").read_text().strip()
    request = urllib.request.Request("http://127.0.0.1:4000/token", urllib.parse.urlencode({"grant_type": "client_credentials", **form}).encode(),
                                     {"Authorization": "Basic " + b64encode(f"agent:{secret}".encode()).decode()})
    with urllib.request.urlopen(request, timeout=30) as r:
        return json.load(r)["access_token"]


def collected(full):
    path = full.volume("collected") / "trail.jsonl"
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def test_callers_come_from_the_identity_provider(full):
    m = Mcp("127.0.0.1", 8080, token(full), chat="full")
    assert m.bash("echo governed") == "governed\n"
    [call, *_] = full.events(action="tool.call")
    assert call["actor_id"] == "agent"


def test_nobody_else_does(full):
    with pytest.raises(urllib.error.HTTPError) as e:
        token(full, secret="guessed")
    assert e.value.code == 401
    for wrong in (full.token, token(full, resource="urn:ocu:files"), token(full)[:-4] + "AAAA"):
        with pytest.raises((McpError, RuntimeError, AssertionError, urllib.error.HTTPError)):
            Mcp("127.0.0.1", 8080, wrong, chat="stranger").bash("true")


def test_the_collector_has_the_trail(full):
    Mcp("127.0.0.1", 8080, token(full), chat="copied").bash("echo copied")

    def complete():
        events = full.events()
        got = collected(full)
        numbers = {int(m["record"].split('n="')[1].split('"')[0]) for m in got}
        return numbers >= set(range(1, len(events) + 1)) and (events, got)
    events, got = eventually(complete, timeout=90, every=1)
    by_number = {int(m["record"].split('n="')[1].split('"')[0]): json.loads(m["event"]) for m in got}
    assert [by_number[n + 1] for n in range(len(events))] == events
    # Its states are events at most every ten seconds: one that came up late was unreachable first.
    eventually(lambda: full.events(action="collector.reached"), timeout=90, every=1)


def test_a_collector_that_restarts_lacks_nothing(full):
    m = Mcp("127.0.0.1", 8080, token(full), chat="restarted")
    full.compose("stop", "-t", "5", "syslog")
    assert m.bash("echo meanwhile") == "meanwhile\n"
    eventually(lambda: full.events(action="collector.unreachable"), timeout=90, every=1)
    full.compose("start", "syslog")
    wanted = {e["trace_id"] for e in full.events(action="tool.call")}
    eventually(lambda: wanted <= {json.loads(m["event"])["trace_id"] for m in collected(full)}, timeout=120, every=1)


def s3(full, user, method, path="", *args):
    """(status, body), as a client of the store that shows the credential of that user."""
    script = ('curl -sS --cacert /store/ca.pem --aws-sigv4 aws:amz:us-east-1:s3 -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" -w "\\n%{http_code}" '
              f'--user "$(cat /store/{user}.access):$(cat /store/{user}.secret)" -X "$@"')
    out = full.compose("exec", "-T", "store", "sh", "-c", script, "sh", method, *args, f"https://store:7443/ocu-trail{path}", stdin=subprocess.DEVNULL)
    body, status = out.rsplit("\n", 1)
    return int(status), body


def names(full):
    status, body = s3(full, "owner", "GET")
    assert status == 200, body
    return re.findall("<Key>([^<]+)</Key>", body)


def sealed(full):
    """Segments that will never change again."""
    return sorted(full.volume("trail").glob("0*.jsonl"))[:-1]


def archived(full):
    """Waits until a segment more than there was is archived, with all before it; its path in the trail and its key in the bucket."""
    before = len(sealed(full))
    Mcp("127.0.0.1", 8080, token(full), chat="archived").bash("echo archived")
    eventually(lambda: len(sealed(full)) > before, timeout=60, every=0.5)
    path = sealed(full)[-1]
    eventually(lambda: len(names(full)) >= len(sealed(full)), timeout=120, every=1)
    [key] = [k for k in names(full) if k.endswith("/" + path.name)]
    return path, key


def test_the_store_has_every_sealed_segment(full):
    path, key = archived(full)
    status, body = s3(full, "owner", "GET", "/" + key)
    assert status == 200 and body == path.read_text()


def test_nobody_removes_what_is_locked(full):
    path, key = archived(full)
    status, versions = s3(full, "owner", "GET", f"?versions=&prefix={key}")
    [version] = re.findall("<VersionId>([^<]+)</VersionId>", versions)
    assert status == 200
    for user in ("auditd", "owner"):
        assert s3(full, user, "DELETE", f"/{key}?versionId={version}")[0] == 403
    # auditd's own credential, stolen, cannot even hide it, nor loosen the bucket.
    assert s3(full, "auditd", "DELETE", "/" + key)[0] == 403
    assert s3(full, "auditd", "DELETE", "?policy=")[0] == 403
    assert s3(full, "auditd", "PUT", "?object-lock=", "-d", "<ObjectLockConfiguration/>")[0] == 403
    assert s3(full, "owner", "GET", "/" + key) == (200, path.read_text())


def test_a_store_that_is_killed_keeps_what_it_took(full):
    _, key = archived(full)
    full.docker("kill", full.container("store"))
    m = Mcp("127.0.0.1", 8080, token(full), chat="without")
    assert m.bash("echo meanwhile") == "meanwhile\n"
    eventually(lambda: full.events(action="archive.unreachable"), timeout=90, every=1)
    full.compose("start", "store")
    full.wait_healthy("store", timeout=120)
    assert key in names(full)
    archived(full)


HELD = {"idp": {"idp"}, "syslog": {"collector", "collected"}, "store": {"store", "stored"}}
ON = {"idp": "idp", "syslog": "collector", "store": "archive"}


@pytest.mark.parametrize("service", HELD)
def test_the_servers_hold_nothing_of_ocu(full, service):
    c = full.inspect(service)
    host = c["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
    held = {m["Name"].split("_", 1)[1] for m in c["Mounts"] if m["Type"] == "volume"}
    assert held == HELD[service]
    networks = {n.split("_", 1)[1] for n in c["NetworkSettings"]["Networks"]}
    assert networks == {ON[service]}
    if service != "idp":
        assert c["HostConfig"]["PortBindings"] in (None, {})
    # None has a way out.
    assert inside(full.pid(service), reachable, [OUTSIDE]) == []
