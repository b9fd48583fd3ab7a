"""The reachability matrix of the rendered chart against the table of the design. Shows: NFR-SEC-52, NFR-SEC-16, NFR-SEC-22."""
import copy
import itertools

import pytest

import chart
from chart import COMPUTE, DAEMONS, NAMESPACE, daemon, of_kind, parts, pods, render
from reach import Endpoint, reached, reaches

# The design, once more and independently of the chart: who dials whom at which port (architecture.md, "Who holds what"). No daemon of a
# node for sandboxes dials another one of a node, neither its own node's nor a stranger's.
AUDIT, FEED, PULL = 9601, 9202, 9203
DESIGN = {
    ("gateway", "operatord"): {9201, FEED, PULL}, ("gateway", "sandboxd"): {9301}, ("gateway", "auditd"): {AUDIT},
    ("operatord", "sandboxd"): {9302}, ("operatord", "brokerd"): {9401}, ("operatord", "egressd"): {9501}, ("operatord", "auditd"): {AUDIT},
    ("sandboxd", "operatord"): {FEED, PULL}, ("sandboxd", "auditd"): {AUDIT},
    ("brokerd", "operatord"): {FEED, PULL}, ("brokerd", "auditd"): {AUDIT},
    ("egressd", "operatord"): {FEED, PULL}, ("egressd", "auditd"): {AUDIT},
    ("test", "gateway"): {8080},
}
PORTS = {22, 53, 443, 2379, 6443, 6514, 8080, 8443, 9190, 9191, 9192, 9193, 9194, 9195, 9201, FEED, PULL, 9301, 9302, 9401, 9443, 9444, 9501, AUDIT,
         9602, 10250}
FACES = {"mcp": ("gateway", {8080}), "files": ("brokerd", {8443}), "operator": ("operatord", {9443, 9444}), "auditor": ("auditd", {9602})}
NAMES = Endpoint("dns", {"k8s-app": "kube-dns"}, "kube-system")
STRANGERS = [Endpoint("pod of the namespace", {"app": "other"}, NAMESPACE), Endpoint("pod elsewhere", {"app": "other"}, "default"),
             Endpoint("internet"), Endpoint("metadata service", address="169.254.169.254"), Endpoint("private network", address="10.20.30.40"),
             NAMES]
CLIENT = Endpoint("client", {"app": "client"}, "agents-ns", {"team": "agents"})


def world(objects):
    return {name: Endpoint(name, pod["metadata"]["labels"], NAMESPACE) for name, pod in pods(objects).items()}


def matrix(objects, policies=None):
    policies = of_kind(objects, "NetworkPolicy") if policies is None else policies
    ends = world(objects)
    found = {}
    for a, b in itertools.permutations(ends.values(), 2):
        open_ports = reached(policies, a, b, PORTS)
        if open_ports:
            found[a.name, b.name] = open_ports
    return found


def outward(objects, policies=None):
    """{(pod, stranger): ports} of what leaves the deployment, and what enters it."""
    policies = of_kind(objects, "NetworkPolicy") if policies is None else policies
    out, into = {}, {}
    for pod, stranger in itertools.product(world(objects).values(), [*STRANGERS, CLIENT]):
        leaving = {(p, n) for p in ("TCP", "UDP") for n in reached(policies, pod, stranger, PORTS, p)}
        entering = reached(policies, stranger, pod, PORTS)
        if leaving:
            out[pod.name, stranger.name] = leaving
        if entering:
            into[stranger.name, pod.name] = entering
    return out, into


def expected(objects):
    """The design between every two pods, whichever nodes they are on."""
    return {(a, b): DESIGN[daemon(a), daemon(b)] for a, b in itertools.permutations(pods(objects), 2) if (daemon(a), daemon(b)) in DESIGN}


@pytest.mark.parametrize("row", chart.MATRIX)
def test_the_deployment_is_the_design(row):
    assert matrix(render(row)) == expected(render(row))


@pytest.mark.parametrize("row", ["minimal", "two nodes", "three nodes"])
def test_daemons_of_nodes_do_not_reach_each_other(row):
    objects = render(row)
    ends, policies = world(objects), of_kind(objects, "NetworkPolicy")
    compute = [e for e in ends.values() if daemon(e.name) in COMPUTE]
    assert len(compute) == 3 * len(chart.merged(chart.MATRIX[row])["compute"]["nodes"])
    for a, b in itertools.permutations(compute, 2):
        assert not any(reached(policies, a, b, PORTS, p) for p in ("TCP", "UDP")), (a.name, b.name)


