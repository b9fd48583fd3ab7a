"""The bundle for an installation without a network, on a docker daemon that has never seen anything.
shows: NFR-FLEX-07, NFR-SEC-16"""
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from docker_world import IMAGES, ROOT, Docker, Project, version
from stack import run


@pytest.fixture(scope="module")
def bundle(docker, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle")
    run([ROOT / "deploy/bundle", "--out", out], env=docker.env)
    run(["sha256sum", "--strict", "-c", f"ocu-{version()}.tar.sha256"], cwd=out)
    run(["tar", "-xf", f"ocu-{version()}.tar"], cwd=out)
    return out / f"ocu-{version()}"


def check(folder):
    return subprocess.run(["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)


def test_checksums_cover_everything(bundle):
    assert check(bundle).returncode == 0
    listed = {line.split(maxsplit=1)[1].strip() for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    there = {str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file()}
    assert there == listed | {"SHA256SUMS"}
    assert {"images.tar.gz", "digests.txt", "compose/docker-compose.yml", "compose/seccomp-sandboxd.json", "helm/ocu/Chart.yaml",
            "docs/install-compose.md", *(f"sbom/{i}.spdx.json" for i in IMAGES)} <= listed
    assert not [f for f in listed if f.endswith((".key", ".token", ".env"))]
    path = bundle / "compose/docker-compose.yml"
    text = path.read_text()
    path.write_text(text.replace("cap_drop: [ALL]", "cap_drop: []", 1))
    assert check(bundle).returncode != 0
    path.write_text(text)


def test_an_image_that_was_not_built_here_is_refused(docker, tmp_path):
    docker("tag", f"ocu/egressd:{version()}", "ocu/kept:1")
    docker("tag", f"ocu/gateway:{version()}", f"ocu/egressd:{version()}")
    try:
        with pytest.raises(RuntimeError, match="ocu/egressd:.* is not what"):
            run([ROOT / "deploy/bundle", "--out", tmp_path], env=docker.env)
    finally:
        docker("tag", "ocu/kept:1", f"ocu/egressd:{version()}")
        docker("rmi", "ocu/kept:1")
    assert not list(tmp_path.glob("*.tar"))


def test_the_bundle_is_all_it_takes(docker, upstream, bundle):
    docker.stop()  # two daemons do not share a host's bridges
    cache = pathlib.Path(tempfile.mkdtemp(prefix="ocu-empty-docker-", dir="/var/tmp"))
    try:
        with Docker(cache) as empty:
            assert not empty("images", "-q").strip()
            empty("load", "-i", bundle / "images.tar.gz")
            for line in (bundle / "digests.txt").read_text().splitlines():
                name, digest = line.split()[:2]
                assert empty("image", "inspect", "--format", "{{.Id}}", name).strip() == digest
            with Project(empty, upstream, folder=bundle / "compose") as p:
                assert p.mcp(chat="bundle").bash("echo on") == "on\n"
                assert "verified" in p.occ("audit", "verify")
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        docker.start()
