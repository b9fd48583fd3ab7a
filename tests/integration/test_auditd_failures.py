"""auditd alone: SIGKILL under load, a full disk, a flooding source, copies made while it appends.
shows: NFR-SEC-03, NFR-SEC-56, NFR-REL-03, NFR-REL-12"""
import base64
import hashlib
import json
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest
from audit_world import RPC, Auditd, raw, result
from stack import eventually, program, run


@pytest.fixture
def tiny_disk():
    # Not under tmp_path, which only root may pass through.
    disk = pathlib.Path(tempfile.mkdtemp(prefix="ocu-disk-", dir="/var/tmp"))
    run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=755", "none", disk])
    yield disk
    run(["umount", "-l", disk])
    disk.rmdir()


def test_killed_under_load(tmp_path):
    """SIGKILL at random moments: whatever was acknowledged is there, the chain goes on, and the cut is on record."""
    with Auditd({"auditd": {"segment_size": "4MiB"}}) as a:
        acked, cuts = set(), 0
        for turn in range(8):
            if turn:
                a.start_one("auditd")
            log = tmp_path / f"acked-{turn}"
            load = a.load("--threads", 64, "--seconds", 20, "--until-failure", "--prefix", f"t{turn}", "--acked", log)
            before = a.trail.stat().st_mtime_ns
            eventually(lambda: a.metric("ocu_auditd_events_total") > 200)
            time.sleep(random.uniform(0, 0.3))  # the moment is the point of the test
            a.kill("auditd")
            got = result(load)
            assert got["acknowledged"] > 100 and before, got
            acked |= set(log.read_text().split())
            code, said = a.verify()  # as the kill left it
            assert code == 0, said
        a.start_one("auditd")
        report = a.must_verify()
        present = [r["event"]["resource"] for r in a.records()]
        assert acked <= set(present), sorted(acked - set(present))[:5]
        assert len(present) == report["records"] and len(present) == len({r["n"] for r in a.records()})
        cuts = len(a.own("trail.recovered"))
        assert cuts <= 8 and len(a.own("auditd.start")) == 9
        assert acked


def test_stop_leaves_nothing_unsigned(tmp_path):
    with Auditd() as a:
        load = a.load("--threads", 16, "--seconds", 20, "--until-failure", "--acked", tmp_path / "acked")
        eventually(lambda: a.metric("ocu_auditd_events_total") > 500)
        assert a.kill("auditd", signal.SIGTERM) == 0
        result(load)
        report = a.must_verify()
        assert report["why"] == ""
        names = [r["event"]["resource"] for r in a.records()]
        assert set((tmp_path / "acked").read_text().split()) <= set(names)
        assert a.own("auditd.stop")
        a.start_one("auditd")
        assert not a.own("trail.recovered")


def test_copies_made_while_it_appends(tmp_path):
    with Auditd({"auditd": {"segment_size": "2MiB"}}) as a:
        load = a.load("--threads", 32, "--seconds", 8)
        verified, unsigned, again = 0, 0, 0
        while load.poll() is None:
            copy = tmp_path / "copy"
            # The segments are the trail; other files there come and go.
            copy.mkdir()
            run(["cp", *sorted(a.trail.glob("0*.jsonl")), copy])
            code, said = a.verify(copy)
            if code:
                # Rotated between the listing and the copy, or read in the moment a head was written: said clearly.
                assert any(x in said for x in ("is missing", "head slot does not verify", "do not follow each other")), said
                again += 1
            else:
                verified += 1
                unsigned += "follow the signed head" in json.loads(said)["why"]
            a.must_verify()  # the original, in place
            shutil.rmtree(copy)
        assert verified, again  # how many pass depends on how often this disk makes it rotate
        assert result(load)["refused"] == 0
        a.must_verify()


