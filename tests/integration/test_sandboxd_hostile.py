"""Guests that answer garbage, flood, lie, stall or vanish on their control channel: each costs only itself.
shows: NFR-SEC-36, NFR-SEC-43, NFR-SEC-46, NFR-SEC-47, NFR-SEC-74"""
import time

import pytest
from sandbox_world import RpcError, Sandbox, containers_left, finish, rss_mib
from stack import Stack, eventually

# Takes the agent's place. Greets, answers its token, and then does what the command says.
AGENT = r"""#!/usr/bin/python3
import array, os, signal, socket, struct, time
for fd in (0, 1):
    os.set_blocking(fd, True)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))

def say(b):
    while b:
        b = b[os.write(1, b):]

def frame(b):
    return struct.pack("<I", len(b)) + b

def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])

def read(n):
    b = b""
    while len(b) < n:
        more = os.read(0, n - len(b))
        if not more:
            os._exit(0)
        b += more
    return b

def request():
    b = read(struct.unpack("<I", read(4))[0])
    n, shift, i = 0, 0, 1
    while True:
        n |= (b[i] & 127) << shift
        if b[i] < 128:
            return n, b[i + 1:]
        shift, i = shift + 7, i + 1

if GREET:
    say(frame(b"\x22\x02\x08\x01"))
while True:
    n, b = request()
    me = b"\x08" + varint(n)
    if b[0] != 0x12:  # no run: the token, whose letters are random
        say(frame(me))
        continue
    said = me + b"\x2a\x06\x22\x04yes\n"
    if b"GARBAGE" in b:
        say(os.urandom(1 << 16))
    elif b"FLOOD" in b:
        while True:
            say(frame(me + b"\x22\x02\x08\x01") * 1000)
    elif b"UNASKED" in b:
        say(frame(b"\x08" + varint(n + 1000) + b"\x2a\x00"))
    elif b"OTHER" in b:
        say(frame(me + b"\x32\x02\x18\x01"))
    elif b"TWICE" in b:
        say(frame(said) * 2)
    elif b"LONG" in b:
        say(struct.pack("<I", 0x7fffffff))
    elif b"PROMISE" in b:
        say(struct.pack("<I", 1 << 20) + b"x")
    elif b"LARGE" in b:
        say(frame(me + b"\x2a" + varint((3 << 20) + 5) + b"\x22" + varint(3 << 20) + b"x" * (3 << 20)))
    elif b"SILENT" in b:
        pass
    elif b"SPLIT" in b:
        for byte in frame(said):
            say(bytes([byte]))
            time.sleep(0.01)
    elif b"CLOSE" in b:
        os.close(1)
        time.sleep(60)
    elif b"DEAF" in b:
        os.close(0)
        time.sleep(60)
    elif b"LINGER" in b:
        # A connection that nobody reads, told to linger for days when it is closed: whoever closes it last waits. A socket to the host
        # would carry it there.
        try:
            host = socket.socket(fileno=os.dup(1))
            for _ in range(70):
                listener = socket.socket()
                listener.bind(("127.0.0.1", 0))
                listener.listen(1)
                mine = socket.create_connection(listener.getsockname())
                theirs = listener.accept()[0]
                mine.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1000000))
                mine.setblocking(False)
                try:
                    while True:
                        mine.send(b"x" * 65536)
                except BlockingIOError:
                    pass
                for held in (mine, theirs):
                    host.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [held.fileno()]))])
                    held.close()
            os._exit(0)
        except OSError as e:
            said = os.strerror(e.errno).encode()
            said = b"\x22" + varint(len(said)) + said
            say(frame(me + b"\x2a" + varint(len(said)) + said))
    elif b"EXIT" in b:
        os._exit(3)
    elif b"DENIED" in b:
        say(frame(me + b"\x10\x35\x1a\x04text"))
    elif b"WORDS" in b:
        text = b"\xff\x01\n" * 3000
        say(frame(me + b"\x10\x03\x1a" + varint(len(text)) + text))
    elif b"ODD" in b:
        say(frame(me + b"\x2a" + varint(14) + b"\x08" + varint(4000000000) + b"\x10" + varint(4000000000) + b"\x30\x05"))
    else:
        say(frame(said))
"""


