"""Compare what a running Triton answers with what ONNX Runtime computes in this process.

``python parity.py HOST:PORT MODEL_REPOSITORY``, with the interpreter of the Triton runtime environment (it needs
numpy and onnxruntime only). Exit 1 when any output is missing, empty or different: the embedded Triton is known to
answer with empty outputs, and no error, when its numpy is not the one its stub was built for.
"""

from __future__ import annotations

import http.client
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

#: Largest difference allowed, relative to the largest reference value (at least 1).
TOLERANCE = 1e-4
NUMPY = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
    "FP64": np.float64,
}


class Triton:
    """The KServe v2 protocol over HTTP with JSON bodies."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=120)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer, parsed; raises ``RuntimeError`` with Triton's message."""
        self._connection.request(method, path, None if body is None else json.dumps(body))
        response = self._connection.getresponse()
        answer = json.loads(response.read() or b"null")
        if response.status != 200:
            raise RuntimeError(f"{path}: {answer}")
        return answer


def compare(triton: Triton, repository: Path, name: str, version: str) -> str | None:
    """None when every output of this model is what it should be; else what is wrong with it."""
    config = triton.call("GET", f"/v2/models/{name}/versions/{version}/config")
    if config.get("backend") != "onnxruntime":
        return None
    types = {entry["name"]: entry["data_type"].removeprefix("TYPE_") for entry in config["input"]}
    if not set(types.values()) <= set(NUMPY):
        print(f"{name}:{version} not compared: its inputs cannot be sent as JSON numbers")
        return None
    model = repository / name / version / (config.get("default_model_filename") or "model.onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    symbols = {node.name: node.shape for node in session.get_inputs()}
    rows = [min(2, config["max_batch_size"])] if config["max_batch_size"] else []
    rng = np.random.default_rng(0)
    feed, inputs = {}, []
    for entry in config["input"]:
        sizes = [int(size) for size in entry["dims"]]
        if "reshape" not in entry:  # a free size may be fixed in the graph
            known = symbols[entry["name"]][len(rows) :]
            sizes = [a if a > 0 else b if isinstance(b, int) else 1 for a, b in zip(sizes, known, strict=True)]
        shape = [*rows, *sizes]
        noise = rng.standard_normal(shape) if types[entry["name"]].startswith("FP") else np.zeros(shape)
        value: Any = noise.astype(NUMPY[types[entry["name"]]])
        inner = [*rows, *map(int, entry["reshape"]["shape"])] if "reshape" in entry else shape
        feed[entry["name"]] = value.reshape(inner)
        inputs.append(
            {"name": entry["name"], "datatype": types[entry["name"]], "shape": shape, "data": value.ravel().tolist()}
        )
    answer = triton.call("POST", f"/v2/models/{name}/versions/{version}/infer", {"inputs": inputs})
    got = {output["name"]: np.asarray(output["data"]) for output in answer["outputs"]}
    wanted = [entry["name"] for entry in config["output"]]
    for output, reference in zip(wanted, session.run(wanted, feed), strict=True):
        if output not in got or got[output].size != reference.size or math.prod(reference.shape) == 0:
            size = got[output].size if output in got else 0
            return f"output {output!r} came back with {size} values instead of {reference.size}"
        expected = reference.ravel().astype(np.float64)
        error = np.abs(got[output].astype(np.float64) - expected).max()
        if not error <= TOLERANCE * max(1.0, np.abs(expected).max()):
            return f"output {output!r} differs from ONNX Runtime by {error:.2g}"
    return None


def main(address: str, repository: str) -> int:
    """Compare every model that is ready."""
    triton = Triton(address)
    wrong = 0
    for entry in triton.call("POST", "/v2/repository/index", {"ready": True}):
        problem = compare(triton, Path(repository), entry["name"], entry["version"])
        print(f"{entry['name']}:{entry['version']} {problem or 'ok'}", flush=True)
        wrong += problem is not None
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
