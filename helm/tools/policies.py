"""What must hold of every rendered object, whatever the values. Each rule yields what is wrong, in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from helm.tools.render import Object

__all__ = ["broken"]

#: Somebody waits for them.
LATENCY_CRITICAL: Final = frozenset({"gateway", "preprocessor", "explainer", "triton"})
SERVICES: Final = frozenset({"gateway", "preprocessor", "explainer"})
_SECRET_NAMES: Final = re.compile(r"password|token|secret|credential|_KEY$", re.IGNORECASE)
_FILES: Final = re.compile(r"^/")


def _name(o: Object) -> str:
    return f"{o['kind']}/{o['metadata']['name']}"


def _component(o: Object) -> str:
    return str(o["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))


def _workloads(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Every object that makes pods, with the pod's spec."""
    for o in objects:
        if o["kind"] in ("Deployment", "Job", "StatefulSet", "DaemonSet"):
            yield o, o["spec"]["template"]["spec"]


def _containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def _pods(objects: list[Object]) -> Iterator[str]:
    for o, pod in _workloads(objects):
        who, context = _name(o), pod.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{who}: may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{who}: no seccomp profile"
        if pod.get("automountServiceAccountToken") is not False or pod.get("enableServiceLinks") is not False:
            yield f"{who}: a service-account token or service links are mounted"
        if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{who}: shares a namespace of the node"
        if any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield f"{who}: mounts a path of the node"
        mounted = {m["name"] for c in _containers(pod) for m in c.get("volumeMounts", [])}
        volumes = {v["name"] for v in pod.get("volumes", [])}
        if mounted != volumes:
            yield f"{who}: volumes {sorted(volumes)}, mounted {sorted(mounted)}"


def _container_rules(objects: list[Object]) -> Iterator[str]:
    for o, pod in _workloads(objects):
        for c in _containers(pod):
            who, context = f"{_name(o)} {c['name']}", c.get("securityContext", {})
            if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
                yield f"{who}: may gain privileges"
            if context.get("readOnlyRootFilesystem") is not True:
                yield f"{who}: its root file system can be written"
            if context.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{who}: keeps capabilities"
            resources = c.get("resources", {})
            if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
                yield f"{who}: requests no CPU or memory"
            if "memory" not in resources.get("limits", {}):
                yield f"{who}: has no memory limit"
            if "cpu" in resources.get("limits", {}) and _component(o) in LATENCY_CRITICAL:
                yield f"{who}: has a CPU limit, and somebody waits for it"
            image = c["image"]
            if image.endswith(":latest") or not re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", image):
                yield f"{who}: image {image} is not pinned"
            yield from _environment(who, c)


def _environment(who: str, container: Object) -> Iterator[str]:
    for variable in container.get("env", []):
        secret = _SECRET_NAMES.search(variable["name"])
        # Paths of key files are no secrets.
        if secret and "value" in variable and not _FILES.match(variable["value"]):
            yield f"{who}: {variable['name']} is given in clear"
        if re.search(r"://[^/@]+:[^/@]+@", variable.get("value", "")):
            yield f"{who}: {variable['name']} holds a password"


def _seconds_before_kill(pod: Object) -> int:
    """preStop, drain and grace of a pod's one container, in seconds."""
    container = pod["containers"][0]
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    total = int(sleep[1])
    for variable in container.get("env", []):
        if variable["name"] in ("CARDIOMESH_DRAIN_DELAY_S", "CARDIOMESH_DRAIN_GRACE_S"):
            total += int(variable["value"])
    for argument in container.get("args", []):
        if argument.startswith("--exit-timeout-secs="):
            total += int(argument.partition("=")[2])
    return total


def _rollouts(objects: list[Object]) -> Iterator[str]:
    for o, pod in _workloads(objects):
        if o["kind"] != "Deployment":
            continue
        who, spec = _name(o), o["spec"]
        if (
            spec["strategy"]["rollingUpdate"]["maxUnavailable"] != 0
            or not spec["strategy"]["rollingUpdate"]["maxSurge"]
        ):
            yield f"{who}: an upgrade takes pods away before new ones serve"
        if spec["selector"]["matchLabels"].keys() != {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
        }:
            yield f"{who}: its selector, which is immutable, holds labels that change"
        probes = pod["containers"][0]
        if not {"startupProbe", "readinessProbe", "livenessProbe"} <= probes.keys():
            yield f"{who}: lacks a probe"
        elif _component(o) in SERVICES and _asked(probes["livenessProbe"]) == _asked(probes["readinessProbe"]):
            yield f"{who}: liveness asks what readiness asks, so a dead backend restarts it"
        if _component(o) in LATENCY_CRITICAL:
            if "preStop" not in probes.get("lifecycle", {}):
                yield f"{who}: no preStop"
            if pod["terminationGracePeriodSeconds"] <= _seconds_before_kill(pod):
                yield f"{who}: is killed before it has drained"


