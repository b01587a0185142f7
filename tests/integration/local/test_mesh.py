"""Real Triton and Valkey under the supervisor: deaths, detachment, traces."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import tritonclient.grpc as triton

from cardiomesh.local import AlreadyRunning, Mesh, MeshError, MeshFailed, Step, down, status
from cardiomesh.local.state import Identity

pytestmark = pytest.mark.mesh


def infer(address: str, headers: dict[str, str] | None = None) -> Any:
    tensor = triton.InferInput("ecg", [1, 3, 8], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 3, 8), np.float32))
    with triton.InferenceServerClient(address) as client:
        return client.infer("linear", [tensor], headers=headers).as_numpy("statements")


def descendants(pid: int) -> list[Identity]:
    """Every process below this one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    below, front = [], [pid]
    while front:
        front = [child for parent in front for child in parents.get(parent, [])]
        below += front
    return [found for found in map(Identity.of, below) if found is not None]


def until(look: Callable[[], Any]) -> Any:
    while True:  # the test's own timeout ends this
        found = look()
        if found:
            return found
        time.sleep(0.05)


@pytest.fixture
def make(linear_repository: Path, runtime_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Mesh]]:
    made: list[Mesh] = []

    def build(**options: Any) -> Mesh:
        options = {"parts": ("triton", "redis"), "directory": tmp_path / "mesh"} | options
        made.append(Mesh(linear_repository, runtime_dir, **options))
        return made[-1]

    yield build
    for mesh in made:  # a failed test must not leave a detached mesh behind
        mesh.stop()


def test_killed_triton_and_valkey_come_back_where_they_were(make: Callable[..., Mesh]) -> None:
    with make() as mesh:
        before = infer(mesh.addresses.triton)
        addresses = mesh.addresses
        for name in ("triton", "redis"):
            pid = mesh.status().processes[name].pid
            assert pid is not None
            left = descendants(pid)
            os.kill(pid, signal.SIGKILL)

            def back(name: str = name) -> bool:
                seen = mesh.status()
                return seen.state == "ready" and seen.processes[name].restarts == 1

            until(back)
            assert not any(one.alive() for one in left)
        assert mesh.addresses == addresses
        np.testing.assert_array_equal(infer(mesh.addresses.triton), before)
        host, _, port = mesh.addresses.redis.partition(":")
        with redis.Redis(host=host, port=int(port)) as cache:
            assert cache.ping()
            assert cache.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
            assert cache.config_get("save") == {"save": ""}


def test_kill_9_of_the_supervisor_leaves_no_orphans(make: Callable[..., Mesh]) -> None:
    mesh = make()
    mesh.start()
    supervisor = mesh.status().supervisor
    assert supervisor is not None
    below = descendants(supervisor)
    programs = {Path(f"/proc/{one.pid}/exe").resolve().name for one in below}
    assert {"tritonserver", "triton_python_backend_stub", "valkey-server"} <= programs
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not any(one.alive() for one in below))
    assert mesh.status().state == "stopped"
    mesh.stop()


def test_the_block_ends_and_nothing_is_left(make: Callable[..., Mesh]) -> None:
    with make() as mesh:
        supervisor = mesh.status().supervisor
        assert supervisor is not None
        below = descendants(supervisor)
        regions = mesh._file.read().shared_memory  # type: ignore[union-attr]
    assert not any(one.alive() for one in below)
    assert not [region for prefix in regions for region in Path("/dev/shm").glob(f"{prefix}*")]
    with pytest.raises(MeshError, match="no mesh runs"):
        _ = mesh.addresses


