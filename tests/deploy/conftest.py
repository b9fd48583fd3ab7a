"""The deployments, on a docker daemon of their own in a network, mount and process namespace of their own (tests/support/in-netns)."""
import os
import pathlib
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "support"), str(pathlib.Path(__file__).resolve().parent)]

import docker_world  # noqa: E402
import upstream as upstreams  # noqa: E402


def pytest_sessionstart(session):
    if os.environ.get("OCU_NETNS") != "1":
        pytest.exit("run these through `make check-deploy`: they need namespaces of their own", 2)


@pytest.fixture(scope="session")
def upstream():
    with upstreams.Upstream() as u:
        yield u


@pytest.fixture(scope="session")
def docker(upstream):
    with docker_world.Docker() as d:
        d.build()
        yield d


@pytest.fixture(scope="module")
def project(docker, upstream):
    """The Compose project as it is, but for a resolver that knows the hosts outside."""
    with docker_world.Project(docker, upstream) as p:
        yield p
