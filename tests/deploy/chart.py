"""The chart, rendered by the real Helm, and how its objects are looked at."""
import json
import os
import pathlib
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/ocu"
TOOLS = ROOT / "tests/deploy/tools"
HELM = TOOLS / "node_modules/.bin/helm"
BUILD = pathlib.Path(os.environ.get("OCU_BUILD", ROOT / "build")).resolve()
DAEMONS = ["gateway", "operatord", "brokerd", "sandboxd", "egressd", "auditd"]
COMPUTE = ["brokerd", "sandboxd", "egressd"]
RELEASE, NAMESPACE = "rel", "ocu-ns"

MINIMAL = {"compute": {"nodes": [{"hostname": "worker-1"}]}}
PEER = [{"namespaceSelector": {"matchLabels": {"team": "agents"}}, "podSelector": {"matchLabels": {"app": "client"}}}]
TWO = [{"hostname": "worker-1"}, {"hostname": "worker-2", "name": "b"}]
# Each takes another branch of the templates.
MATRIX = {
    "minimal": {},
    "full": {
        "fullname": "ocu", "trustDomain": "bank.example", "image": {"registry": "registry.example/team", "pullSecrets": ["pull"]},
        "compute": {"nodes": [{"hostname": "worker-1"}], "region": "eu-central-1", "nodeSelector": {"sandboxes": "yes"},
                    "tolerations": [{"key": "sandboxes", "operator": "Exists", "effect": "NoSchedule"}]},
        "control": {"region": "eu-central-1", "nodeSelector": {"pool": "control"}},
        "access": {"mcp": PEER, "files": PEER, "operator": [{"ipBlock": {"cidr": "10.1.2.0/24"}}], "auditor": PEER, "metrics": PEER},
        "gateway": {"image": {"repository": "ocu/gateway", "digest": "sha256:" + "a" * 64}, "publicUrl": "https://tools.bank.example",
                    "service": {"type": "LoadBalancer", "annotations": {"internal": "true"}}, "state": {"size": "1Gi", "storageClass": "fast"},
                    "config": {"tool_timeout": "60s", "allowed_hosts": ["tools.bank.example"],
                               "tool_policy": [{"caller": "*", "tools": ["bash_tool"]}]}},
        "operatord": {"image": {"repository": "ocu/operatord"}, "podAnnotations": {"team": "sre"},
                      "config": {"egress_rung": "passthrough", "egress_allow": [{"host": "example.com", "ports": [443]}], "memory": "512MiB"}},
        "sandboxd": {"image": {"repository": "ocu/sandboxd"}, "seccompProfile": "profiles/ocu.json", "config": {"runtime": "crun"}},
        "collector": {"address": "siem.bank.example:6514", "secret": "siem", "clientCertificate": True, "peers": [{"ipBlock": {"cidr": "10.9.0.0/16"}}]},
        "archive": {"url": "https://s3.bank.example:7443/trail/ocu", "secret": "archive", "peers": [{"ipBlock": {"cidr": "10.8.0.0/16"}}]},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "dashboard": {"enabled": True},
    },
    "cert-manager": {"pki": {"source": "certManager", "certManager": {"issuer": "internal", "issuerKind": "ClusterIssuer"}},
                     "archive": {"url": "https://s3.bank.example/trail", "secret": "archive", "lock": "governance", "days": 30, "hotDays": 7, "peers": PEER}},
    "existing": {"pki": {"source": "existing", "prefix": "kept"}, "preflight": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    "device": {"sandboxd": {"image": {"repository": "ocu/sandboxd"}, "fuseResource": ""}},
    # The second row is what "device" becomes when a node joins it.
    "two nodes": {"compute": {"nodes": TWO}, "sandboxd": {"image": {"repository": "ocu/sandboxd"}, "fuseResource": ""}},
    "three nodes": {
        "compute": {"nodes": [{"hostname": "worker-1", "name": "a", "cordoned": True}, {"hostname": "worker-2", "name": "b-2"},
                              {"hostname": "worker-3", "name": "3", "filesUrl": "https://files-3.bank.example"}], "region": "eu-central-1"},
        "pki": {"source": "certManager", "certManager": {"issuer": "internal"}},
        "access": {"mcp": PEER, "files": PEER, "metrics": PEER}, "serviceMonitor": {"enabled": True},
        "operatord": {"image": {"repository": "ocu/operatord"}, "config": {"egress_rung": "passthrough"}},
        "collector": {"address": "siem.bank.example:6514", "secret": "siem", "clientCertificate": True, "peers": [{"ipBlock": {"cidr": "10.9.0.0/16"}}]},
    },
}


def merged(values):
    out = {k: dict(v) for k, v in MINIMAL.items()}
    for key, value in values.items():
        out[key] = {**out.get(key, {}), **value} if isinstance(value, dict) else value
    return out


def helm(*args, values=None, check=True):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(values if values is not None else MINIMAL, f)
        f.flush()
        p = subprocess.run([HELM, *args, "--values", f.name], capture_output=True, text=True, timeout=60)
    if check and p.returncode:
        raise RuntimeError(p.stderr)
    return p


def template(values=None, check=True):
    return helm("template", RELEASE, CHART, "--namespace", NAMESPACE, "--kube-version", "1.28.0", values=merged(values or {}), check=check)


def load(text):
    return list(filter(None, yaml.load_all(text, Loader=yaml.CSafeLoader)))


def objects(values=None):
    """What these values render to."""
    return load(template(values).stdout)


_rendered = {}


def render(name):
    """The objects of one row of the matrix."""
    if name not in _rendered:
        _rendered[name] = objects(MATRIX[name])
    return _rendered[name]


def of_kind(objects, *kinds):
    return [o for o in objects if o["kind"] in kinds]


def daemon(part):
    """brokerd of brokerd-b."""
    return part.split("-")[0]


def parts(row):
    """Every daemon of a row, once for each of its nodes: brokerd, brokerd-b, ..."""
    nodes = [n.get("name", "") for n in merged(MATRIX[row])["compute"]["nodes"]]
    return [f"{d}-{n}" if n and d in COMPUTE else d for d in DAEMONS for n in (nodes if d in COMPUTE else [""])]


def pods(objects):
    """{part: pod template} of everything that runs, hooks included."""
    out = {}
    for o in of_kind(objects, "StatefulSet", "DaemonSet", "Job"):
        t = o["spec"]["template"]
        out[t["metadata"]["labels"]["app.kubernetes.io/component"]] = t
    for o in of_kind(objects, "Pod"):
        out[o["metadata"]["labels"]["app.kubernetes.io/component"]] = o
    return out


def containers(pod):
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
