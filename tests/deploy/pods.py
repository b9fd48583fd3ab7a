"""Runs rendered pods without a cluster: for each container a mount namespace with its volumes as kubelet lays them out, its user, its
capabilities and no more, a read-only root, a container's masks over /proc. A node with a name has a network of its own, with a wire to the
first one's, where all other pods are; services are names of a node's addresses, and those of one named node are not known on another. What
ends is started again, as kubelet does. For tests only: it isolates nothing that the pod's own settings do not."""
import base64
import http.client
import itertools
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import threading

from chart import BUILD, DAEMONS, NAMESPACE, RELEASE, daemon, of_kind, pods

IMAGES = pathlib.Path(os.environ.get("OCU_IMAGES", "/var/cache/ocu/images"))
MASKS = ["mount --bind /proc/sys /proc/sys", "mount -o remount,bind,ro /proc/sys", "mount --bind /dev/null /proc/keys"]


DOWN = ["gateway", "sandboxd", "egressd", "brokerd", "operatord", "auditd"]


class Node:
    """A network namespace; the first node's is the test's own. Its wire's ends are 10.77.<number>.1 and .2."""
    numbers = itertools.count(1)

    def __init__(self, name):
        self.name, self.number = name, next(Node.numbers)
        self.netns, wire = f"ocu-node-{self.number}", f"ocu-n{self.number}"
        for args in (f"netns add {self.netns}", f"link add {wire} type veth peer name eth0 netns {self.netns}",
                     f"addr add 10.77.{self.number}.1/30 dev {wire}", f"link set {wire} up", f"-n {self.netns} link set lo up",
                     f"-n {self.netns} addr add 10.77.{self.number}.2/30 dev eth0", f"-n {self.netns} link set eth0 up"):
            subprocess.run(["ip", *args.split()], check=True)

    def done(self):
        subprocess.run(["ip", "netns", "del", self.netns], check=True)


