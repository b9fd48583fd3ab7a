"""The copy of the trail that a collector gets: complete and in order whatever happens, and never in the trail's way.
shows: NFR-MAINT-AUDIT-SCHEMA (in part), NFR-SEC-03"""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest
from audit_world import Auditd, raw
from collector_world import PORT, Authority, Hostile, Rsyslog
from stack import eventually, program


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collector-pki")
    for p in (folder, *folder.parents):
        if str(p).startswith("/tmp/pytest"):
            p.chmod(0o755)
    return Authority(folder)


@contextlib.contextmanager
def auditd(authority, **more):
    cert, key = authority.issue("auditd-client", "DNS:auditd-client")
    with Auditd({"auditd": {"syslog_address": f"127.0.0.1:{PORT}", "syslog_ca": str(authority.ca), "syslog_cert": str(cert),
                            "syslog_key": str(key), "syslog_hostname": "ocu-host", **more}}) as a:
        yield a


@pytest.fixture
def collector(authority, tmp_path):
    with Rsyslog(tmp_path / "rsyslog", authority) as c:
        yield c


def has_all(collector, audit):
    """Once everything that is in the trail has arrived: the numbers, as they came."""
    def complete():
        got, want = collector.numbers(), len(audit.records())
        return got and set(got) == set(range(1, want + 1)) and got
    return eventually(complete, timeout=120, every=0.2)


def forwarders(audit):
    """Processes that auditd made, and those they made."""
    def children(pid):
        found = []
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                if re.search(rf"^PPid:\t{pid}$", status.read_text(), re.M):
                    found.append(int(status.parent.name))
        return found
    keeper = children(audit.proc["auditd"].pid)
    return keeper, [p for k in keeper for p in children(k)]


def test_a_copy_of_everything(authority, collector):
    with auditd(authority) as a:
        a.append(raw(action="tool.call", resource="ünïcödé \"quoted\" \n ]"), peer="gateway")
        a.append(raw(action="session.kill", outcome="denied"), peer="operatord")
        a.append(raw(resource="x" * 30000), peer="brokerd")
        got = has_all(collector, a)
        assert got == sorted(got)
        records = a.records()
        for m in collector.messages():
            n = int(re.search(r' n="(\d+)"', m["sd"])[1])
            record = records[n - 1]
            assert json.loads(m["msg"]) == record["event"] and m["procid"] == record["source"] and m["time"] == record["time"]
            assert m["host"] == "ocu-host" and m["app"] == "ocu" and m["msgid"] == record["event"]["action"]
            assert f'hash="{record["hash"]}"' in m["sd"]
            assert int(m["pri"]) == 13 * 8 + {"success": 6, "denied": 5, "failure": 4}[record["event"]["outcome"]]
        eventually(lambda: a.own("collector.reached"))
        eventually(lambda: a.metric("ocu_auditd_collector_connected") == 1 and a.metric("ocu_auditd_collector_behind_records") == 0)
        log, stop = a.trail, a.kill("auditd", signal.SIGTERM)
        # The last record of all, too: what is durable is sent before auditd leaves.
        assert stop == 0 and log.exists()
        eventually(lambda: len(a.records()) in collector.numbers(), timeout=30)
        a.start("auditd")
        # It goes on where it was; nothing twice.
        got = has_all(collector, a)
        assert got == sorted(set(got)), got


