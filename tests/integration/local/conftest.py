"""Tiny ONNX models in a repository, and the Triton runtime environment they are served from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cardiomesh.local import default_runtime_dir

LEADS, SAMPLES, CLASSES = 3, 8, 5

Save = Callable[[str, str, onnx.GraphProto], Path]


@pytest.fixture(scope="session")
def runtime_dir() -> Path:
    """Shared with `make up`: the Triton environment is built once per checkout."""
    return default_runtime_dir()


@pytest.fixture(scope="session")
def linear_graph() -> onnx.GraphProto:
    """``statements = flatten(ecg) @ w``: every output depends on every sample of its own row only."""
    weights = np.random.default_rng(1).standard_normal((LEADS * SAMPLES, CLASSES)).astype(np.float32)
    return helper.make_graph(
        [
            helper.make_node("Flatten", ["ecg"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "w"], ["statements"]),
        ],
        "linear",
        [helper.make_tensor_value_info("ecg", TensorProto.FLOAT, ["batch", LEADS, SAMPLES])],
        [helper.make_tensor_value_info("statements", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(weights, "w")],
    )


@pytest.fixture(scope="session")
def save() -> Callable[[Path, str, str, onnx.GraphProto], Path]:
    """Write ``REPOSITORY/NAME/{config.pbtxt,1/model.onnx}``; returns the ONNX file."""

    def write(repository: Path, name: str, config: str, graph: onnx.GraphProto) -> Path:
        version = repository / name / "1"
        version.mkdir(parents=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, version / "model.onnx")
        (repository / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\n{config}')
        return version / "model.onnx"

    return write


@pytest.fixture(scope="session")
def linear_config() -> str:
    """The configuration of ``linear_graph``, batched, with a queue long enough to see batches form."""
    return f"""
max_batch_size: 16
input [{{ name: "ecg" data_type: TYPE_FP32 dims: [{LEADS}, {SAMPLES}] }}]
output [{{ name: "statements" data_type: TYPE_FP32 dims: [{CLASSES}] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
dynamic_batching {{ max_queue_delay_microseconds: 50000 }}
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }}
"""


@pytest.fixture(scope="session")
def linear_repository(
    tmp_path_factory: pytest.TempPathFactory,
    save: Callable[[Path, str, str, onnx.GraphProto], Path],
    linear_graph: onnx.GraphProto,
    linear_config: str,
) -> Path:
    """A repository with the one model ``linear``."""
    repository = tmp_path_factory.mktemp("repository")
    save(repository, "linear", linear_config, linear_graph)
    return repository
