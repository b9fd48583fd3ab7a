"""What a host lacks for sandboxes, said before anything is installed: shows NFR-FLEX-09, NFR-SEC-02."""
import contextlib
import pathlib
import subprocess

import pytest
import tempfile

from stack import program

MASKS = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && mount --bind /dev/null /proc/keys"


def probe(prepare="true", wrap=(), **env):
    """(exit status, {need: text or None}) of a probe in a mount namespace of its own, prepared by a shell."""
    args = " ".join([*wrap, program("ocu-sandboxd"), "--probe"])
    p = subprocess.run(["unshare", "--mount", "--propagation", "private", "env", *[f"{k}={v}" for k, v in env.items()],
                        "bash", "-ec", f"{prepare}; exec {args}"], capture_output=True, text=True, timeout=60)
    found = {}
    for line in p.stdout.splitlines():
        if line.startswith("has "):
            found[line.removeprefix("has ").strip()] = None
        elif line.startswith("LACKS "):
            need, _, why = line.removeprefix("LACKS ").strip().partition(": ")
            found[need] = why
    return p.returncode, found


def lacking(found):
    return {need for need, why in found.items() if why}


def test_a_host_that_has_everything():
    status, found = probe()
    assert (status, lacking(found)) == (0, set()), found
    assert len(found) == 9


@pytest.mark.parametrize("need,prepare,env,says", [
    ("/dev/fuse", "mount -t tmpfs none /dev", {}, "No such file"),
    ("runtime", "for r in crun runc; do [ ! -e /usr/bin/$r ] || mount --bind /dev/null /usr/bin/$r; "
                "[ ! -e /usr/sbin/$r ] || mount --bind /dev/null /usr/sbin/$r; done", {}, "neither crun nor runc"),
    ("image", "true", {"OCU_SANDBOXD_DEFAULT_IMAGE": "nothere"}, "nothere"),
    ("seccomp profile", "echo '{\"defaultAction\": \"SCMP_ACT_ALLOW\"}' >/dev/shm/open.json",
     {"OCU_SANDBOXD_SECCOMP_PROFILE": "/dev/shm/open.json"}, "defaultAction must refuse"),
    ("control groups", "umount -R /sys/fs/cgroup", {}, "no control groups"),
])
def test_each_thing_that_lacks_is_named(need, prepare, env, says):
    status, found = probe(prepare, **env)
    assert status == 1
    assert lacking(found) == {need}
    assert says in found[need]


def test_missing_capabilities_are_named():
    status, found = probe(wrap=["setpriv", "--bounding-set", "-net_admin,-kill", "--inh-caps", "-net_admin,-kill"])
    assert status == 1
    assert found["capabilities"] == "missing: NET_ADMIN KILL"
    assert found["network"]


def test_a_container_s_masks_over_proc_do_not_matter():
    # They do bite: a guest that came from there would have no /proc.
    p = subprocess.run(["unshare", "--mount", "--propagation", "private", "bash", "-ec",
                        f"{MASKS}; unshare --user --map-root-user --mount --pid --fork mount -t proc proc /proc"], capture_output=True)
    assert p.returncode != 0
    status, found = probe(MASKS)
    assert (status, lacking(found)) == (0, set()), found


def test_a_bad_configuration_is_a_configuration_error():
    p = subprocess.run([program("ocu-sandboxd"), "--probe"], env={"OCU_SANDBOXD_MAX_SANDBOXES": "0"}, capture_output=True, text=True)
    assert p.returncode == 78
    assert "MAX_SANDBOXES" in p.stderr


@contextlib.contextmanager
def group_of_version_2():
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    real = next((pathlib.Path(m[1]) for m in mounts if m[2] == "cgroup2"), None)
    if real is None:
        pytest.skip("this host mounts no control groups of version 2")
    group = pathlib.Path(tempfile.mkdtemp(prefix="ocu-test-", dir=real))
    try:
        yield group
    finally:
        for folder in [*group.iterdir()]:
            if folder.is_dir():
                folder.rmdir()
        group.rmdir()


def probe_in(group, below=""):
    """A namespace that shows the group as the root, mounted read-only, as a container has it; the probe runs in `below`."""
    p = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-ec",
         f"echo $$ >{group}/cgroup.procs; umount -R /sys/fs/cgroup; "
         "exec unshare --cgroup bash -ec 'mount -t cgroup2 none /sys/fs/cgroup; "
         f"if [ -n \"{below}\" ]; then mkdir /sys/fs/cgroup/{below}; echo $$ >/sys/fs/cgroup/{below}/cgroup.procs; fi; "
         "mount -o remount,bind,ro /sys/fs/cgroup; cat /sys/fs/cgroup/cgroup.type; "
         f"exec {program('ocu-sandboxd')} --probe'"], capture_output=True, text=True, timeout=60)
    assert p.stdout.startswith("domain\n"), p.stdout + p.stderr
    return p.stdout


def test_in_a_container_s_control_group_it_makes_room_for_sandboxes():
    with group_of_version_2() as group:
        said = probe_in(group)
        assert (group / "ocu-sandboxd/cgroup.procs").exists(), said
        handed_on = set((group / "cgroup.subtree_control").read_text().split())
        there = set((group / "cgroup.controllers").read_text().split())
        assert handed_on == there & {"cpu", "memory", "pids"}
        # Where version 1 holds the controllers, there is nothing to limit a sandbox with, and that is said.
        assert ("LACKS  control groups: writing /sys/fs/cgroup/cgroup.subtree_control" in said) == ("memory" not in there)


def test_the_group_of_a_service_manager_is_left_alone():
    with group_of_version_2() as group:
        said = probe_in(group, below="system.slice")
        assert "has    mount namespace" in said
        assert not (group / "ocu-sandboxd").exists()
