"""The profile `full`: callers of an identity provider, and a collector that has the whole trail.
shows: NFR-FLEX-07, NFR-MAINT-AUDIT-SCHEMA (in part)"""
import json
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
    with Project(docker, upstream, options=("--env-file", "full.env")) as p:
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


@pytest.mark.parametrize("service", ["idp", "syslog"])
def test_the_servers_hold_nothing_of_ocu(full, service):
    c = full.inspect(service)
    host = c["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
    names = {m["Name"].split("_", 1)[1] for m in c["Mounts"] if m["Type"] == "volume"}
    assert names == ({"idp"} if service == "idp" else {"collector", "collected"})
    networks = {n.split("_", 1)[1] for n in c["NetworkSettings"]["Networks"]}
    assert networks == ({"idp"} if service == "idp" else {"collector"})
    if service == "syslog":
        assert c["HostConfig"]["PortBindings"] in (None, {})
    # Neither has a way out.
    assert inside(full.pid(service), reachable, [OUTSIDE]) == []
