"""What is wrong with a daemon's own files and host, for each of the six: it does not start, and says in one line what to change.
shows: NFR-SEC-02, NFR-SEC-37"""
import json
import re
import shutil
import socket
import subprocess

import pytest
from certificates import issue
from stack import ORDER, Stack, program, run


@pytest.fixture(scope="module")
def deployment():
    s = Stack()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def other():
    s = Stack()
    yield s
    s.stop()


@pytest.fixture
def fresh(deployment):
    """The deployment, whose keys are afterwards as they were."""
    kept = deployment.dir / "kept"
    run(["cp", "-a", deployment.etc / "pki", kept])  # with its owners
    yield deployment
    shutil.rmtree(deployment.etc / "pki")
    kept.rename(deployment.etc / "pki")


def start(s, daemon, **env):
    """(exit status, what it said) of a daemon that is not expected to run."""
    p = subprocess.run([program(f"ocu-{daemon}"), "--config", s.etc / f"{daemon}.yaml"], capture_output=True, text=True, timeout=120,
                       stdin=subprocess.DEVNULL, env={**s.env_of(daemon), **{f"OCU_{daemon}_{k}".upper(): v for k, v in env.items()}})
    return p.returncode, p.stdout + p.stderr


def reissue(s, daemon, begin, end):
    pki = s.etc / "pki"
    put(pki / daemon / "cert.pem", issue(pki, pki / daemon / "key.pem", daemon, s.dir / "issue", begin, end))


def put(path, data):
    path.write_bytes(data)


def take(s, daemon, theirs, *names):
    for name in names:
        put(s.etc / "pki" / daemon / name, (theirs / name).read_bytes())


def neighbour(daemon):
    return ORDER[(ORDER.index(daemon) + 1) % len(ORDER)]


FAULTS = {
    "no certificate": (lambda s, d, o: (s.etc / "pki" / d / "cert.pem").unlink(), "{d}/cert.pem: No such file"),
    "no key": (lambda s, d, o: (s.etc / "pki" / d / "key.pem").unlink(), "{d}/key.pem: No such file"),
    "no authority": (lambda s, d, o: (s.etc / "pki/ca.pem").unlink(), "ca.pem: No such file"),
    "a folder for a key": (lambda s, d, o: ((s.etc / "pki" / d / "key.pem").unlink(), (s.etc / "pki" / d / "key.pem").mkdir()), "{d}/key.pem"),
    "garbage": (lambda s, d, o: put(s.etc / "pki" / d / "cert.pem", b"garbage"), "{d}/cert.pem is not usable PEM"),
    "a garbage key": (lambda s, d, o: put(s.etc / "pki" / d / "key.pem", b"garbage"), "{d}/key.pem is not usable PEM"),
    "a key open to all": (lambda s, d, o: (s.etc / "pki" / d / "key.pem").chmod(0o644), "{d}/key.pem.*0600"),
    "another's certificate": (lambda s, d, o: take(s, d, s.etc / "pki" / neighbour(d), "cert.pem"), "{d}/key.pem is not the key of .*{d}/cert.pem"),
    "another's identity": (lambda s, d, o: take(s, d, s.etc / "pki" / neighbour(d), "cert.pem", "key.pem"),
                           "{d}/cert.pem is the certificate of {neighbour}"),
    "another deployment": (lambda s, d, o: take(s, d, o.etc / "pki" / d, "cert.pem", "key.pem"), "{d}/cert.pem does not verify against the CA"),
    "expired": (lambda s, d, o: reissue(s, d, "20200101000000Z", "20210101000000Z"), "{d}/cert.pem.*has expired.*(occ init).*clock"),
    "of the future": (lambda s, d, o: reissue(s, d, "20900101000000Z", "20910101000000Z"), "{d}/cert.pem.*not yet valid.*set this host's clock"),
    "a token key nobody knows": (lambda s, d, o: take(s, d, o.etc / "pki" / d, "token.key"), "token.key is not in internal-jwks.json"),
}


def secrets(pki):
    for path in pki.rglob("*.key"):
        if path.is_file():
            yield path.read_bytes()


