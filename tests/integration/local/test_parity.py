"""The check that Triton's answers are ONNX Runtime's, against a real Triton and against one that lies."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from cardiomesh.local import Mesh, parity

CONFIG = {
    "backend": "onnxruntime",
    "max_batch_size": 4,
    "input": [{"name": "ecg", "data_type": "TYPE_FP32", "dims": ["3", "8"]}],
    "output": [{"name": "statements", "data_type": "TYPE_FP32", "dims": ["5"]}],
}


class FakeTriton(http.server.BaseHTTPRequestHandler):
    """Runs the model in process, then answers as ``bend`` has it."""

    protocol_version = "HTTP/1.1"
    model: Path
    bend: Callable[[Any], Any]

    def do_GET(self) -> None:
        self._answer(CONFIG)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v2/repository/index":
            self._answer([{"name": "linear", "version": "1", "state": "READY"}])
            return
        (tensor,) = body["inputs"]
        signal = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
        (value,) = onnxruntime.InferenceSession(str(self.model)).run(None, {"ecg": signal})
        values = type(self).bend(value.ravel().tolist())
        self._answer({"outputs": [{"name": "statements", "shape": list(value.shape), "data": values}]})

    def _answer(self, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve(linear_repository: Path) -> Iterator[Callable[[Callable[[Any], Any]], str]]:
    servers: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(bend: Callable[[Any], Any]) -> str:
        model = linear_repository / "linear" / "1" / "model.onnx"
        handler = type("Handler", (FakeTriton,), {"model": model, "bend": staticmethod(bend)})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def check(address: str, repository: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(parity.__file__), address, str(repository)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("bend", "status", "said"),
    [
        (lambda values: values, 0, "linear:1 ok"),
        # what Triton 2.51 answers when its Python has numpy 2
        (lambda values: [], 1, "output 'statements' came back with 0 values instead of 10"),
        (lambda values: [*values[:-1], values[-1] + 0.01], 1, "differs from ONNX Runtime by 0.01"),
        (lambda values: [*values[5:], *values[:5]], 1, "differs from ONNX Runtime"),  # rows swapped
        (lambda values: [float("nan"), *values[1:]], 1, "differs from ONNX Runtime by nan"),
    ],
)
def test_a_server_that_lies_is_caught(
    serve: Callable[[Callable[[Any], Any]], str],
    linear_repository: Path,
    bend: Callable[[Any], Any],
    status: int,
    said: str,
) -> None:
    result = check(serve(bend), linear_repository)
    assert said in result.stdout, result.stderr
    assert result.returncode == status


@pytest.mark.mesh
def test_it_runs_whenever_triton_is_started(linear_repository: Path, runtime_dir: Path, tmp_path: Path) -> None:
    with Mesh(linear_repository, runtime_dir, directory=tmp_path / "mesh", parts=("triton",)) as mesh:
        seen = mesh.status().processes["parity"]
    assert seen.state == "done"
    assert Path(seen.log).read_text().strip() == "linear:1 ok"
