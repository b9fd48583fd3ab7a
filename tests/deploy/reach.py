"""Who reaches whom, computed from NetworkPolicies and pod labels as networking.k8s.io/v1 defines it: traffic passes when a policy that
selects the sender for egress allows it and one that selects the receiver for ingress does; a pod no policy selects is open."""
import ipaddress


def selects(selector, labels):
    """A label selector; {} selects everything."""
    if selector is None:
        return False
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for e in selector.get("matchExpressions", []):
        has, values = e["key"] in labels, e.get("values", [])
        ok = {"In": has and labels.get(e["key"]) in values, "NotIn": not has or labels[e["key"]] not in values, "Exists": has,
              "DoesNotExist": not has}[e["operator"]]
        if not ok:
            return False
    return True


class Endpoint:
    """A pod, or an address of the outside (labels None)."""

    def __init__(self, name, labels=None, namespace=None, namespace_labels=None, address="203.0.113.7"):
        self.name, self.labels, self.namespace, self.address = name, labels, namespace, address
        self.namespace_labels = {"kubernetes.io/metadata.name": namespace, **(namespace_labels or {})}


def peer_matches(peer, endpoint, policy_namespace):
    if "ipBlock" in peer:
        address, block = ipaddress.ip_address(endpoint.address), peer["ipBlock"]
        if endpoint.labels is not None or address not in ipaddress.ip_network(block["cidr"]):
            return False
        return not any(address in ipaddress.ip_network(x) for x in block.get("except", []))
    if endpoint.labels is None:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], endpoint.namespace_labels):
            return False
    elif endpoint.namespace != policy_namespace:
        return False
    return "podSelector" not in peer or selects(peer["podSelector"], endpoint.labels)


def port_matches(ports, protocol, number):
    if not ports:
        return True
    return any(p.get("protocol", "TCP") == protocol and ("port" not in p or p["port"] <= number <= p.get("endPort", p["port"])) for p in ports)


def rules(policies, direction, pod, other):
    """What one side lets through between the two: the ports of each rule that does; None stands for everything."""
    if pod.labels is None:
        return [None]
    mine = [p for p in policies if direction in p["spec"]["policyTypes"] and p["metadata"].get("namespace", pod.namespace) == pod.namespace
            and selects(p["spec"]["podSelector"], pod.labels)]
    if not mine:
        return [None]
    way = "from" if direction == "Ingress" else "to"
    return [rule.get("ports") for p in mine for rule in p["spec"].get(direction.lower()) or []
            if not rule.get(way) or any(peer_matches(x, other, pod.namespace) for x in rule[way])]


def reached(policies, sender, receiver, numbers, protocol="TCP"):
    """Which of these ports the sender reaches."""
    found = set(numbers)
    for direction, pod, other in (("Egress", sender, receiver), ("Ingress", receiver, sender)):
        let = rules(policies, direction, pod, other) if found else []
        found = {n for n in found if any(port_matches(ports, protocol, n) for ports in let)}
    return found


def reaches(policies, sender, receiver, number, protocol="TCP"):
    return bool(reached(policies, sender, receiver, [number], protocol))
