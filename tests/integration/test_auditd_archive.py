"""Sealed segments in an S3 bucket with object lock: all of them, byte for byte, whatever dies, and never over another's.
shows: NFR-COMP-01 (in part), NFR-SEC-03"""
import contextlib
import os
import pathlib
import signal
import time

import pytest
from audit_world import Auditd, raw
from bucket_world import ACCESS, PORT, SECRET, Store
from collector_world import Authority, Hostile
from stack import eventually
from test_auditd_collector import alive, forwarders, memory_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive-pki")
    for p in (folder, *folder.parents):
        if str(p).startswith("/tmp/pytest"):
            p.chmod(0o755)
    return Authority(folder)


@pytest.fixture(scope="module")
def store(authority):
    with Store(authority) as s:
        yield s


@contextlib.contextmanager
def auditd(authority, bucket, secret=SECRET, port=PORT, mode=0o600, **more):
    access, key = authority.dir / "access", authority.dir / f"secret-{len(secret)}"
    for path, text in ((access, ACCESS), (key, secret)):
        path.write_text(text + "\n")
        path.chmod(mode)
        os.chown(path, 58105, 58105)
    with Auditd({"auditd": {"archive_url": f"https://127.0.0.1:{port}/{bucket}", "archive_access_key": str(access),
                            "archive_secret_key": str(key), "archive_ca": str(authority.ca), "segment_size": "64KiB", **more}}) as a:
        yield a


def fill(a, rounds=4):
    for _ in range(rounds):
        assert a.append(*[raw(resource="z" * 1000)] * 80)[0] == 0


def sealed(a):
    """Segments that will never change again."""
    return sorted(a.trail.glob("0*.jsonl"))[:-1]


def archived(a, store, bucket):
    """Waits until every sealed segment is there: {name: bytes}."""
    def complete():
        keys = store.keys(bucket)
        return len(keys) == len(sealed(a)) > 0 and keys
    return {k: store.get(bucket, k) for k in eventually(complete, timeout=90, every=0.2)}


def test_a_quiet_trail_is_archived_by_age(authority, store):
    store.bucket("quiet")
    with auditd(authority, "quiet", segment_size="64MiB", segment_age="2s") as a:
        assert a.append(raw(resource="a quiet word"))[0] == 0
        eventually(lambda: any(b"a quiet word" in store.get("quiet", k) for k in store.keys("quiet")), timeout=60, every=0.2)
        a.must_verify()
        assert "archive.short_lock" not in a.log("auditd")


def test_every_sealed_segment_and_what_it_is_worth(authority, store, tmp_path):
    store.bucket("whole")
    with auditd(authority, "whole/evidence", archive_days="30") as a:
        assert "archive.short_lock" in a.log("auditd")  # by the default, nothing leaves before the lock is over
        fill(a)
        assert len(sealed(a)) >= 3
        eventually(lambda: len(store.keys("whole")) == len(sealed(a)), timeout=60, every=0.2)
        got = archived(a, store, "whole")
        trail = a.must_verify()
        for path in sealed(a):
            [key] = [k for k in got if k.endswith("/" + path.name)]
            assert key.startswith("evidence/trl_") and got[key] == path.read_bytes()
            (tmp_path / path.name).write_bytes(got[key])
        # The copy verifies by itself, with the public keys alone; as a whole trail it is not one.
        assert a.verify(tmp_path)[0] != 0
        copy = a.occ("audit", "verify", "--sealed", "--json", "--dir", tmp_path)
        assert copy["verified"] and 0 < copy["records"] <= trail["records"]
        changed = tmp_path / sealed(a)[1].name
        changed.write_bytes(changed.read_bytes().replace(b"zzzz", b"zyzz", 1))
        assert a.occ("audit", "verify", "--sealed", "--dir", tmp_path, check=False).returncode == 1
        # Locked, and not to be deleted by the one who put it.
        key, version = store.versions("whole")[0]
        assert b"COMPLIANCE" in store.ask("GET", f"whole/{key}?retention=")[1]
        assert store.ask("DELETE", f"whole/{key}?versionId={version}")[0] == 403
        assert eventually(lambda: a.own("archive.reached"))[0]["outcome"] == "success"
        eventually(lambda: a.metric("ocu_auditd_archive_segments") == len(sealed(a)))
        assert a.metric("ocu_auditd_archive_behind_segments") == 0 and a.metric("ocu_auditd_archive_reachable") == 1