@pytest.mark.parametrize("row", chart.MATRIX)
def test_the_gateway_never_reaches_the_operator(row):
    objects = render(row)
    ends, policies = world(objects), of_kind(objects, "NetworkPolicy")
    for port in (9443, 9444, 9302, 9501, 9401, 8443):
        for b in ends.values():
            assert not reaches(policies, ends["gateway"], b, port), (b.name, port)


@pytest.mark.parametrize("row", ["minimal", "two nodes"])
def test_nothing_leaves_or_enters_by_default(row):
    out, into = outward(render(row))
    dns = {("UDP", 53), ("TCP", 53)}
    names = {(part, "dns"): dns for part in [*parts(row), "test"] if part != "auditd"}
    # The job that makes the keys reaches the cluster's API, wherever that is, and is gone afterwards.
    jobs = {("keys", s.name): {("TCP", 443), ("TCP", 6443)} for s in [*STRANGERS, CLIENT]}
    assert out == {**names, **jobs}
    assert into == {}


def test_faces_are_open_to_who_is_named_and_nobody_else():
    objects = render("full")
    out, into = outward(objects)
    assert into == {("client", "gateway"): {8080, 9190}, ("client", "brokerd"): {8443, 9192}, ("client", "auditd"): {9602, 9195},
                    ("client", "operatord"): {9191}, ("client", "sandboxd"): {9193}, ("client", "egressd"): {9194}}
    office, policies = Endpoint("office", address="10.1.2.3"), of_kind(objects, "NetworkPolicy")
    ends = world(objects)
    assert {(e.name, n) for e in ends.values() for n in PORTS if reaches(policies, office, e, n)} == {("operatord", 9443), ("operatord", 9444)}
    siem = Endpoint("siem", address="10.9.1.1")
    assert {(e.name, n) for e in ends.values() for n in PORTS if e.name != "keys" and reaches(policies, e, siem, n)} == {("auditd", 6514)}
    bucket = Endpoint("bucket", address="10.8.1.1")
    assert {(e.name, n) for e in ends.values() for n in {7443, *PORTS} if e.name != "keys" and reaches(policies, e, bucket, n)} == {("auditd", 7443)}
    # Only the edge goes out, and not to what is inside.
    abroad = {pair for pair in out if pair[1] not in ("dns",) and pair[0] != "keys"}
    assert abroad == {("egressd", "internet")}


def test_faces_of_every_node_are_open_to_who_is_named():
    objects = render("three nodes")
    out, into = outward(objects)
    metrics = {"gateway": 9190, "operatord": 9191, "brokerd": 9192, "sandboxd": 9193, "egressd": 9194, "auditd": 9195}
    faces = {"gateway": {8080}, "brokerd": {8443}}
    assert into == {("client", part): {metrics[daemon(part)]} | faces.get(daemon(part), set()) for part in parts("three nodes")}
    assert {pair for pair in out if pair[1] != "dns" and pair[0] != "keys"} == {(f"egressd-{n}", "internet") for n in ("a", "b-2", "3")}


def selectors(policy):
    """Every selector of pods of the release in a policy: (what it says, where it stands)."""
    yield "pods", policy["spec"]["podSelector"]
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(way) or []:
            for peer in rule.get(peers, []):
                if "namespaceSelector" not in peer and "podSelector" in peer:
                    yield "peers", peer["podSelector"]


def mutated_selectors(policies):
    """Every part left out of a list, and every list left out."""
    for i, p in enumerate(policies):
        for k, (what, selector) in enumerate(selectors(p)):
            for e in selector.get("matchExpressions", []):
                for value in e["values"]:
                    changed = copy.deepcopy(p)
                    list(selectors(changed))[k][1]["matchExpressions"][0]["values"].remove(value)
                    yield f"{p['metadata']['name']}: no {value} in {what}", [*policies[:i], changed, *policies[i + 1:]]
                changed = copy.deepcopy(p)
                list(selectors(changed))[k][1].pop("matchExpressions")
                yield f"{p['metadata']['name']}: any {what}", [*policies[:i], changed, *policies[i + 1:]]


def mutations(policies):
    """Every policy dropped, every rule without its ports, without its peers, and every port moved by one."""
    for i, p in enumerate(policies):
        name = p["metadata"]["name"]
        yield f"drop {name}", policies[:i] + policies[i + 1:]

        def with_change(way, k, change, i=i, p=p):
            changed = copy.deepcopy(p)
            change(changed["spec"][way][k])
            return [*policies[:i], changed, *policies[i + 1:]]

        for way, peers in (("ingress", "from"), ("egress", "to")):
            for k, rule in enumerate(p["spec"].get(way) or []):
                for what in {"ports", peers} & rule.keys():
                    yield f"{name}: no {what}", with_change(way, k, lambda r, w=what: r.pop(w))
                for n, port in enumerate(rule.get("ports", [])):
                    yield f"{name}: port {port['port']} + 1", with_change(way, k, lambda r, n=n: r["ports"][n].update(port=r["ports"][n]["port"] + 1))


