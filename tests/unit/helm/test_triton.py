"""What the chart gives its containers, given to real ones as processes: Triton's arguments, the services' environment.

Certificates both ways, connections with an age, and `helm test`'s own script through all of it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
import trustme
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cardiomesh.local import default_runtime_dir, parts
from cardiomesh.local.ports import free_ports
from cardiomesh.local.runtime import ensure_triton
from cardiomesh.rpc.channel import TlsFiles, dial_sync
from gateway.identity.directory import digest_of
from helm.tools.render import PERMUTATIONS, Object

ROOT = Path(__file__).resolve().parents[3]
Render = Callable[..., list[Object]]


def _container(objects: list[Object], name: str) -> Object:
    found = next(o for o in objects if o["metadata"]["name"] == f"cardiomesh-{name}" and o["kind"] == "Deployment")
    container: Object = found["spec"]["template"]["spec"]["containers"][0]
    return container


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
    arguments: list[str] = _container(objects, "triton")["args"]
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


@pytest.mark.mesh
@pytest.mark.heavy
def test_the_charts_environment_makes_a_mesh_with_certificates_on_every_hop(
    triton: tuple[str, TlsFiles], render: Render, tmp_path: Path
) -> None:
    address, tls = triton
    objects = render(*PERMUTATIONS["tls-given"])
    names = ("preprocessor", "explainer", "gateway")
    grpc_ports, http_ports = free_ports(3), free_ports(3)
    here = dict(zip(names, (f"localhost:{port}" for port in grpc_ports), strict=True)) | {"triton": address}
    smoke = {
        "CARDIOMESH_TLS_CA": str(tls.ca),
        "CARDIOMESH_TLS_CERTIFICATE": str(tls.certificate),
        "CARDIOMESH_TLS_KEY": str(tls.key),
    }
    script = [
        sys.executable,
        "-m",
        "cardiomesh.cli",
        "watch",
        "--no-cache",
        "--timeout",
        "20",
        "--slower-than",
        "20000",
    ]
    script += ["--gateway", here["gateway"]]

    smoke["CARDIOMESH_API_KEY"] = "of-the-test"
    identities = tmp_path / "identities.json"
    identities.write_text(
        json.dumps(
            {
                "keys": [
                    {
                        "name": "smoke",
                        "sha256": digest_of("of-the-test"),
                        "tenant": "default",
                        "roles": ["clinician"],
                    }
                ]
            }
        )
    )

    def ask(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(script, env=os.environ | environment, capture_output=True, text=True, check=False)

    with ExitStack() as stack:
        for name, grpc_port, http_port in zip(names, grpc_ports, http_ports, strict=True):
            given = {v["name"]: v["value"] for v in _container(objects, name)["env"]}
            for key, value in given.items():
                if dialled := re.fullmatch(r"dns:///cardiomesh-([a-z]+)-headless\..*", value):
                    given[key] = f"dns:///{here[dialled[1]]}"
                elif value.startswith("/tls/"):
                    given[key] = str(tmp_path / value.removeprefix("/tls/"))
            given |= {
                "CARDIOMESH_GRPC_ADDRESS": f"localhost:{grpc_port}",
                "CARDIOMESH_HTTP_ADDRESS": f"127.0.0.1:{http_port}",
                "CARDIOMESH_DRAIN_DELAY_S": "0",
                "CARDIOMESH_IDENTITIES": str(identities),
            }
            if "CARDIOMESH_MODEL_REPOSITORY" in given:
                given["CARDIOMESH_MODEL_REPOSITORY"] = str(ROOT / "model_repository")
            log = stack.enter_context((tmp_path / f"{name}.log").open("w"))
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", name], env=os.environ | given, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
                )
            )
            stack.callback(process.terminate)
        deadline = time.monotonic() + 120
        while (done := ask(smoke)).returncode:
            assert time.monotonic() < deadline, done.stdout[-500:] + (tmp_path / "gateway.log").read_text()[-1500:]
        assert "explained" in done.stdout
        # The gateway of this rendering asks its callers for a certificate, too.
        assert ask({"CARDIOMESH_TLS_CA": str(tls.ca)}).returncode
        assert ask({}).returncode
