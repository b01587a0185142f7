"""What the chart becomes: ``helm template`` over the profiles and over values that switch each part of it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from helm.tools.binaries import find
from helm.tools.values import CHART

__all__ = ["NAMESPACE", "PERMUTATIONS", "PROFILES", "RELEASE", "HelmError", "Object", "helm", "parse", "template"]

Object = dict[str, Any]
#: libyaml's parser where PyYAML was built with it: ten times as fast.
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RELEASE: Final = "cardiomesh"
NAMESPACE: Final = "ecg"
PROFILES: Final = ("trial", "cpu", "gpu-t4", "gpu-a100", "airgapped")
#: A digest that is none: profiles that check one cannot know it.
_DIGEST: Final = ("--set-string", f"models.sha256={'ab' * 32}")

#: Each switches what no profile does, on top of the defaults.
PERMUTATIONS: Final[dict[str, tuple[str, ...]]] = {
    "defaults": (),
    "image-volume": ("--set", "models.image.mount=volume,models.subPath=model_repository"),
    "archive": (
        *("--set", "models.delivery=archive,models.archive.url=https://models.example/m.tar.gz"),
        *("--set-json", 'models.archive.egress=[{"to":[{"ipBlock":{"cidr":"192.0.2.7/32"}}]}]'),
    ),
    "pvc-subpath": ("--set", "models.delivery=pvc,models.pvc.claimName=m,models.subPath=v7"),
    "otlp": (
        *("--set", "telemetry.otlpEndpoint=http://otel.monitoring.svc:4318/"),
        *("--set-json", 'telemetry.egress=[{"to":[{"namespaceSelector":{}}],"ports":[{"port":4318}]}]'),
    ),
    "hpa-no-latency": ("--set", "autoscaling.engine=hpa,autoscaling.inferenceLatencyMs=0"),
    "keda": ("--set", "autoscaling.engine=keda,autoscaling.prometheusAddress=http://prometheus:9090"),
    "no-network-policy": ("--set", "networkPolicy.enabled=false"),
    "no-spread": ("--set-json", "topologySpread=[]"),
    "ipv6": ("--set", "listenHost=[::]"),
    "tls-given": (
        *("--set", "tls.enabled=true,tls.clientCertificates=true"),
        *("--set", ",".join(f"tls.secrets.{n}=s-{n}" for n in ("gateway", "preprocessor", "explainer"))),
        *("--set", ",".join(f"tls.secrets.{n}=s-{n}" for n in ("triton", "test"))),
    ),
    "closed-and-recorded": (
        *("--set", "gateway.identities.existingSecret.name=who,gateway.test.apiKey.existingSecret.name=smoke"),
        *("--set", "store.existingSecret.name=store"),
        *("--set-json", 'gateway.settings={"anonymous_roles":["reader"],"store_timeout_s":1.5}'),
        *("--set-json", 'store.egress=[{"to":[{"ipBlock":{"cidr":"192.0.2.8/32"}}],"ports":[{"port":5432}]}]'),
    ),
    "digests": ("--set", ",".join(f"{n}.image.digest=sha256:{'cd' * 32}" for n in ("gateway", "triton"))),
    "settings": ("--set", "gateway.settings.max_concurrent_calls=64,explainer.settings.log_level=DEBUG"),
    "load-balancer": (
        *("--set", "gateway.service.type=LoadBalancer"),
        *("--set-string", "gateway.service.annotations.example\\.org/a=b"),
    ),
    "placement": (
        *("--set", "triton.gpu.enabled=true,triton.gpu.runtimeClassName=nvidia,triton.priorityClassName=high"),
        *("--set-json", 'triton.affinity={"nodeAffinity":{}}'),
        *("--set-string", "explainer.podAnnotations.a=b"),
    ),
    "monitoring": (
        *("--set", "monitoring.serviceMonitor=true,monitoring.prometheusRule=true,monitoring.dashboards=true"),
        *("--set", "monitoring.labels.release=prometheus,valkey.enabled=true"),
    ),
    "long-name": ("--set", "fullnameOverride=an-extraordinarily-long-name-for-a-cardiomesh-release"),
}


class HelmError(Exception):
    """Helm said no; the text is what it said."""


def helm(*arguments: str) -> str:
    """Run helm, with a home of its own; returns what it printed."""
    program = find("helm")
    if program is None:
        raise FileNotFoundError("helm is not here: make helm-tools")
    with tempfile.TemporaryDirectory() as home:
        homes = {f"HELM_{kind}_HOME": home for kind in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [str(program), *arguments], capture_output=True, text=True, env=os.environ | homes, check=False
        )
    if done.returncode:
        raise HelmError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def template(
    *arguments: str, profile: str = "", kubernetes: str = "1.37.0", release: str = RELEASE, chart: Path = CHART
) -> str:
    """The rendered manifests of one set of values, the test hook included."""
    values: Sequence[str] = ("--values", str(CHART / f"values-{profile}.yaml")) if profile else ()
    place = ("--namespace", NAMESPACE, "--kube-version", kubernetes)
    return helm("template", release, str(chart), *place, *values, *_DIGEST, *arguments)


def parse(manifests: str) -> list[Object]:
    """The objects in them."""
    objects = [o for o in yaml.load_all(manifests, Loader=_Loader) if o]
    wrong = [o for o in objects if not isinstance(o, Mapping) or "kind" not in o]
    if wrong:
        raise ValueError(f"not Kubernetes objects: {wrong}")
    return objects