@pytest.fixture(scope="module")
def hostile(upstream, tmp_path_factory):
    agent = tmp_path_factory.mktemp("agent") / "agent"
    agent.write_text(AGENT.replace("GREET", "True"))
    agent.chmod(0o755)
    config = {d: dict(v) for d, v in upstream.config.items()}
    config.setdefault("sandboxd", {})["guest_agent"] = str(agent)
    config.setdefault("operatord", {}).update(sessions_per_caller=200, sessions_total=200)
    with Stack(config) as s:
        yield s
    assert containers_left(s) == []


ENDS = ["GARBAGE", "FLOOD", "UNASKED", "OTHER", "TWICE", "LONG", "LARGE", "CLOSE", "DEAF", "EXIT", "DENIED"]


@pytest.mark.parametrize("way", ENDS)
def test_who_breaks_the_rules_is_ended(hostile, way):
    bad, good = Sandbox(hostile), Sandbox(hostile)
    container = bad.container
    before = rss_mib(hostile)
    try:
        reply = bad.run(f"RUN {way}", timeout_ms=60000, max_output=1 << 20)
        assert way == "TWICE" and reply["stdout"] == "yes\n", reply
    except RpcError as e:
        assert e.reason == "session_gone", e   # and not "timeout": it was not waited out
    eventually(lambda: container not in containers_left(hostile))
    listed = bad.listed()
    assert listed is None or (not listed["running"] and listed["why"])
    with pytest.raises(RpcError) as e:
        bad.run("RUN")
    assert e.value.reason == "session_gone"
    assert good.run("RUN")["stdout"] == "yes\n"
    assert rss_mib(hostile) - before < 30
    assert set(hostile.alive()) == set(hostile.proc)
    good.destroy()


@pytest.mark.parametrize("way", ["SILENT", "PROMISE"])
def test_who_never_answers_is_ended(hostile, way):
    bad, good = Sandbox(hostile), Sandbox(hostile)
    waiting = bad.begin_run(f"RUN {way}", timeout_ms=500)
    assert good.run("RUN")["stdout"] == "yes\n"
    with pytest.raises(RpcError) as e:
        finish(waiting)
    assert e.value.reason == "timeout"   # sandboxd's: its time, five seconds to be killed, five to say so
    eventually(lambda: bad.container not in containers_left(hostile))
    good.destroy()


def test_nothing_but_bytes_reaches_the_host(hostile):
    """Descriptors in the host's receive queue would be the host's to close, for as long as the guest likes."""
    bad, good = Sandbox(hostile), Sandbox(hostile)
    assert bad.run("RUN LINGER", timeout_ms=60000)["stdout"] == "Socket operation on non-socket"
    assert good.run("RUN")["stdout"] == "yes\n"
    bad.destroy()
    good.destroy()


def test_slow_is_not_wrong(hostile):
    s = Sandbox(hostile)
    assert s.run("RUN SPLIT")["stdout"] == "yes\n"
    s.destroy()


def test_numbers_out_of_range_stay_numbers(hostile):
    s = Sandbox(hostile)
    r = s.run("RUN ODD")
    assert 0 <= r["exit_code"] <= 255
    assert s.run("RUN")["stdout"] == "yes\n"
    s.destroy()


def test_error_texts_are_bounded(hostile):
    s = Sandbox(hostile)
    with pytest.raises(RpcError) as e:
        s.run("RUN WORDS", max_output=1 << 20)
    assert e.value.reason == "not_found" and len(e.value.text) < 1100
    s.destroy()


def test_a_guest_cannot_write_its_own_evidence(hostile):
    """What it says is recorded as what it said; who, what and when are the host's."""
    s = Sandbox(hostile)
    s.run("RUN", description="true words")
    [call] = hostile.events(session_id=s.id, action="tool.call")
    assert call["actor_id"] == "alice" and call["unmapped"]["command"] == "/bin/bash -c RUN"
    assert call["unmapped"]["description"] == "true words" and call["unmapped"]["stdout_bytes"] == 4
    s.destroy()