def one_sided(policies, side):
    return [{**p, "spec": {**p["spec"], "policyTypes": [t for t in p["spec"]["policyTypes"] if t == side]}} for p in policies]


@pytest.mark.parametrize("row,made,least", [("minimal", mutations, 100), ("two nodes", mutations, 100), ("two nodes", mutated_selectors, 60)])
def test_every_mutation_of_a_rule_is_seen(row, made, least):
    """A rule widened on one side changes nothing while the other side still refuses, so each side is looked at alone as well."""
    objects = render(row)

    def views(policies):
        for some in (policies, one_sided(policies, "Ingress"), one_sided(policies, "Egress")):
            yield matrix(objects, some)
            yield outward(objects, some)

    policies = of_kind(objects, "NetworkPolicy")
    want = list(views(policies))
    tried = 0
    for what, changed in made(policies):
        tried += 1
        assert any(now != then for now, then in zip(views(changed), want)), what
    assert tried > least


@pytest.mark.parametrize("a,b,port", [("sandboxd", "brokerd-b", 9401), ("sandboxd-b", "brokerd", 8443), ("sandboxd-b", "sandboxd", 9301),
                                      ("brokerd", "brokerd-b", 9401), ("egressd-b", "egressd", 9501), ("brokerd", "sandboxd", 9302)])
def test_a_way_between_nodes_fails_the_build(a, b, port):
    objects = render("two nodes")
    labels = {name: {"matchLabels": pod["metadata"]["labels"]} for name, pod in pods(objects).items()}
    ports = [{"protocol": "TCP", "port": port}]
    let = [{"metadata": {"name": "let"}, "spec": {"podSelector": labels[a], "policyTypes": ["Egress"],
                                                  "egress": [{"to": [{"podSelector": labels[b]}], "ports": ports}]}},
           {"metadata": {"name": "in"}, "spec": {"podSelector": labels[b], "policyTypes": ["Ingress"],
                                                 "ingress": [{"from": [{"podSelector": labels[a]}], "ports": ports}]}}]
    assert matrix(objects, [*of_kind(objects, "NetworkPolicy"), *let]) == {**expected(objects), (a, b): {port}}


def test_the_gateway_let_through_to_the_operator_fails_the_build():
    objects = copy.deepcopy(render("minimal"))
    for p in of_kind(objects, "NetworkPolicy"):
        for rule in [*(p["spec"].get("egress") or []), *(p["spec"].get("ingress") or [])]:
            if p["metadata"]["name"] in (f"{chart.RELEASE}-gateway-to-operatord", f"{chart.RELEASE}-operatord-from-gateway"):
                rule["ports"].append({"protocol": "TCP", "port": 9443})
    assert matrix(objects) != expected(objects)


def test_the_computation_itself():
    """Positive controls: it finds what is open, and knows what it does not."""
    a, b = Endpoint("a", {"x": "1"}, "n"), Endpoint("b", {"x": "2"}, "n")
    assert reaches([], a, b, 1)
    deny = {"metadata": {}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
    assert not reaches([deny], a, b, 1)
    allow = [{"metadata": {}, "spec": {"podSelector": {"matchLabels": {"x": "1"}}, "policyTypes": ["Egress"],
                                       "egress": [{"to": [{"podSelector": {"matchExpressions": [{"key": "x", "operator": "In", "values": ["2"]}]}}],
                                                   "ports": [{"port": 7}]}]}},
             {"metadata": {}, "spec": {"podSelector": {"matchLabels": {"x": "2"}}, "policyTypes": ["Ingress"],
                                       "ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 5, "endPort": 9}]}]}}]
    assert reaches([deny, *allow], a, b, 7)
    assert not reaches([deny, *allow], a, b, 8)
    assert not reaches([deny, *allow], b, a, 7)
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}
    out = [deny, {"metadata": {}, "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [block]}]}}]
    assert reaches(out, a, Endpoint("w"), 443)
    assert not reaches(out, a, Endpoint("i", address="10.0.0.1"), 443)


def test_design_names_every_daemon():
    assert {d for pair in DESIGN for d in pair} == {*DAEMONS, "test"}