@pytest.mark.parametrize("daemon", ORDER)
@pytest.mark.parametrize("fault", FAULTS)
def test_keys_that_will_not_do(fresh, other, daemon, fault):
    make, words = FAULTS[fault]
    make(fresh, daemon, other)
    status, said = start(fresh, daemon)
    assert status == 78, said
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines] == ["daemon.fatal"] and len(said) < 2048
    assert re.search(words.format(d=daemon, neighbour=neighbour(daemon)), lines[0]["error"]), said
    assert "PRIVATE" not in said and not any(s[30:70].decode("latin-1") in said for s in secrets(fresh.etc / "pki"))


@pytest.mark.parametrize("daemon", ORDER)
@pytest.mark.parametrize("env,words", [
    ({"log_level": "loud"}, "OCU_{D}_LOG_LEVEL.*debug.info.warn.error"),
    ({"trust_domain": "elsewhere.example"}, "{d}/cert.pem is not for trust domain elsewhere.example"),
])
def test_values_that_will_not_do(deployment, daemon, env, words):
    status, said = start(deployment, daemon, **env)
    assert status in (1, 78) and re.search(words.format(d=daemon, D=daemon.upper()), said), said


@pytest.mark.parametrize("daemon", ORDER)
def test_an_unknown_setting(deployment, daemon, tmp_path):
    path = tmp_path / "conf.yaml"
    path.write_text((deployment.etc / f"{daemon}.yaml").read_text() + "\nlisten_to: everybody\n")
    p = subprocess.run([program(f"ocu-{daemon}"), "--config", path], capture_output=True, text=True, timeout=120)
    assert p.returncode == 78 and re.search(rf"{path}:\d+.*listen_to", p.stderr), p


PORTS = {"gateway": 8080, "operatord": 9201, "brokerd": 9401, "sandboxd": 9301, "egressd": 9501, "auditd": 9601}


@pytest.mark.parametrize("daemon", ORDER)
def test_a_port_in_use(deployment, daemon):
    """With what it needs running, so that nothing else can be the reason."""
    needs = ORDER[:ORDER.index(daemon)]
    if needs:
        deployment.start(*needs)
    try:
        with socket.create_server(("127.0.0.1", PORTS[daemon])):
            status, said = start(deployment, daemon)
        assert status == 1 and re.search(rf"127\.0\.0\.1:{PORTS[daemon]}.*([Aa]ddress|[Ii]n use)", said), said
    finally:
        for d in reversed(needs):
            deployment.kill(d, 15)


@pytest.mark.parametrize("daemon", ["auditd", "operatord", "brokerd"])
def test_a_read_only_state_folder(deployment, daemon):
    """The three that keep something; of the others there is only the clock's floor, and they say that they could not save it."""
    state = deployment.dir / "state"
    (state / daemon).mkdir(mode=0o700, parents=True, exist_ok=True)
    run(["mount", "--bind", state, state])
    run(["mount", "-o", "remount,bind,ro", state])
    try:
        status, said = start(deployment, daemon)
    finally:
        run(["umount", state])
    assert status == 1 and re.search(rf"{state}.*Read-only file system", said), said


def test_no_user_namespaces():
    """Off for a namespace of the test's own, so that the host keeps its."""
    def probe(prepare):
        # The second shell has the rights of root there, which the first, begun before its uid was mapped, has not.
        p = subprocess.Popen(["unshare", "--user", "bash", "-ec", f"echo; read -r; exec bash -ec '{prepare}; exec {program('ocu-sandboxd')} --probe'"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        p.stdout.readline()
        for what in ("uid_map", "gid_map"):
            with open(f"/proc/{p.pid}/{what}", "w") as f:
                f.write("0 0 4294967295")
        out, _ = p.communicate("go\n", timeout=120)
        return p.returncode, " ".join(out.split())
    _, out = probe("true")
    assert "has guest" in out, out
    status, out = probe("echo 0 >/proc/sys/user/max_user_namespaces")
    assert status == 1 and "LACKS guest" in out and "allow user namespaces (user.max_user_namespaces" in out, out
