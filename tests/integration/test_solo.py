"""deploy/solo/run before anything is started.
shows: NFR-IC-02"""
import pathlib
import shutil
import subprocess
import tempfile

import pytest

RUN = pathlib.Path(__file__).parents[2] / "deploy/solo/run"


@pytest.fixture
def place():
    """A folder that anybody may read, with the script and a sudo that says what it was asked for."""
    with tempfile.TemporaryDirectory() as d:
        folder = pathlib.Path(d)
        folder.chmod(0o755)
        (folder / "deploy/solo").mkdir(parents=True)
        shutil.copy(RUN, folder / "deploy/solo/run")
        (folder / "bin").mkdir()
        sudo = folder / "bin/sudo"
        sudo.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
        sudo.chmod(0o755)
        yield folder


def test_overrides_survive_sudo(place):
    env = {"PATH": f"{place}/bin:/usr/bin:/bin", "OCU_GATEWAY_LISTEN": "127.0.0.1:8090", "OCU_AUDITD_SEGMENT_SIZE": "1 MiB", "OCU_HOME": "/a",
           "OTHER": "x"}
    asked = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(place / "deploy/solo/run"), "--home", "/b c"],
                           env=env, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    assert asked[0] == "env" and asked[-4:] == ["--bin", f"{place}/build/bin", "--home", "/b c"]
    given = dict(line.split("=", 1) for line in asked[1:-5])   # the last of a name counts, to env as to dict
    assert given == {"OCU_GATEWAY_LISTEN": "127.0.0.1:8090", "OCU_AUDITD_SEGMENT_SIZE": "1 MiB", "OCU_HOME": "/b c",
                     "OCU_IMAGES": "/var/cache/ocu/images", "OCU_CALLER": "me"}