class Cluster:
    def __init__(self, objects):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ocu-pods-", dir="/var/tmp"))
        self.dir.chmod(0o755)
        self.store, self.config, self.runs, self.nodes = {}, {}, {}, {}
        self.take(objects)

    def take(self, objects):
        self.objects, self.pods = objects, pods(objects)
        self.parts = sorted((p for p in self.pods if daemon(p) in DAEMONS), key=lambda p: DAEMONS.index(daemon(p)))
        for o in of_kind(objects, "ConfigMap"):
            self.config[o["metadata"]["name"]] = {k: v.encode() for k, v in o["data"].items()}
        for name in {self.node(p) for p in self.pods} - {""} - self.nodes.keys():
            self.nodes[name] = Node(name)
        # Names of services as the cluster's name server would give them: also to pods that run already.
        for name in ["", *self.nodes]:
            known = {f"{RELEASE}-{p}": self.address(p, name) for p in self.parts}
            (self.dir / f"hosts.{name}").write_text("".join(f"{at} {s} {s}.{NAMESPACE} {s}.{NAMESPACE}.svc\n" for s, at in known.items() if at) +
                                                    "127.0.0.1 localhost\n")

    def node(self, part):
        return self.pods[part]["metadata"]["labels"].get("ocu.local/node", "")

    def address(self, part, seen_from=""):
        """Of a part's service, on a node; None where nothing leads to it."""
        there = self.node(part)
        if there == seen_from:
            return "127.0.0.1"
        if there and seen_from:
            return None
        return f"10.77.{self.nodes[there or seen_from].number}.{2 if there else 1}"

    # --- volumes ---

    def put(self, folder, path, data, mode, group):
        """One file as kubelet's atomic writer makes it: behind two links, root's, with read permission for the pod's group."""
        real = folder / "..data" / path
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_bytes(data)
        os.chown(real, 0, group or 0)
        real.chmod(mode | (0o440 if group else 0))
        top = path.split("/")[0]
        if not (folder / top).is_symlink():
            (folder / top).symlink_to(f"..data/{top}")

    def project(self, folder, source, default_mode, group):
        kind = "secret" if "secret" in source else "configMap" if "configMap" in source else None
        if kind is None:
            raise NotImplementedError(source)
        s = source[kind]
        data = (self.store if kind == "secret" else self.config)[s.get("name") or s["secretName"]]
        for item in s.get("items") or [{"key": k, "path": k} for k in data]:
            self.put(folder, item["path"], data[item["key"]], item.get("mode", s.get("defaultMode", default_mode)), group)

    def volume(self, pod, v, group):
        folder = self.dir / pod / v["name"]
        if "persistentVolumeClaim" in v:
            return self.claim(v["persistentVolumeClaim"]["claimName"], group)
        if "hostPath" in v:
            return IMAGES if v["hostPath"]["path"] == "/var/cache/ocu/images" else pathlib.Path(v["hostPath"]["path"])
        if folder.exists():
            return folder
        folder.mkdir(parents=True)
        if "emptyDir" in v:
            folder.chmod(0o777)
        elif "projected" in v:
            for s in v["projected"]["sources"]:
                self.project(folder, s, v["projected"].get("defaultMode", 0o644), group)
        else:
            self.project(folder, v, 0o644, group)
        return folder

    def claim(self, name, group):
        """fsGroup is not applied to volumes of the node's own folders, as the handover volumes are."""
        folder = self.dir / "claims" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            if "handover" not in name:
                os.chown(folder, 0, group or 0)
                folder.chmod(0o2775)
        return folder

    # --- containers ---

    def script(self, pod, spec, container):
        context, own = spec["securityContext"], container["securityContext"]
        group = context.get("fsGroup")
        volumes = {v["name"]: v for v in spec["volumes"]}
        if any(m["name"] == "state" for m in container["volumeMounts"]) and "state" not in volumes:
            volumes["state"] = {"name": "state", "persistentVolumeClaim": {"claimName": f"state-{RELEASE}-{pod}-0"}}
        etc = self.dir / pod / ".etc"
        for d in ("upper/ocu", "work"):
            (etc / d).mkdir(parents=True, exist_ok=True)
        lines = [f"mount -t overlay -o lowerdir=/etc,upperdir={etc}/upper,workdir={etc}/work none /etc",
                 f"mount --bind {self.dir}/hosts.{self.node(pod)} /etc/hosts", "mount -t tmpfs -o mode=755 none /mnt",
                 # Everything the pod does not mount is hidden: the node's own state and the test's folder.
                 f"mkdir /mnt/all && mount --bind {self.dir} /mnt/all", "mount -t tmpfs -o mode=755 none /run", "mount -t tmpfs -o mode=755 none /var/lib"]
        for m in sorted(container["volumeMounts"], key=lambda m: m["mountPath"]):
            source = str(self.volume(pod, volumes[m["name"]], group)).replace(str(self.dir), "/mnt/all")
            lines += [f"mkdir -p {m['mountPath']}" if source != "/dev/fuse" else "true", f"mount --bind {source} {m['mountPath']}"]
            if m.get("readOnly"):
                lines.append(f"mount -o remount,bind,ro {m['mountPath']}")
        lines += ["umount /mnt/all", *MASKS, "mount -o remount,bind,ro /"]
        caps = ["-all", *(f"+{c.lower()}" for c in own["capabilities"].get("add", []))]
        uid, gid = own.get("runAsUser", context["runAsUser"]), own.get("runAsGroup", context["runAsGroup"])
        assert own["capabilities"]["drop"] == ["ALL"] and own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"]
        drop = ["setpriv", "--reuid", str(uid), "--regid", str(gid), *(["--groups", str(group)] if group else ["--clear-groups"]),
                f"--bounding-set={','.join(caps)}", f"--inh-caps={','.join(caps)}", "--no-new-privs"]
        program = [str(BUILD / "bin" / pathlib.Path(container["command"][0]).name), *container["args"]]
        env = [f"{e['name']}={e['value']}" for e in container.get("env", [])]
        return "; ".join(lines) + "; exec " + shlex.join(["env", "-i", "PATH=/usr/bin:/usr/sbin", *env, *drop, *program])

    def start(self, pod, container=0, kind="containers"):
        spec = self.pods[pod]["spec"]
        script = self.script(pod, spec, spec[kind][container])
        log = open(self.dir / f"{pod}.log", "ab")
        name = self.node(pod)
        inside = ["nsenter", f"--net=/run/netns/{self.nodes[name].netns}"] if name else []
        return subprocess.Popen([*inside, "unshare", "--mount", "--propagation", "private", "bash", "-ec", script], stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log, start_new_session=True)

    def once(self, pod, timeout=120):
        """A pod that is to end: (status, log)."""
        status = self.start(pod).wait(timeout)
        return status, (self.dir / f"{pod}.log").read_text()

    def make_keys(self):
        """What the job does: its first container as rendered, then its second's secrets, read from what it prints for kubectl."""
        job = self.pods["keys"]["spec"]
        make, file = job["initContainers"][0], job["containers"][0]
        work = self.dir / "keys-work"
        work.mkdir()
        args = [a.replace("/keys/", f"{work}/") for a in make["args"]]
        subprocess.run([BUILD / "bin/occ", *args], check=True, capture_output=True)
        args = [a.replace("/keys/", f"{work}/") for a in file["args"] if a != "--apply"]
        listed = subprocess.run([BUILD / "bin/occ", *args], check=True, capture_output=True, text=True).stdout
        for o in json.loads(listed)["items"]:
            name, data = o["metadata"]["name"], o["data"]
            if o["kind"] == "Secret":
                self.store[name] = {k: base64.b64decode(v) for k, v in data.items()}
            else:
                self.config[name] = {k: v.encode() for k, v in data.items()}
        shutil.rmtree(work)

    def issue(self):
        """The secrets cert-manager would make of the rendered Certificates, signed by a CA of openssl's."""
        d = self.dir / "issuer"
        d.mkdir()
        ca, key = d / "ca.pem", d / "ca.key"
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
        subprocess.run([*new, "-keyout", key, "-out", ca, "-subj", "/CN=issuer", "-addext", "keyUsage=critical,keyCertSign",
                        "-addext", "basicConstraints=critical,CA:TRUE"], check=True, capture_output=True)
        for c in of_kind(self.objects, "Certificate"):
            spec, out = c["spec"], d / c["metadata"]["name"]
            names = [*(f"URI:{u}" for u in spec["uris"]), *(f"DNS:{n}" for n in spec["dnsNames"]), *(f"IP:{a}" for a in spec["ipAddresses"])]
            # cert-manager names no subject and marks the names critical for want of it.
            subprocess.run([*new, "-keyout", f"{out}.key", "-out", f"{out}.crt", "-CA", ca, "-CAkey", key, "-subj", "/",
                            "-addext", f"subjectAltName=critical,{','.join(names)}", "-addext", "keyUsage=critical,digitalSignature",
                            "-addext", "extendedKeyUsage=serverAuth,clientAuth", "-addext", "basicConstraints=critical,CA:FALSE"],
                           check=True, capture_output=True)
            self.store[spec["secretName"]] = {"ca.crt": ca.read_bytes(), "tls.crt": pathlib.Path(f"{out}.crt").read_bytes(),
                                              "tls.key": pathlib.Path(f"{out}.key").read_bytes()}

    # --- daemons ---

    def keep(self, part):
        run = {"stop": False, "p": self.start(part), "restarts": 0}

        def watch():
            while True:
                run["p"].wait()
                if run["stop"]:
                    return
                run["restarts"] += 1
                run["p"] = self.start(part)

        run["thread"] = threading.Thread(target=watch, daemon=True)
        run["thread"].start()
        self.runs[part] = run

    def up(self):
        for p in self.parts:
            self.keep(p)
        return self

    def apply(self, objects):
        """An upgrade: {what: parts} of the pods that are new, those replaced and those gone. Volumes of a pod go with it, claims stay."""
        was = {p: self.pods[p] for p in self.parts}
        now = pods(objects)
        gone = [p for p in was if p not in now]
        replaced = [p for p in was if p in now and now[p] != was[p]]
        for p in gone:
            self.remove(p)
        self.take(objects)
        for p in replaced:
            self.replace(p)
        new = [p for p in self.parts if p not in was]
        for p in new:
            self.keep(p)
        return {"new": set(new), "replaced": set(replaced), "gone": set(gone)}

    def remove(self, part):
        assert self.end(part) == 0
        self.runs.pop(part)["thread"].join(10)
        shutil.rmtree(self.dir / part)

    def replace(self, part):
        self.remove(part)
        self.keep(part)

    def ready(self, part):
        c = self.pods[part]["spec"]["containers"][0]
        port = next(p["containerPort"] for p in c["ports"] if p["name"] == c["readinessProbe"]["httpGet"]["port"])
        connection = http.client.HTTPConnection(self.address(part), port, timeout=5)
        try:
            connection.request("GET", c["readinessProbe"]["httpGet"]["path"])
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def all_ready(self):
        return all(self.ready(p) for p in self.parts)

    def end(self, part, restart=False):
        """SIGTERM, as kubelet sends it, and the exit status."""
        run = self.runs[part]
        run["stop"] = not restart
        p = run["p"]
        p.terminate()
        return p.wait(30)

    def down(self):
        status = {}
        for p in sorted(self.runs, key=lambda p: DOWN.index(daemon(p))):
            status[p] = self.end(p)
            self.runs[p]["thread"].join(10)
        for n in self.nodes.values():
            n.done()
        if not os.environ.get("OCU_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        return status