def test_a_tail_that_nobody_signed(tmp_path):
    """What stands behind the last signature does not count, is told, and of a trail at rest it is refused."""
    with Auditd({}) as a:
        assert a.append(raw())[0] == 0
        a.kill("auditd", signal.SIGTERM)
        at_rest = ("audit", "verify", "--at-rest", "--dir", a.trail)
        out = a.occ(*at_rest).stdout
        assert re.search(r"last signature [0-9]+ s ago, nothing after it", out), out
        segment = a.trail / "00000001.jsonl"
        # A record as anybody can make one: the chain goes on, and no signature says that it does.
        lines = segment.read_bytes()[8192:].split(b"\n")
        last = lines[-2]
        n, prev = json.loads(last)["n"], last.rsplit(b'"hash":"', 1)[1][:64]
        seq = 1 + sum(json.loads(x)["source"] == "auditd" for x in lines[1:-1])
        body = re.sub(rb'^.*?,"event":', b'{"n":%d,"time":"%s","source":"auditd","seq":%d,"prev":"%s","event":' % (
            n + 1, json.loads(last)["time"].encode(), seq, prev), last.rsplit(b',"hash":', 1)[0])
        segment.write_bytes(segment.read_bytes() + body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n')
        told = a.must_verify()
        assert told["records"] == n and told["unsigned_records"] == 1 and told["unsigned_bytes"] > 0 and told["head_age_s"] >= 0
        assert "1 records" in a.occ("audit", "verify", "--dir", a.trail).stdout
        p = a.occ(*at_rest, check=False)
        assert p.returncode == 1 and "NOT VERIFIED" in p.stdout and "(1 records) follow the signed head" in p.stdout
        # auditd takes it for no record of its own either.
        a.start("auditd")
        assert a.own("trail.recovered")[0]["unmapped"]["cut_bytes"] == told["unsigned_bytes"]


def test_full_disk(tiny_disk, tmp_path):
    with Auditd({"auditd": {"state_dir": str(tiny_disk), "segment_size": "1MiB"}}) as a:
        load = a.load("--threads", 32, "--seconds", 60, "--until-failure", "--acked", tmp_path / "acked", "--bytes", 4000)
        got = result(load)
        assert got["refused"] > 0 and "space" in got["reason"], got
        a.must_verify()
        refused = result(a.load("--threads", 4, "--seconds", 1, "--prefix", "while-full", "--bytes", 4000))
        assert refused["refused"] > 0
        a.must_verify()
        assert a.alive() == ["auditd"]
        run(["mount", "-o", "remount,size=512m", tiny_disk])
        after = result(a.load("--threads", 4, "--seconds", 1, "--prefix", "after"))
        assert after["refused"] == 0 and after["acknowledged"] > 10
        a.must_verify()
        names = {r["event"]["resource"] for r in a.records()}
        assert set((tmp_path / "acked").read_text().split()) <= names
        assert sum(n.startswith("while-full") for n in names) == refused["acknowledged"]
        resumed = a.own("trail.resumed")
        assert resumed and sum(e["unmapped"]["refused_events"] for e in resumed) > 0
        assert a.kill("auditd", signal.SIGKILL) == -9
        a.start_one("auditd")
        a.must_verify()


def test_start_on_a_broken_trail_is_refused(tmp_path):
    with Auditd() as a:
        a.append(*[raw()] * 20)
        a.kill("auditd", signal.SIGTERM)
        segment = a.trail / "00000001.jsonl"
        data = bytearray(segment.read_bytes())
        data[data.index(b"tool.call")] ^= 1
        segment.write_bytes(data)
        assert a.verify()[0] == 1
        with pytest.raises(RuntimeError, match="chain_broken"):
            a.start_one("auditd")
        assert segment.read_bytes() == bytes(data)
        a.proc.clear()


def test_a_flooding_source_is_shaped():
    """sandboxd floods with more than it may have waiting; gateway keeps its share, and the flood is on record."""
    with Auditd({"auditd": {"source_queue": "64KiB"}}) as a:
        alone = result(a.load("--threads", 4, "--seconds", 2))
        stop = threading.Event()
        body = json.dumps({"events": [base64.b64encode(raw(unmapped={"x": "y" * 3000})).decode()] * 4})

        def flood():
            while not stop.is_set():
                subprocess.run([program("ocu-rpc-probe"), "--pki", a.pki, "--as", "sandboxd", "--to", RPC, "--peer", "auditd",
                                "--bench", "2000", "--inflight", "200", "audit.Append", body], capture_output=True, timeout=60)
        t = threading.Thread(target=flood)
        t.start()
        try:
            eventually(lambda: a.metric('ocu_auditd_shaped_total{source="sandboxd"}') > 0, timeout=30)
            beside = result(a.load("--threads", 4, "--seconds", 3))
        finally:
            stop.set()
            t.join()
        assert beside["refused"] == 0 and beside["acknowledged"] > 0, (alone, beside)
        assert a.own("source.shaped")[0]["resource"] == "sandboxd"
        assert a.metric('ocu_auditd_shaped_total{source="gateway"}') == 0
        a.must_verify()
