"""Segments that leave the host for the archive after hot_days: which, when, and what no store and no crash can make of it.
shows: NFR-COMP-01 (in part), NFR-SEC-03"""
import contextlib
import json
import os
import re
import signal

import pytest
from audit_world import Auditd, raw
from bucket_world import ACCESS, PORT, SECRET, Store
from collector_world import PORT as COLLECTOR
from collector_world import Authority, Rsyslog
from old_world import Ager, Middle
from stack import eventually
from test_auditd import ask, assertion

MIDDLE = PORT + 2


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retire-pki")
    for p in (folder, *folder.parents):
        if str(p).startswith("/tmp/pytest"):
            p.chmod(0o755)
    return Authority(folder)


@pytest.fixture(scope="module")
def store(authority):
    with Store(authority) as s:
        yield s


@pytest.fixture
def middle(authority):
    with Middle(authority, MIDDLE, PORT) as m:
        yield m


def fill(a, rounds=4):
    for _ in range(rounds):
        assert a.append(*[raw(resource="z" * 1000)] * 80)[0] == 0


def here(a):
    return sorted(p.name for p in a.trail.glob("0*.jsonl"))


@contextlib.contextmanager
def old_trail(authority, store, bucket, port=MIDDLE, days=100, **more):
    """An auditd with an archive, and a trail of so many days ago; a.old are the segments of it that are sealed."""
    store.bucket(bucket)
    for name, text in (("access", ACCESS), ("secret", SECRET)):
        (authority.dir / name).write_text(text + "\n")
        (authority.dir / name).chmod(0o600)
        os.chown(authority.dir / name, 58105, 58105)
    with Auditd({"auditd": {"segment_size": "64KiB"}}) as a:
        fill(a)
        a.kill("auditd", signal.SIGTERM)
        Ager(a.trail, a.pki / "auditd/envelope.key", days)
        a.must_verify()
        a.old = here(a)[:-1]
        assert len(a.old) >= 3
        a.config["auditd"].update({"archive_url": f"https://127.0.0.1:{port}/{bucket}", "archive_access_key": str(authority.dir / "access"),
                                   "archive_secret_key": str(authority.dir / "secret"), "archive_ca": str(authority.ca), **more})
        a.start("auditd")
        yield a


def gone(a, names, timeout=90):
    """Waits until they are, and that the trail verifies and can be read at every moment until then."""
    def check():
        a.must_verify()
        assert a.occ("audit", "show", "--dir", a.trail, "--limit", "1").stdout
        return not set(names) & set(here(a))
    eventually(check, timeout=timeout, every=0.01)


