"""Sessions, tokens, denylist and trail of a running deployment, driven with occ as an operator would.
shows: NFR-SEC-04, NFR-SEC-39 (in part), NFR-SEC-45, NFR-SEC-72, NFR-IC-02"""
import json
import os
import shutil
import subprocess

import pytest
from stack import eventually, program


def state_of(stack, session):
    return stack.occ("session", "show", session, "--json")["state"]


def test_a_session_by_hand(stack):
    made = stack.occ("session", "create", "--caller", "by-hand", "--label", "a note", "--hint", "one", "--json")
    assert made["state"] == "active" and made["tier"] == "runc" and made["caller"] == "by-hand"
    assert stack.occ("session", "create", "--caller", "by-hand", "--hint", "one", "--json")["session_id"] == made["session_id"]
    assert [s["session_id"] for s in stack.occ("session", "list", "--caller", "by-hand", "--json")["sessions"]] == [made["session_id"]]
    table = stack.occ("session", "list").stdout
    assert "SESSION" in table and made["session_id"] in table and "a note" in table
    assert stack.occ("session", "destroy", made["session_id"], "--json") == {"session_id": made["session_id"], "state": "ended"}
    assert state_of(stack, made["session_id"]) == "ended"
    assert not stack.occ("session", "list", "--caller", "by-hand", "--json")["sessions"]
    actions = [e["action"] for e in stack.events(session_id=made["session_id"]) if e["actor_id"] in ("operator:operator", "system:operatord")]
    assert [a for a in actions if a.startswith("session.")] == ["session.create", "session.destroy", "session.ended"]
    of = lambda action: stack.events(session_id=made["session_id"], action=action)   # noqa: E731
    assert of("session.ended")[0]["unmapped"]["files_scrubbed"] is True and len(of("filesystem.scrubbed")) == 1


def test_exit_statuses(stack, tmp_path):
    assert stack.occ("session", "show", "ses_nobody", check=False).returncode == 1
    assert stack.occ("session", "shw", check=False).returncode == 2
    assert stack.occ("kill", check=False).returncode == 2
    assert stack.occ("kill", "--all", check=False).returncode == 2  # nobody to ask
    # Another operator's key, and no deployment at all.
    other = tmp_path / "etc"
    subprocess.run([program("occ"), "init", "--dir", other, "--state", tmp_path / "s", "--run", tmp_path / "r"], check=True,
                   capture_output=True)
    shutil.copy(stack.etc / "pki/ca.pem", other / "pki/ca.pem")
    p = subprocess.run([program("occ"), "--deployment", other, "status", "--json"], capture_output=True, text=True)
    assert p.returncode == 3 and json.loads(p.stdout)["error"]["code"] == "token_unknown_key"
    (other / "pki/operator/operator.key").unlink()
    assert subprocess.run([program("occ"), "--deployment", other, "status"], capture_output=True).returncode == 3
    assert subprocess.run([program("occ"), "--deployment", tmp_path, "status"], capture_output=True).returncode == 1


def test_status_knows_everybody(stack):
    stack.mcp().bash("true")
    status = eventually(lambda: (lambda s: s if all(c["connected"] for c in s["components"].values()) else None)(
        stack.occ("status", "--json")))
    assert all(c["version"] == status["version"] for c in status["components"].values())
    assert set(status["components"]) == {"gateway", "brokerd", "sandboxd", "egressd", "auditd"}
    assert status["reconciled"] and status["tier"] == "runc" and status["profile"] == "trusted_operator"
    epoch = stack.occ("deny", "add", "caller", "nobody", "--json")["epoch"]
    eventually(lambda: all(c.get("denylist_epoch", epoch) == epoch for c in stack.occ("status", "--json")["components"].values()))


def test_the_trail_is_compared_with_the_running_auditd(stack, tmp_path):
    stack.mcp().bash("true")
    verified = stack.occ("audit", "verify", "--json")
    assert verified["verified"] and verified["live"] in ("matches", "moved on")
    old = tmp_path / "old"
    shutil.copytree(stack.dir / "state/auditd", old)
    stack.occ("deny", "add", "caller", "somebody")
    # A whole and well signed trail, but not all of it.
    p = subprocess.run([program("occ"), "--deployment", stack.etc, "audit", "verify", "--json"], capture_output=True, text=True,
                       env=dict(os.environ, OCU_OCC_TRAIL_DIR=str(old)))
    said = json.loads(p.stdout)
    assert p.returncode == 1 and said["live"] == "contradicts" and not said["verified"]
    assert stack.occ("audit", "show", "--action", "denylist.*", "--limit", "1").stdout.count("\n") == 1


def test_first_token_is_listed_and_tokens_never_are(stack):
    tokens = eventually(lambda: stack.occ("token", "list", "--json")["tokens"])
    assert any(t["label"] == "made by occ init" and t["caller"] == stack.caller for t in tokens)
    minted = stack.occ("token", "mint", "--caller", "x", "--label", "l", "--json")
    out = stack.dir / "x.token"
    stack.occ("token", "mint", "--caller", "x", "--out", out)
    assert out.stat().st_mode & 0o777 == 0o600 and out.read_text().count(".") == 2
    assert minted["token"] not in json.dumps(stack.occ("token", "list", "--json"))
    everything = (stack.dir / "state/operatord/registry.db").read_bytes() + (stack.dir / "state/operatord/registry.db-wal").read_bytes()
    assert minted["jti"].encode() in everything and minted["token"].encode() not in everything


@pytest.mark.parametrize("profile", ["untrusted", "internal_workforce"])
def test_a_profile_without_its_tier_does_not_start(stack, profile):
    p = subprocess.run([program("ocu-operatord"), "--config", stack.etc / "operatord.yaml", "--check"], capture_output=True, text=True,
                       env=dict(os.environ, OCU_OPERATORD_PROFILE=profile))
    assert p.returncode == 78 and profile in p.stderr


def test_images_are_listed(stack):
    images = stack.occ("image", "list", "--dir", os.environ["OCU_IMAGES"], "--json")["images"]
    assert any(i["name"] == "base" and i["digest"].startswith("sha256:") for i in images)
