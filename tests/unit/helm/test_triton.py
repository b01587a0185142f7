"""The arguments that the chart gives Triton, given to a real one: certificates both ways, connections with an age."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import trustme
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardiomesh.local import default_runtime_dir, parts
from cardiomesh.local.ports import free_ports
from cardiomesh.local.runtime import ensure_triton
from cardiomesh.rpc.channel import TlsFiles, dial_sync
from helm.tools.render import PERMUTATIONS, Object

ROOT = Path(__file__).resolve().parents[3]
Render = Callable[..., list[Object]]


def _ready(address: str, tls: TlsFiles | None, seconds: float = 2) -> bool:
    with dial_sync(address, tls) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return bool(stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=seconds).ready)


@pytest.fixture
def triton(render: Render, tmp_path: Path) -> Iterator[tuple[str, TlsFiles]]:
    """The address of a Triton that was started with the chart's arguments, and files to reach it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    grpc_port, http_port, metrics_port = free_ports(3)
    objects = render(*PERMUTATIONS["tls-given"], "--set", "triton.maxConnectionAgeSeconds=5")
    deployment = next(o for o in objects if o["metadata"]["name"] == "cardiomesh-triton" and o["kind"] == "Deployment")
    arguments: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    here = {
        "/models": str(ROOT / "model_repository"),
        "/tls/": f"{tmp_path}/",
        "=8001": f"={grpc_port}",
        "=8000": f"={http_port}",
        "=8002": f"={metrics_port}",
    }
    for there, place in here.items():
        arguments = [argument.replace(there, place) for argument in arguments]
    addresses = {"triton": "x:1", "triton_http": "x:2", "triton_metrics": "x:3"}
    embedded = parts.triton(ensure_triton(default_runtime_dir()), ROOT / "model_repository", addresses, tmp_path)
    # What only a Triton without an image needs: where its backend is, and shared memory of its own.
    needed = [a for a in embedded.command if "backend" in a]
    command = [embedded.command[0], *arguments, *needed]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=dict(embedded.environment), cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT
        )
    address, tls = f"localhost:{grpc_port}", TlsFiles(*(tmp_path / name for name in ("ca.crt", "tls.crt", "tls.key")))
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-2000:]
            try:
                if _ready(address, tls):
                    break
            except grpc.RpcError:
                continue
        yield address, tls
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.mesh
def test_triton_takes_the_charts_arguments(triton: tuple[str, TlsFiles]) -> None:
    address, tls = triton
    for stranger in (None, TlsFiles(tls.ca)):
        with pytest.raises(grpc.RpcError) as refused:
            _ready(address, stranger)
        assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    # The connection ends by its age while calls go on; none of them notices.
    with dial_sync(address, tls) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        end, calls = time.monotonic() + 7, 0
        while time.monotonic() < end:
            assert stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=5).ready
            calls += 1
    assert calls > 10