def test_a_mesh_of_a_killed_test_run_goes_with_it(make: Callable[..., Mesh], tmp_path: Path) -> None:
    code = (
        "import sys, signal; from pathlib import Path; from cardiomesh.local import Mesh\n"
        "with Mesh(directory=Path(sys.argv[1]), parts=('redis',)):\n"
        "    print('up', flush=True); signal.pause()\n"
    )
    directory = tmp_path / "killed"
    with subprocess.Popen([sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        pid = status(directory=directory).processes["redis"].pid
        assert pid is not None
        valkey = Identity.of(pid)
        assert valkey is not None
        owner.kill()
    until(lambda: not valkey.alive() and status(directory=directory).state == "stopped")


def test_detached_it_holds_no_pipe_of_the_caller_and_outlives_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cardiomesh.local import Mesh\n"
        "print(Mesh(directory=Path(sys.argv[1]), parts=('redis',)).start().redis)\n"
    )
    directory = tmp_path / "mesh"
    # returns only when every copy of the pipes' write ends is closed
    caller = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", code, str(directory)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    seen = status(directory=directory)
    assert (seen.state, seen.addresses["redis"]) == ("ready", caller.stdout.strip())
    assert down(directory=directory)
    assert not down(directory=directory)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_it_runs_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import sys; from pathlib import Path; from cardiomesh.local import Mesh\n"
        "def tell(step): print(step.name, step.state, flush=True)\n"
        "Mesh(directory=Path(sys.argv[1]), parts=('redis',), progress=tell).run()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "mesh")], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        said = [owner.stdout.readline().strip()]
        while said[-1] != b"mesh ready":
            said.append(owner.stdout.readline().strip())
            assert said[-1], said
        below = descendants(owner.pid)
        assert below
        owner.send_signal(number)
        rest = owner.stdout.read().split(b"\n")
    assert owner.returncode == 0
    assert rest == [b"mesh stopping", b"redis stopped", b"mesh stopped", b""]
    assert not any(one.alive() for one in below)


def test_a_second_mesh_is_told_where_the_first_is(make: Callable[..., Mesh]) -> None:
    with make(parts=("redis",)) as mesh:
        with pytest.raises(AlreadyRunning, match=mesh.addresses.redis):
            make(parts=("redis",)).start()
        assert mesh.status().state == "ready"


def test_a_port_in_use_is_said_so(make: Callable[..., Mesh]) -> None:
    with make(parts=("redis",)) as mesh:
        port = int(mesh.addresses.redis.rpartition(":")[2])
        second = make(parts=("redis",), directory=mesh.directory.parent / "b", ports={"redis": port})
        with pytest.raises(MeshError, match=f"port {port}, wanted for redis, is in use"):
            second.start()


def test_a_service_that_cannot_start_stops_the_mesh_and_is_quoted(make: Callable[..., Mesh]) -> None:
    steps: list[Step] = []
    mesh = make(parts=("redis", "preprocessor"), environment={"CARDIOMESH_LOG_LEVEL": "LOUD"}, progress=steps.append)
    with pytest.raises(MeshFailed, match="preprocessor exited with status 2") as failure:
        mesh.start()
    assert "CARDIOMESH_LOG_LEVEL" in failure.value.message
    assert (steps[-1].name, steps[-1].state) == ("mesh", "failed")
    assert mesh.status().state == "stopped"
    assert "CARDIOMESH_LOG_LEVEL" in mesh.status().message


def test_an_empty_repository_is_said_so(make: Callable[..., Mesh], runtime_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"holds no NAME/config\.pbtxt"):
        Mesh(tmp_path, runtime_dir, directory=tmp_path / "mesh", parts=("triton",)).start()


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps the spans that Triton sends to it: OTLP/HTTP with JSON bodies."""

    spans: list[tuple[str, dict[str, Any]]]  # (service.name, span)
    arrived: threading.Event

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        assert self.path == "/v1/traces"
        for resource in body["resourceSpans"]:
            attributes = {a["key"]: a["value"].get("stringValue", "") for a in resource["resource"]["attributes"]}
            for scope in resource["scopeSpans"]:
                self.spans.extend((attributes["service.name"], span) for span in scope["spans"])
        self.arrived.set()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[type[Collector]]:
    handler = type("Handler", (Collector,), {"spans": [], "arrived": threading.Event()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


def test_tritons_spans_join_the_callers_trace(make: Callable[..., Mesh], collector: Any) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with make(parts=("triton",), environment={"CARDIOMESH_OTLP_ENDPOINT": collector.url}) as mesh:
        infer(mesh.addresses.triton)  # brings no context: is not traced
        infer(mesh.addresses.triton, headers={"traceparent": f"00-{trace}-{parent}-01"})
        assert collector.arrived.wait(60)
    assert {(service, span["traceId"]) for service, span in collector.spans} == {("triton", trace)}
    spans = {span["spanId"]: span for _, span in collector.spans}
    (compute,) = [span for span in spans.values() if span["name"] == "compute"]
    model = spans[compute["parentSpanId"]]
    top = spans[model["parentSpanId"]]
    assert (model["name"], top["name"], top["parentSpanId"]) == ("linear", "InferRequest", parent)
