"""Integration tests run as root inside a private network and mount namespace that `make check-integration` makes, so that ports,
interfaces and firewalls of this machine are never touched."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import stack as stacks  # noqa: E402
import upstream as upstreams  # noqa: E402


def pytest_sessionstart(session):
    if os.environ.get("OCU_NETNS") != "1":
        pytest.exit("run these through `make check-integration`: they need a network namespace of their own", 2)


@pytest.fixture(scope="session")
def upstream():
    with upstreams.Upstream() as u:
        yield u


@pytest.fixture(scope="module")
def stack(upstream):
    """One deployment a test module, pass-through to one allowed host."""
    with stacks.Stack(upstream.config) as s:
        yield s


@pytest.fixture
def fresh(upstream):
    """A deployment of its own, for a test that breaks it."""
    with stacks.Stack(upstream.config) as s:
        yield s


@pytest.fixture
def mcp(stack):
    m = stack.mcp()
    yield m
    m.end()
