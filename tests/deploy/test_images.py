"""The images themselves.
shows: NFR-FLEX-13, NFR-SEC-52"""
import json
import pathlib
import subprocess
import tarfile

import pytest
from docker_world import DAEMONS, IMAGES, ROOT, version

SIZE_MAX = 80 << 20


@pytest.fixture(scope="module")
def layers(docker, tmp_path_factory):
    """{digest of a layer: its files} and {image: its layers} of what `docker save` gives."""
    folder = tmp_path_factory.mktemp("save")
    docker("save", "-o", folder / "all.tar", *(f"ocu/{i}:{version()}" for i in IMAGES))
    with tarfile.open(folder / "all.tar") as t:
        t.extractall(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    return {m["RepoTags"][0].split(":")[0].split("/")[1]: [folder / p for p in m["Layers"]] for m in manifest}


def test_size_of_all_six(layers):
    files = {p.resolve() for d in DAEMONS for p in layers[d]}
    total = sum(p.stat().st_size for p in files)
    print(f"{total / (1 << 20):.1f} MiB in {len(files)} layers")
    assert total <= SIZE_MAX


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_to_log_in_to(layers, image):
    members = {}
    for layer in layers[image]:
        with tarfile.open(layer) as t:
            members |= {m.name: m for m in t.getmembers()}
    programs = {n for n, m in members.items() if m.isfile() and m.mode & 0o111 and ".so" not in pathlib.Path(n).name}
    own = {"usr/bin/occ"} if image == "occ" else {f"usr/bin/ocu-{image}"}
    assert programs == own | ({"usr/bin/crun", "usr/libexec/ocu/ocu-guest-agent"} if image == "sandboxd" else set())
    assert not [n for n, m in members.items() if m.mode & 0o6000]
    assert not [n for n, m in members.items() if m.isfile() and m.mode & 0o002]


@pytest.mark.parametrize("image", IMAGES)
def test_how_it_starts_and_says_how_it_is(docker, image):
    config = docker.inspect(f"ocu/{image}:{version()}")["Config"]
    assert config["Entrypoint"] == ["/usr/bin/occ"] if image == "occ" else [f"/usr/bin/ocu-{image}"]
    if image in DAEMONS:
        assert config["Healthcheck"]["Test"] == ["CMD", f"/usr/bin/ocu-{image}", "--health"]
        assert config["User"] == ("" if image == "sandboxd" else f"{58101 + ['gateway', 'operatord', 'brokerd', 'egressd', 'auditd'].index(image)}:"
                                  f"{58101 + ['gateway', 'operatord', 'brokerd', 'egressd', 'auditd'].index(image)}")
    said = docker("run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none", f"ocu/{image}:{version()}", "--version")
    assert said.split()[-1] == version()


@pytest.mark.parametrize("image", IMAGES)
def test_bill_of_materials(docker, image):
    doc = json.loads((ROOT / f"build/images/{image}.spdx.json").read_text())
    assert doc["spdxVersion"] == "SPDX-2.3" and doc["name"].startswith("ocu-")
    ids = {p["SPDXID"] for p in doc["packages"]}
    assert len(ids) == len(doc["packages"]) and {r["relatedSpdxElement"] for r in doc["relationships"]} <= ids
    names = {p["name"] for p in doc["packages"]}
    assert "libc6" in names and ("crun" in names) == (image == "sandboxd")


def test_the_same_tree_gives_the_same_layers(docker, tmp_path):
    first = docker.build(out=tmp_path / "a")
    second = docker.build("--no-cache", out=tmp_path / "b")
    assert {i: first[i]["layers"] for i in IMAGES} == {i: second[i]["layers"] for i in IMAGES}


def test_a_missing_key_is_told(docker):
    p = subprocess.run(["docker", "run", "--rm", "--read-only", "--tmpfs", "/var/lib/ocu:uid=58101", "--tmpfs", "/run/ocu:uid=58101",
                        f"ocu/gateway:{version()}"], env=docker.env, capture_output=True, text=True, timeout=60)
    assert p.returncode in (1, 78) and "/etc/ocu/pki" in p.stdout + p.stderr, p


def test_no_fuse_is_told(docker):
    p = subprocess.run(["docker", "run", "--rm", "--cap-drop", "ALL", f"ocu/sandboxd:{version()}", "--probe"],
                       env=docker.env, capture_output=True, text=True, timeout=60)
    assert p.returncode != 0 and "/dev/fuse" in p.stdout + p.stderr, p