def _asked(probe: Mapping[str, Any]) -> object:
    return probe.get("grpc") or probe.get("httpGet")


def _disruption(objects: list[Object]) -> Iterator[str]:
    covered = {_component(o) for o in objects if o["kind"] == "PodDisruptionBudget"}
    if missing := LATENCY_CRITICAL - covered:
        yield f"no PodDisruptionBudget for {', '.join(sorted(missing))}"
    for o in objects:
        if o["kind"] == "Service" and o["metadata"]["name"].endswith("-headless"):
            if o["spec"].get("clusterIP") != "None":
                yield f"{_name(o)}: is not headless, so gRPC sticks to one pod"
            if o["spec"].get("publishNotReadyAddresses"):
                yield f"{_name(o)}: names pods that are not ready"


def _dialled(objects: list[Object]) -> Iterator[str]:
    """Addresses that services dial are those of Services that exist, on ports that these have."""
    known = {
        (o["metadata"]["name"], port["port"]) for o in objects if o["kind"] == "Service" for port in o["spec"]["ports"]
    }
    for o, pod in _workloads(objects):
        for variable in (v for c in pod["containers"] for v in c.get("env", [])):
            if not re.fullmatch(r"CARDIOMESH_(TRITON|PREPROCESSOR|EXPLAINER)_ADDRESS", variable["name"]):
                continue
            dialled = re.fullmatch(r"dns:///([^.]+)\.[^:]+:(\d+)", variable["value"])
            if dialled is None or (dialled[1], int(dialled[2])) not in known:
                yield f"{_name(o)}: {variable['name']}={variable['value']} is no Service of the chart"
            elif not dialled[1].endswith("-headless"):
                yield f"{_name(o)}: {variable['name']} is dialled at a virtual address, which does not balance"


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def _network(objects: list[Object]) -> Iterator[str]:
    policies = [o for o in objects if o["kind"] == "NetworkPolicy"]
    if not policies:
        return
    for o, _ in _workloads(objects):
        labels = o["spec"]["template"]["metadata"]["labels"]
        denied = {
            kind
            for policy in policies
            if _selects(policy["spec"]["podSelector"], labels)
            for kind in policy["spec"]["policyTypes"]
        }
        if denied != {"Ingress", "Egress"}:
            yield f"{_name(o)}: traffic is not denied by default"
    callers = {"preprocessor": {"gateway"}, "explainer": {"gateway"}, "triton": {"gateway", "explainer"}}
    for component, allowed in callers.items():
        for policy in policies:
            if _component(policy) != component:
                continue
            for rule in policy["spec"].get("ingress", []):
                peers = {_peer(peer) for peer in rule["from"]}
                ports = {port["port"] for port in rule["ports"]}
                if "grpc" in ports and peers != allowed:
                    yield f"{_name(policy)}: {sorted(peers)} may call, not {sorted(allowed)}"


def _peer(peer: Mapping[str, Any]) -> str:
    labels = peer.get("podSelector", {}).get("matchLabels", {})
    if "namespaceSelector" in peer or "ipBlock" in peer:
        return "others"
    return str(labels.get("app.kubernetes.io/component", "anybody"))


def _names(objects: list[Object]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for o in objects:
        key = (o["kind"], o["metadata"]["name"])
        if key in seen:
            yield f"{_name(o)}: rendered twice"
        seen.add(key)
        if len(o["metadata"]["name"]) > 63:
            yield f"{_name(o)}: the name is longer than 63 characters"
        if o["kind"] == "Secret":
            yield f"{_name(o)}: the chart makes a secret, so its content was in the values"


def broken(objects: list[Object]) -> list[str]:
    """Every broken rule."""
    rules = (_pods, _container_rules, _rollouts, _disruption, _dialled, _network, _names)
    return [problem for rule in rules for problem in rule(objects)]
