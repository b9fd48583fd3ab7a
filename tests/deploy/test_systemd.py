"""The units: well-formed, and as tight as systemd-analyze can tell; what they start is there, as the user they name.
shows: NFR-SEC-52"""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ROOT / "deploy/systemd"
USERS = ("gateway", "operatord", "brokerd", "egressd", "auditd")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root with the units where a package puts them, the programs as empty executables, and nothing else of ours."""
    top = tmp_path_factory.mktemp("root")
    lib = top / "usr/lib/systemd/system"
    lib.mkdir(parents=True)
    for u in UNITS.glob("*.service"):
        shutil.copy(u, lib)
    shutil.copy(UNITS / "ocu.target", lib)
    shutil.copytree(UNITS / "ocu@brokerd.service.d", lib / "ocu@brokerd.service.d")
    for d in USERS:
        shutil.copy(UNITS / "ocu@.service", lib / f"ocu@{d}.service")  # verify does not instantiate by itself
    (top / "usr/bin").mkdir(parents=True)
    for d in (*USERS, "sandboxd"):
        (top / f"usr/bin/ocu-{d}").write_text("#!/bin/true\n")
        (top / f"usr/bin/ocu-{d}").chmod(0o755)
    doc = top / "usr/share/doc/ocu"
    doc.mkdir(parents=True)
    (doc / "operating.md").write_text("")
    for name in ("basic.target", "sysinit.target", "shutdown.target", "network.target", "multi-user.target", "system.slice", "-.slice"):
        (lib / name).write_text("[Unit]\nDescription=stands for the host's\nDefaultDependencies=no\n" + ("[Slice]\n" if name.endswith("slice") else ""))
    return top


def analyze(*args):
    return subprocess.run(["systemd-analyze", "--no-pager", *map(str, args)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("unit", [*(f"ocu@{d}.service" for d in USERS), "ocu-sandboxd.service", "ocu.target"])
def test_systemd_understands_every_line(root, unit):
    p = analyze("verify", f"--root={root}", "--man=no", "--generators=no", root / "usr/lib/systemd/system" / unit)
    said = [line for line in (p.stdout + p.stderr).splitlines() if "ocu" in line]
    assert said == [] and p.returncode == 0, p


@pytest.mark.parametrize("daemon", USERS)
def test_exposure(root, daemon):
    p = analyze("security", "--offline=true", f"--root={root}", "--threshold=20", f"ocu@{daemon}.service")
    exposure = float(re.search(r"Overall exposure level for \S+: (\S+)", p.stdout).group(1))
    assert p.returncode == 0 and exposure <= 2.0, p.stdout + p.stderr


def test_a_loose_unit_would_be_seen(root):
    unit = root / "usr/lib/systemd/system/ocu@loose.service"
    unit.write_text("".join(line for line in (UNITS / "ocu@.service").read_text().splitlines(True)
                            if not re.match(r"(Protect|Private|Restrict|SystemCall|Capability)", line)))
    assert analyze("security", "--offline=true", f"--root={root}", "--threshold=20", "ocu@loose.service").returncode != 0


def test_users_are_those_that_init_gives_keys_to():
    rows = [line.split() for line in (UNITS / "ocu.sysusers").read_text().splitlines() if line.startswith("u ")]
    assert [(r[1], int(r[2])) for r in rows] == [(f"ocu-{d}", 58101 + i) for i, d in enumerate(("gateway", "operatord", "brokerd", "egressd", "auditd"))]
    source = (ROOT / "operatord/occ/init.c").read_text()
    assert "#define FIRST_UID 58101" in source
    order = re.search(r"unprivileged\[\] = \{(.*?)\}", source, re.S).group(1)
    assert [w.strip().removeprefix("OCU_COMP_").lower() for w in order.split(",")] == [r[1].removeprefix("ocu-") for r in rows]


def test_the_sockets_meet():
    """Where brokerd and egressd listen is where sandboxd looks, in a folder that tmpfiles gives to the one who listens."""
    daemons, sandboxd = (UNITS / "ocu@.service").read_text(), (UNITS / "ocu-sandboxd.service").read_text()
    made = (UNITS / "ocu.tmpfiles").read_text()
    for d in ("brokerd", "egressd"):
        path = re.search(rf"OCU_{d.upper()}_HANDOVER_SOCKET=(\S+)", daemons).group(1)
        assert f"OCU_SANDBOXD_{d.upper()}_SOCKET={path}\n" in sandboxd
        assert re.search(rf"^d {re.escape(str(pathlib.PurePath(path).parent))}\s+0755\s+ocu-{d}\s+ocu-{d}\s", made, re.M)