def test_it_may_do_nothing_else(authority, collector):
    """What an attacker gets who takes the process that forwards: no key, no capability, no program, no other address."""
    with auditd(authority) as a:
        eventually(lambda: collector.numbers())
        keeper, worker = forwarders(a)
        assert len(keeper) == len(worker) == 1
        for pid in (*keeper, *worker):
            status = dict(x.split(":", 1) for x in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
            assert status["Uid"].split() == ["58105"] * 4 and status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
            assert all(int(status[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
            files = [os.readlink(f) for f in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
            assert not [f for f in files if f.endswith(".key") or "/pki/" in f], files
            # Its memory has no private key of the deployment.
            secrets = [(a.pki / "auditd" / name).read_bytes() for name in ("key.pem", "envelope.key", "token.key")]
            assert all(len(s) > 40 for s in secrets)
            memory = memory_of(pid)
            for s in secrets:
                body = b"".join(line for line in s.splitlines() if not line.startswith(b"-"))
                assert body[:40] not in memory and s[:200] not in memory
        # auditd dying takes them along.
        a.kill("auditd")
        eventually(lambda: not any(alive(p) for p in (*keeper, *worker)))
        a.start("auditd")


def alive(pid):
    try:
        return "\nState:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def memory_of(pid):
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, flags = line.split()[:2]
            if "w" not in flags:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            with contextlib.suppress(OSError, OverflowError):
                mem.seek(start)
                found.append(mem.read(end - start))
    return b"".join(found)


def test_a_collector_that_comes_and_goes(authority, tmp_path):
    collector = Rsyslog(tmp_path / "rsyslog", authority)
    with auditd(authority) as a:
        # Nobody there: the trail goes on.
        assert a.append(raw(resource="before"))[0] == 0
        eventually(lambda: a.own("collector.unreachable"), timeout=60)
        assert a.metric("ocu_auditd_collector_connected") == 0
        with collector:
            has_all(collector, a)
        for round_ in range(3):
            collector.start()
            for i in range(20):
                assert a.append(*[raw(resource=f"{round_}-{i}")] * 20)[0] == 0
            has_all(collector, a)
            # What it may have taken and not stored yet comes again.
            assert a.append(*[raw(resource=f"{round_}-last")] * 20)[0] == 0
            collector.stop(signal.SIGKILL if round_ == 1 else signal.SIGTERM)
        with collector:
            has_all(collector, a)
        a.must_verify()


def test_a_killed_process_is_started_again(authority, collector):
    with auditd(authority) as a:
        eventually(lambda: collector.numbers())
        for _ in range(3):
            [worker] = forwarders(a)[1]
            os.kill(worker, signal.SIGKILL)
            assert a.append(raw(resource="meanwhile"))[0] == 0
            eventually(lambda: (w := forwarders(a)[1]) and w != [worker])
        has_all(collector, a)


def test_without_its_keeper_it_ends(authority, collector):
    with auditd(authority) as a:
        eventually(lambda: collector.numbers())
        [keeper], [worker] = forwarders(a)
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda: not alive(worker))
        assert a.append(raw(resource="after"))[0] == 0
        a.kill("auditd", signal.SIGTERM)
        a.start("auditd")
        has_all(collector, a)


def test_a_long_trail_over_segments(authority, collector):
    with auditd(authority, segment_size="64KiB") as a:
        for i in range(40):
            assert a.append(*[raw(resource="y" * 1000)] * 50)[0] == 0
        assert len(list(a.trail.glob("0*.jsonl"))) > 10
        got = has_all(collector, a)
        assert got == sorted(got)


@pytest.mark.parametrize("wrong, says", [("authority", "certificate"), ("name", "certificate"), ("no-client-certificate", "")])
def test_no_trust_no_copy(authority, collector, tmp_path, wrong, says):
    more = {}
    if wrong == "authority":
        more["syslog_ca"] = str(Authority(pathlib.Path(authority.dir) / "other", "others").ca)
    elif wrong == "name":
        more["syslog_server_name"] = "another.example"
    else:
        more |= {"syslog_cert": "", "syslog_key": ""}
    with auditd(authority, **more) as a:
        assert a.append(raw(resource="secret"))[0] == 0
        [first, *_] = eventually(lambda: a.own("collector.unreachable"), timeout=60)
        assert says in first["unmapped"]["text"].lower() and first["outcome"] == "failure" and first["resource"] == f"127.0.0.1:{PORT}"
        assert collector.numbers() == []
        # It is not taken for sent, either.
        assert a.metric("ocu_auditd_collector_behind_records") > 0


def test_by_the_name_of_the_certificate(authority, collector):
    with auditd(authority, syslog_server_name="collector.example") as a:
        has_all(collector, a)


def hang_up(c):
    c.recv(10)


def talk_back(c):
    for _ in range(100):
        c.sendall(b"HTTP/1.1 200 OK\r\n" * 1000)


def read_nothing(c):
    time.sleep(300)


@pytest.mark.parametrize("talk", [hang_up, talk_back, read_nothing])
def test_a_hostile_collector_is_nobodys_loss(authority, talk):
    with Hostile(authority, talk) as h, auditd(authority) as a:
        # More than the sockets between the two can hold, for the one that reads nothing.
        for i in range(150 if talk is read_nothing else 2):
            assert a.append(*[raw(resource="z" * 20000)] * 4)[0] == 0
        eventually(lambda: h.connections)
        if talk is not read_nothing:
            eventually(lambda: a.own("collector.unreachable"), timeout=60)
        a.must_verify()
        assert a.metric("ocu_auditd_collector_behind_records") > 0
        assert a.kill("auditd", signal.SIGTERM) == 0


def test_a_cursor_of_something_else_sends_everything(authority, collector):
    with auditd(authority) as a:
        has_all(collector, a)
        a.kill("auditd", signal.SIGTERM)
        cursor = a.trail / "forward/syslog"
        assert json.loads(cursor.read_text())["n"] > 0
        for text in ('{"trail":"trl_other","n":1}', '{"trail":', '{"n":99999999}', ""):
            cursor.write_text(text)
            before = collector.numbers().count(1)
            a.start("auditd")
            eventually(lambda: collector.numbers().count(1) == before + 1, timeout=60)
            a.kill("auditd", signal.SIGTERM)
        a.start("auditd")
        has_all(collector, a)


@pytest.mark.parametrize("settings, names", [
    ({"syslog_address": "collector"}, "syslog_address"), ({"syslog_address": "collector:0"}, "syslog_address"),
    ({"syslog_address": "http://collector:1"}, "syslog_address"), ({"syslog_address": "c:6514"}, "syslog_ca"),
    ({"syslog_address": "c:6514", "syslog_ca": "/x", "syslog_cert": "/y"}, "syslog_key"), ({"syslog_facility": "24"}, "syslog_facility")])
def test_settings_that_do_not_belong_together(settings, names):
    env = {**os.environ, **{f"OCU_AUDITD_{k}".upper(): v for k, v in settings.items()}}
    p = subprocess.run([program("ocu-auditd"), "--check"], env=env, capture_output=True, text=True)
    assert p.returncode == 78 and names in p.stderr.lower(), p


def test_a_file_that_is_not_there(authority):
    with pytest.raises(RuntimeError, match="syslog_ca: /nowhere/ca.pem: No such file"), auditd(authority, syslog_ca="/nowhere/ca.pem"):
        pass


def test_a_collector_that_flaps_does_not_fill_the_trail(authority):
    """It takes a little and hangs up, for ever."""
    with Hostile(authority, hang_up) as h, auditd(authority) as a:
        begin = time.monotonic()
        eventually(lambda: a.append(raw(resource="more"))[0] == 0 and h.connections >= 5, timeout=120, every=0.2)
        events = len(a.own("collector.unreachable")) + len(a.own("collector.reached"))
        assert 1 <= events <= (time.monotonic() - begin) / 10 + 2


def test_no_collector_no_process():
    with Auditd() as a:
        assert forwarders(a) == ([], [])
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", PORT)) != 0
