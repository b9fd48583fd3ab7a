#!/usr/bin/python3
"""The edge beside plain TCP relays: throughput through one connection and four, and the time from connect to the first
answer. Guest, edge and upstream in namespaces of their own; the relays stand where the edge stands and are reached over a
veth as the edge is. HAPROXY and NGINX name the peers' binaries; one that is missing is left out. Prints a table and, with a file
as argument, writes the rows as JSON. Runs inside `unshare --net --mount` with OCU_NETNS=1, like the tests."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from edge_world import UP, UP_NS, Upstream, World, wait_for  # noqa: E402
from stack import program, run  # noqa: E402

RUNS = int(os.environ.get("OCU_BENCH_RUNS", "5"))
PORT, NS, NEAR, FAR = 7100, "oe-bench", "21.30.50.1", "21.30.50.2"
LOAD = program("ocu-bench-edge_load")


def load(ns, *args):
    prefix = ["ip", "netns", "exec", ns] if ns else []
    return json.loads(run([*prefix, LOAD, *args]))


class Peers:
    """haproxy and nginx as they are commonly set for plain TCP, two threads or processes as the edge has."""

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ocu-bench-", dir="/var/tmp"))
        self.procs, self.ports = [], {}
        run(["ip", "netns", "add", NS])
        run(["ip", "link", "add", "oe-b0", "type", "veth", "peer", "name", "b0", "netns", NS])
        run(["ip", "addr", "add", NEAR + "/24", "dev", "oe-b0"])
        run(["ip", "link", "set", "oe-b0", "up"])
        for args in (["link", "set", "lo", "up"], ["addr", "add", FAR + "/24", "dev", "b0"], ["link", "set", "b0", "up"]):
            run(["ip", "-n", NS, *args])
        self.haproxy(os.environ.get("HAPROXY") or shutil.which("haproxy"))
        self.nginx(os.environ.get("NGINX") or shutil.which("nginx"))
        for port in self.ports.values():
            wait_for(lambda p=port: f":{p} " in run(["ss", "-Hltn"]))
        return self

    def spawn(self, name, port, *args):
        self.ports[name] = port
        with open(self.dir / "log", "ab") as log:
            self.procs.append(subprocess.Popen(args, stdout=log, stderr=log))

    def haproxy(self, binary):
        if not binary:
            return
        (self.dir / "haproxy.cfg").write_text(f"""global
  nbthread 2
  maxconn 4096
defaults
  mode tcp
  timeout client 1m
  timeout server 1m
  timeout connect 5s
frontend f
  bind {NEAR}:9001
  default_backend b
backend b
  server s {UP}:{PORT}
""")
        self.spawn("haproxy tcp", 9001, binary, "-db", "-f", str(self.dir / "haproxy.cfg"))

    def nginx(self, binary):
        if not binary:
            return
        module = os.environ.get("NGINX_STREAM")
        (self.dir / "nginx.conf").write_text(f"""{f"load_module {module};" if module else ""}
worker_processes 2;
daemon off;
pid {self.dir}/nginx.pid;
error_log {self.dir}/nginx.log;
events {{ worker_connections 4096; }}
stream {{ server {{ listen {NEAR}:9002; proxy_pass {UP}:{PORT}; }} }}
""")
        self.spawn("nginx stream", 9002, binary, "-c", str(self.dir / "nginx.conf"), "-p", str(self.dir))

    def __exit__(self, *exc):
        for p in self.procs:
            p.terminate()
            p.wait(10)
        run(["ip", "netns", "del", NS])
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    rows, measured = [], {}
    allow = [{"host": "allowed.example", "ports": [PORT]}]
    with Upstream() as up, World(up, session_connects="100000") as world, Peers() as peers, world.guest(allow=allow) as guest:
        up.spawn(LOAD, "serve", PORT)
        wait_for(lambda: f":{PORT} " in run(["ip", "netns", "exec", UP_NS, "ss", "-Hltn"]))
        ways = {"ours": (guest.ns, guest.lookup("allowed.example"), PORT), "direct": (None, UP, PORT),
                **{name: (NS, NEAR, port) for name, port in peers.ports.items()}}
        jobs = {"relay, 1 stream": ("fetch", 1 << 30, 1, "mb_s", True), "relay, 4 streams": ("fetch", 1 << 30, 4, "mb_s", True),
                "connect to answer, p50": ("setup", 2000, 1, "p50_us", False), "connections, 16 at once": ("setup", 8000, 16, "per_s", True)}
        for _ in range(RUNS):
            for job, (mode, amount, parallel, key, _) in jobs.items():
                for way, (ns, address, port) in ways.items():
                    measured.setdefault((job, way), []).append(load(ns, mode, address, port, amount, parallel)[key])
        for job, (*_, key, higher) in jobs.items():
            ours = statistics.median(measured[job, "ours"])
            for way in list(ways)[1:]:
                peer = statistics.median(measured[job, way])
                rows.append({"name": f"edge: {job}", "unit": key.rsplit("_", 1)[-1] if key != "mb_s" else "MB/s", "ours": ours, "peer": peer,
                             "peer_name": way, "ratio": round(ours / peer if higher else peer / ours, 3), "aim": None, "ok": None,
                             "runs": RUNS})
                print(f"{rows[-1]['name']:34} {ours:10.1f} {rows[-1]['unit']:5} {way:14} {peer:10.1f}  ratio {rows[-1]['ratio']:.2f}", flush=True)
    if len(sys.argv) > 1:
        pathlib.Path(sys.argv[1]).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
