"""Hosts outside the edge, in a network namespace of their own: a resolver and web servers on a public-looking address that
exists nowhere else, because this runs in a namespace without a route to anything."""
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from stack import eventually, run

NS = "ocu-upstream"
HOST = "20.30.40.1"
ADDRESS = "20.30.40.2"
OTHER = "20.30.40.3"
NAMES = {"allowed.example": ADDRESS, "other.example": OTHER, "inner.example": "127.0.0.1", "meta.example": "169.254.169.254"}


class Upstream:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ocu-up-", dir="/var/tmp"))
        self.procs = []

    def spawn(self, *args):
        log = open(self.dir / "log", "ab")
        self.procs.append(subprocess.Popen(["ip", "netns", "exec", NS, *map(str, args)], stdout=log, stderr=log))

    def __enter__(self):
        run(["ip", "netns", "add", NS])
        run(["ip", "link", "add", "ocu-up0", "type", "veth", "peer", "name", "up0", "netns", NS])
        run(["ip", "addr", "add", HOST + "/24", "dev", "ocu-up0"])
        run(["ip", "link", "set", "ocu-up0", "up"])
        for args in (["link", "set", "lo", "up"], ["addr", "add", ADDRESS + "/24", "dev", "up0"],
                     ["addr", "add", OTHER + "/24", "dev", "up0"], ["link", "set", "up0", "up"]):
            run(["ip", "-n", NS, *args])
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=allowed.example", "-addext", "subjectAltName=DNS:allowed.example,DNS:other.example",
             "-keyout", self.dir / "key.pem", "-out", self.dir / "cert.pem"])
        self.resolver()
        self.spawn(sys.executable, __file__, "80")
        self.spawn(sys.executable, __file__, "443", self.dir / "cert.pem", self.dir / "key.pem")
        for port in (80, 443, 53):
            eventually(lambda p=port: f":{p} " in run(["ip", "netns", "exec", NS, "ss", "-Hltn"]))
        return self

    def resolver(self):
        data = "".join(f'  local-zone: "{n}." redirect\n  local-data: "{n}. 0 IN A {a}"\n' for n, a in NAMES.items())
        (self.dir / "unbound.conf").write_text(f"""server:
  interface: {ADDRESS}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{self.dir}"
  pidfile: "{self.dir}/unbound.pid"
  use-syslog: no
  log-queries: yes
  access-control: 0.0.0.0/0 allow
  module-config: "iterator"
{data}""")
        self.spawn("unbound", "-d", "-c", self.dir / "unbound.conf")

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    @property
    def config(self):
        """For Stack: the pass-through rung with one allowed host."""
        return {"operatord": {"egress_rung": "passthrough", "egress_allow": [{"host": "allowed.example", "ports": [80, 443]}]},
                "egressd": {"resolvers": [f"{ADDRESS}:53"]}}

    def __exit__(self, *exc):
        for p in self.procs:
            p.terminate()
        for p in self.procs:
            p.wait(60)
        run(["ip", "link", "del", "ocu-up0"])  # now; the kernel ends a namespace and what is in it some time later
        run(["ip", "netns", "del", NS])
        shutil.rmtree(self.dir, ignore_errors=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"path": self.path, "host": self.headers.get("Host"), "from": self.client_address[0]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, fmt, *args):
        sys.stderr.write("http " + fmt % args + "\n")


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler)
    if len(sys.argv) > 2:
        import ssl

        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = ctx.wrap_socket(server.socket, server_side=True)
    os.environ.clear()
    server.serve_forever()
