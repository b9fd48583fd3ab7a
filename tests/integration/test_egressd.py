"""The edge on its own: what is allowed works, what is not is refused with its reason, and every bit of it is on the trail.
shows: NFR-SEC-08, NFR-SEC-12, NFR-SEC-17, NFR-SEC-22, NFR-SEC-27, NFR-SEC-57, NFR-FLEX-15"""
import json
import ssl

import pytest
from edge_world import EDGE, UP, Upstream, World, client_hello, recv_all, recv_exactly, wait_for


@pytest.fixture(scope="module")
def outside():
    with Upstream() as u:
        yield u


@pytest.fixture(scope="module")
def world(outside):
    with World(outside) as w:
        yield w


@pytest.fixture(scope="module")
def guest(world):
    with world.guest() as g:
        yield g


def get(s, host, path="/", extra=""):
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode())
    return reply(s)


def reply(s):
    """(status, headers, body) of one response with a length."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += recv_exactly(s, 1)
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
    return int(lines[0].split()[1]), headers, recv_exactly(s, int(headers.get("content-length", 0)))


def test_http_by_name(guest):
    with guest.to("allowed.example", 80) as s:
        for path in ("/one", "/two"):
            status, _, body = get(s, "allowed.example", path)
            assert status == 200 and json.loads(body)["head"].startswith(f"GET {path} ")