def test_hot_then_cold_and_one_chain_again(authority, store, middle, tmp_path):
    with old_trail(authority, store, "cold") as a:
        gone(a, a.old)
        fill(a)
        young = here(a)[:-1]
        assert len(young) >= 3
        eventually(lambda: a.metric("ocu_auditd_archive_segments") == len(a.old) + len(young), timeout=90)
        # Each was told before it went, in order, with the seal it had.
        events = eventually(lambda: len(e := a.own("segment.removed")) == len(a.old) and e)
        assert [e["resource"].split("/")[1] for e in events] == a.old and all(e["outcome"] == "success" for e in events)
        assert a.metric("ocu_auditd_removed_segments_total") == len(a.old) and a.own("segment.kept") == []
        eventually(lambda: a.metric("ocu_auditd_local_segments") == len(here(a)))
        eventually(lambda: a.metric("ocu_auditd_local_bytes") > sum((a.trail / n).stat().st_size for n in here(a)[:-1]))
        trail = a.must_verify()
        assert trail["archived_segments"] == len(a.old) and trail["archived_records"] == events[-1]["unmapped"]["records"]
        text = a.occ("audit", "verify", "--dir", a.trail).stdout
        assert f"segments 1 to {len(a.old)} (records 1 to {trail['archived_records']}) are in the archive" in text
        shown = a.occ("audit", "show", "--dir", a.trail, "--limit", "1")
        assert f"records 1 to {trail['archived_records']} are in the archive" in shown.stderr and shown.stdout
        # An auditor who asks from the beginning gets what is here, from its first record on.
        status, _, body = ask(a, "/v1/events?from=1&limit=1", assertion(a))
        assert status == 200 and json.loads(body)["n"] == trail["archived_records"] + 1
        # And so after a restart.
        a.kill("auditd")
        a.start("auditd")
        fill(a, 1)
        assert set(young) <= set(here(a))
        # What was archived, put back beside a copy of what is here: one chain from the first record on.
        a.kill("auditd", signal.SIGTERM)
        for path in a.trail.glob("*.jsonl"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
        copy = a.must_verify(tmp_path)
        for key in store.keys("cold"):
            (tmp_path / key.split("/")[1]).write_bytes(store.get("cold", key))
        whole = a.must_verify(tmp_path)
        assert whole["archived_segments"] == 0 and copy["archived_segments"] == len(a.old)
        assert whole["records"] == copy["records"] and whole["head"] == copy["head"]
        first = tmp_path / a.old[0]
        first.write_bytes(first.read_bytes().replace(b"zzzz", b"zyzz", 1))
        assert a.verify(tmp_path)[0] == 1


def test_nobody_passes_off_as_archived_what_he_removed(authority, store, middle):
    with old_trail(authority, store, "passed-off") as a:
        gone(a, a.old)
        fill(a)
        a.kill("auditd", signal.SIGTERM)
        anchor, first = a.trail / "anchor.jsonl", a.trail / here(a)[0]
        kept, text = anchor.read_bytes(), first.read_bytes()

        def refused(why):
            code, out = a.verify()
            assert code == 1 and why in out, out
            with pytest.raises(Exception):
                a.start("auditd")
            assert why in a.log("auditd")

        first.unlink()  # one more than there may be missing
        refused(f"segment {len(a.old) + 1} is missing")
        # The seal of what he removed, which auditd signed, does not say that it is archived.
        anchor.write_bytes(text[:4096].rstrip() + b"\n")
        refused("the anchor is malformed")
        anchor.write_bytes(re.sub(rb'"archived":[0-9]+', b'"archived":%d' % (len(a.old) + 1), kept))
        refused("the anchor does not verify")
        anchor.unlink()
        refused("there is no anchor")
        anchor.write_bytes(kept)
        first.write_bytes(text)
        a.must_verify()
        a.start("auditd")
        assert a.append(raw())[0] == 0


LIES = {
    "gone": (lambda t: t.replace(" 200 ", " 404 ", 1), "does not have it"),
    "size": (lambda t: re.sub(r"(?im)^content-length: *[0-9]+", "Content-Length: 17", t), "other bytes"),
    "hash": (lambda t: re.sub(r"(?im)^(x-amz-meta-ocu-sha256): *[0-9a-f]+", r"\1: " + "0" * 64, t), "other bytes"),
    "unlocked": (lambda t: re.sub(r"(?im)^x-amz-object-lock-[^\n]+\n", "", t), "not locked"),
    "governance": (lambda t: t.replace("COMPLIANCE", "GOVERNANCE"), "governance"),
    "short": (lambda t: re.sub(r"(?im)^(x-amz-object-lock-retain-until-date): *[^\r]+", r"\1: 2026-12-01T00:00:00Z", t), "not locked for archive_days"),
    "new": (lambda t: re.sub(r"(?im)^last-modified: *[^\r]+", "Last-Modified: " + re.search(r"(?im)^date: *([^\r]+)", t)[1], t), "store's clock"),
    "timeless": (lambda t: re.sub(r"(?im)^date:[^\n]+\n", "", t), "does not say"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_store_that_does_not_have_it(authority, store, middle, lie):
    change, why = LIES[lie]
    with old_trail(authority, store, f"lie-{lie}") as a:
        # From the first HEAD that finds an object on; those before are from putting.
        middle.change = change
        [event] = eventually(lambda: a.own("segment.kept"), timeout=60)
        assert why in event["unmapped"]["text"] and event["outcome"] == "failure" and a.old[0][:8].lstrip("0") in event["unmapped"]["text"]
        assert set(a.old) <= set(here(a)) and a.own("segment.removed") == []
        assert a.metric("ocu_auditd_removal_failures_total") >= 1 and a.metric("ocu_auditd_removed_segments_total") == 0
        assert a.must_verify()["archived_segments"] == 0
        middle.change = lambda t: t
        gone(a, a.old)  # it is asked again


def test_what_is_no_longer_there_is_put_again(authority, store, middle):
    middle.change = LIES["unlocked"][0]
    with old_trail(authority, store, "taken-out") as a:
        eventually(lambda: a.metric("ocu_auditd_archive_segments") >= len(a.old) and a.own("segment.kept"), timeout=60)
        [key] = [k for k in store.keys("taken-out") if k.endswith(a.old[0])]
        assert store.ask("DELETE", f"taken-out/{key}")[0] == 204  # a marker over the locked version
        middle.change = lambda t: t
        eventually(lambda: any("does not have it" in e["unmapped"]["text"] for e in a.own("segment.kept")), timeout=60)
        gone(a, a.old)
        assert store.get("taken-out", key) and sum(k == key for k, _ in store.versions("taken-out")) == 2


def test_what_the_store_itself_says_is_enough_but_for_the_time(authority, store):
    """No Middle: lock, dates and hash as the real store gives them; it has had them for seconds only."""
    with old_trail(authority, store, "honest", port=PORT) as a:
        [*_, event] = eventually(lambda: [e for e in a.own("segment.kept") if "clock" in e["unmapped"]["text"]], timeout=60)
        assert "by the store's clock" in event["unmapped"]["text"] and set(a.old) <= set(here(a))


def test_a_young_trail_stays(authority, store, middle):
    with old_trail(authority, store, "young", days=20) as a:
        eventually(lambda: a.metric("ocu_auditd_archive_segments") >= len(a.old), timeout=60)
        a.config["auditd"]["hot_days"] = "10"
        assert set(a.old) <= set(here(a)) and a.own("segment.kept") == []
        a.restart("auditd")
        gone(a, a.old)


def test_not_before_the_collector_has_it(authority, store, middle, tmp_path):
    cert, key = authority.issue("auditd-client", "DNS:auditd-client")
    with old_trail(authority, store, "collected", syslog_address=f"127.0.0.1:{COLLECTOR}", syslog_ca=str(authority.ca), syslog_cert=str(cert),
                   syslog_key=str(key)) as a:
        [event, *_] = eventually(lambda: a.own("segment.kept"), timeout=60)
        assert "the collector does not have it" in event["unmapped"]["text"] and set(a.old) <= set(here(a))
        with Rsyslog(tmp_path / "rsyslog", authority) as c:
            gone(a, a.old)
            records = a.own("segment.removed")[-1]["unmapped"]["records"]
            eventually(lambda: set(range(1, records + 1)) <= set(c.numbers()))


def test_stopped_between_the_anchor_and_the_file(authority, store, middle):
    with old_trail(authority, store, "stopped") as a:
        gone(a, a.old)
        a.kill("auditd")
        [key] = [k for k in store.keys("stopped") if k.endswith(a.old[-1])]
        path = a.trail / a.old[-1]
        path.write_bytes(store.get("stopped", key))
        os.chown(path, 58105, 58105)
        os.utime(path, (1, 1))
        assert a.must_verify()["archived_segments"] == len(a.old) - 1
        a.start("auditd")
        gone(a, a.old)
        assert len(a.own("segment.removed")) == len(a.old)
        assert a.must_verify()["archived_segments"] == len(a.old)


def test_without_an_archive_nothing_is_removed():
    with Auditd({"auditd": {"segment_size": "64KiB", "hot_days": "1"}}) as a:
        fill(a)
        a.kill("auditd", signal.SIGTERM)
        Ager(a.trail, a.pki / "auditd/envelope.key", 1000)
        names = here(a)
        a.start("auditd")
        eventually(lambda: a.metric("ocu_auditd_local_segments") > len(names))
        fill(a, 1)
        assert set(names) <= set(here(a)) and a.must_verify()["archived_segments"] == 0