def test_whatever_dies_each_is_there_once(authority, store):
    store.bucket("deaths")
    with auditd(authority, "deaths") as a:
        fill(a)
        archived(a, store, "deaths")
        store.down()
        fill(a)
        eventually(lambda: a.own("archive.unreachable"), timeout=60)
        assert a.metric("ocu_auditd_archive_behind_segments") > 0
        a.kill("auditd")
        a.start("auditd")
        fill(a)
        store.up()
        for _ in range(3):
            fill(a, 2)
            [worker] = eventually(lambda: forwarders(a)[1])
            os.kill(worker, signal.SIGKILL)
        archived(a, store, "deaths")
        # Without its cursor it finds that they are there, and puts none again.
        a.kill("auditd", signal.SIGTERM)
        (a.trail / "archive/segments").unlink()
        a.start("auditd")
        eventually(lambda: (a.trail / "archive/segments").exists())
        fill(a, 2)
        archived(a, store, "deaths")
        assert len(store.versions("deaths")) == len(sealed(a))
        a.must_verify()


def test_what_is_there_with_other_bytes_stays(authority, store):
    store.bucket("taken")
    with auditd(authority, "taken", secret="not-yet-the-secret") as a:
        fill(a)
        eventually(lambda: a.own("archive.unreachable"), timeout=60)
        trail = a.must_verify()
        assert store.keys("taken") == [] and trail["verified"]
        name = a.records()[0]["event"]["resource"]  # trail.opened names the trail
        key = f"{name}/00000001.jsonl"
        assert name.startswith("trl_") and store.ask("PUT", f"taken/{key}", "-d", "somebody else's")[0] == 200
        (authority.dir / "secret-18").write_text(SECRET)  # a credential that is replaced is read again
        [event] = eventually(lambda: a.own("archive.refused"), timeout=90)
        assert "with other bytes" in event["unmapped"]["text"] and "with other bytes" in a.log("auditd")
        assert store.get("taken", key) == b"somebody else's" and len(store.versions("taken")) == 1
        assert a.metric("ocu_auditd_archive_reachable") == 0


@pytest.mark.parametrize("wrong", ["secret", "readable", "authority", "bucket", "no-lock"])
def test_no_trust_no_copy(authority, store, wrong):
    bucket, more = "trust", {}
    if wrong == "no-lock":
        store.bucket("plain", lock=False)
        bucket = "plain"
    elif wrong == "secret":
        store.bucket("trust")
        more["secret"] = "a-wrong-secret"
    elif wrong == "readable":
        more["mode"] = 0o644
    elif wrong == "authority":
        more["archive_ca"] = str(Authority(pathlib.Path(authority.dir) / "other", "others").ca)
    else:
        bucket = "missing-bucket"
    with auditd(authority, bucket, **more) as a:
        fill(a)
        [first, *_] = eventually(lambda: a.own("archive.unreachable"), timeout=60)
        says = {"secret": "403", "readable": "accessible by group or others", "authority": "certificate", "bucket": "404 NoSuchBucket", "no-lock": "InvalidRequest"}[wrong]
        assert says.lower() in first["unmapped"]["text"].lower() and first["outcome"] == "failure"
        assert SECRET not in a.log("auditd") and a.metric("ocu_auditd_archive_behind_segments") > 0


def talk_redirect(c):
    c.recv(65536)
    c.sendall(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n")


def talk_endless(c):
    c.recv(65536)
    c.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        c.sendall(b"X-Filler: " + b"a" * 8000 + b"\r\n")


def talk_big(c):
    c.recv(65536)
    c.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    c.recv(65536)
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"b" * 200000)
    time.sleep(60)


@pytest.mark.parametrize("talk", [talk_redirect, talk_endless, talk_big])
def test_a_hostile_store_is_nobodys_loss(authority, talk, monkeypatch):
    import collector_world
    monkeypatch.setattr(collector_world, "PORT", PORT + 1)
    with Hostile(authority, talk) as h, auditd(authority, "any", port=PORT + 1) as a:
        fill(a)
        eventually(lambda: h.connections > 0, timeout=60)
        eventually(lambda: a.own("archive.unreachable"), timeout=120)
        assert a.metric("ocu_auditd_archive_segments") == 0
        fill(a, 1)
        a.must_verify()


def test_it_may_do_nothing_else(authority, store):
    store.bucket("jailed")
    with auditd(authority, "jailed") as a:
        fill(a)
        archived(a, store, "jailed")
        keeper, worker = forwarders(a)
        assert len(keeper) == len(worker) == 1
        for pid in (*keeper, *worker):
            status = dict(x.split(":", 1) for x in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
            assert status["Uid"].split() == ["58105"] * 4 and status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
            assert all(int(status[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
            memory = memory_of(pid)
            for s in ((a.pki / "auditd" / name).read_bytes() for name in ("key.pem", "envelope.key", "token.key")):
                body = b"".join(line for line in s.splitlines() if not line.startswith(b"-"))
                assert len(body) > 40 and body[:40] not in memory and s[:200] not in memory
        a.kill("auditd")
        eventually(lambda: not any(alive(p) for p in (*keeper, *worker)))
        a.start("auditd")
