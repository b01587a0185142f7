"""The Python-based backend ``onnxruntime`` in a real Triton."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from cardiomesh.local import Mesh

pytestmark = pytest.mark.mesh

TARGET_CONFIG = """
max_batch_size: 8
input [
  { name: "ecg" data_type: TYPE_FP32 dims: [3, -1] },
  { name: "target" data_type: TYPE_INT64 dims: [1] reshape: { shape: [] } }
]
output [
  { name: "lead" data_type: TYPE_FP32 dims: [-1] },
  { name: "doubled" data_type: TYPE_FP32 dims: [3, -1] }
]
instance_group [{ kind: KIND_CPU count: 1 }]
dynamic_batching { max_queue_delay_microseconds: 50000 }
parameters { key: "execution_mode" value: { string_value: "1" } }
parameters { key: "enable_mem_arena" value: { string_value: "0" } }
optimization { graph { level: -1 } }
"""
ENSEMBLE = """
name: "ensemble"
platform: "ensemble"
max_batch_size: 16
input [{ name: "ecg" data_type: TYPE_FP32 dims: [3, 8] }]
output [{ name: "first" data_type: TYPE_FP32 dims: [5] }, { name: "second" data_type: TYPE_FP32 dims: [5] }]
ensemble_scheduling { step [
  { model_name: "linear" model_version: -1 input_map { key: "ecg" value: "ecg" }
    output_map { key: "statements" value: "first" } },
  { model_name: "other" model_version: -1 input_map { key: "ecg" value: "ecg" }
    output_map { key: "statements" value: "second" } }
] }
"""


def target_graph() -> onnx.GraphProto:
    """``lead[b] = ecg[b, target[b]]``, ``doubled = 2 ecg``; a target that is no lead fails the whole run."""
    return helper.make_graph(
        [
            helper.make_node("Constant", [], ["axis"], value_ints=[1]),
            helper.make_node("Unsqueeze", ["target", "axis"], ["index"]),
            helper.make_node("GatherND", ["ecg", "index"], ["lead"], batch_dims=1),
            helper.make_node("Add", ["ecg", "ecg"], ["doubled"]),
        ],
        "target",
        [
            helper.make_tensor_value_info("ecg", TensorProto.FLOAT, ["batch", 3, "samples"]),
            helper.make_tensor_value_info("target", TensorProto.INT64, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("lead", TensorProto.FLOAT, ["batch", "samples"]),
            helper.make_tensor_value_info("doubled", TensorProto.FLOAT, ["batch", 3, "samples"]),
        ],
    )


@pytest.fixture(scope="module")
def repository(
    tmp_path_factory: pytest.TempPathFactory,
    save: Callable[[Path, str, str, onnx.GraphProto], Path],
    linear_graph: onnx.GraphProto,
    linear_config: str,
) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name in ("linear", "other"):
        save(root, name, linear_config, linear_graph)
    save(root, "target", TARGET_CONFIG, target_graph())
    save(
        root,
        "unbatched",
        linear_config.replace("max_batch_size: 16", "max_batch_size: 0")
        .split("dynamic_batching")[0]
        .replace("dims: [3, 8]", "dims: [-1, 3, 8]")
        .replace("dims: [5]", "dims: [-1, 5]"),
        linear_graph,
    )
    for name, digest in (("signed", None), ("forged", "0" * 64)):
        model = save(root, name, linear_config, linear_graph)
        right = hashlib.sha256(model.read_bytes()).hexdigest()
        card = {"artifacts": {f"{name}/1/model.onnx": {"sha256": digest or right}}}
        model.with_name("card.json").write_text(json.dumps(card))
    shared = save(root, "shared", linear_config, linear_graph)
    separate = onnx.load(shared)
    onnx.save(separate, shared, save_as_external_data=True, location="weights.bin", size_threshold=0)
    save(root, "misdescribed", linear_config.replace("dims: [5]", "dims: [6]"), linear_graph)
    save(root, "misnamed", linear_config.replace('"ecg"', '"signal"'), linear_graph)
    (root / "ensemble" / "1").mkdir(parents=True)
    (root / "ensemble" / "config.pbtxt").write_text(ENSEMBLE)
    return root


@pytest.fixture(scope="module")
def mesh(repository: Path, runtime_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    directory = tmp_path_factory.mktemp("mesh")
    with Mesh(repository, runtime_dir, directory=directory, parts=("triton",)) as running:
        yield running


@pytest.fixture
def client(mesh: Mesh) -> Iterator[Any]:
    with triton.InferenceServerClient(mesh.addresses.triton) as connected:
        yield connected


def ask(client: Any, model: str, **inputs: np.ndarray[Any, Any]) -> Any:
    types = {"float32": "FP32", "int64": "INT64"}
    tensors = []
    for name, value in inputs.items():
        tensors.append(triton.InferInput(name, value.shape, types[str(value.dtype)]))
        tensors[-1].set_data_from_numpy(value)
    return client.infer(model, tensors)


def in_process(repository: Path, model: str, **inputs: np.ndarray[Any, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(str(repository / model / "1" / "model.onnx"))
    return list(session.run(None, inputs))


def ecg(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("model", ["linear", "signed", "unbatched", "shared"])
@pytest.mark.parametrize("rows", [1, 2, 16])
def test_outputs_are_those_of_onnx_runtime(client: Any, repository: Path, model: str, rows: int) -> None:
    signal = ecg(rows, 3, 8, seed=rows)
    got = ask(client, model, ecg=signal).as_numpy("statements")
    assert got.shape == (rows, 5)
    np.testing.assert_allclose(got, in_process(repository, model, ecg=signal)[0], rtol=1e-5, atol=1e-6)


def test_several_inputs_and_outputs_and_a_reshaped_one(client: Any) -> None:
    signal = ecg(4, 3, 20)
    target = np.array([[2], [0], [1], [1]], dtype=np.int64)
    answer = ask(client, "target", ecg=signal, target=target)
    np.testing.assert_array_equal(answer.as_numpy("lead"), signal[np.arange(4), target[:, 0]])
    np.testing.assert_array_equal(answer.as_numpy("doubled"), 2 * signal)


def test_only_the_requested_output_comes_back(client: Any) -> None:
    signal, target = ecg(1, 3, 4), np.array([[1]], dtype=np.int64)
    inputs = [triton.InferInput("ecg", signal.shape, "FP32"), triton.InferInput("target", target.shape, "INT64")]
    inputs[0].set_data_from_numpy(signal)
    inputs[1].set_data_from_numpy(target)
    answer = client.infer("target", inputs, outputs=[triton.InferRequestedOutput("lead")])
    np.testing.assert_array_equal(answer.as_numpy("lead"), signal[:, 1])
    assert answer.as_numpy("doubled") is None


def together(count: int, call: Callable[[int], Any]) -> list[Any]:
    """``call(0..count-1)`` from as many threads, released at the same moment; errors are returned."""
    barrier = Barrier(count)

    def one(index: int) -> Any:
        barrier.wait()
        try:
            return call(index)
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_concurrent_requests_share_runs_and_get_their_own_answers(client: Any, repository: Path) -> None:
    signals = [ecg(1, 3, 8, seed=100 + index) for index in range(16)]
    answers = together(16, lambda index: ask(client, "linear", ecg=signals[index]).as_numpy("statements"))
    for signal, answer in zip(signals, answers, strict=True):
        np.testing.assert_allclose(answer, in_process(repository, "linear", ecg=signal)[0], rtol=1e-5, atol=1e-6)
    statistics = client.get_inference_statistics("linear", as_json=True)["model_stats"][0]
    assert max(int(batch["batch_size"]) for batch in statistics["batch_stats"]) > 1


def test_a_bad_neighbour_in_the_batch_fails_alone(client: Any) -> None:
    """The seventh lead of a three-lead signal: ONNX Runtime refuses the whole batch, the backend only that request."""
    signals = [ecg(1, 3, 6, seed=index) for index in range(8)]
    targets = [np.array([[7 if index == 3 else index % 3]], dtype=np.int64) for index in range(8)]
    answers = together(8, lambda i: ask(client, "target", ecg=signals[i], target=targets[i]).as_numpy("lead"))
    assert isinstance(answers[3], InferenceServerException)
    assert "INVALID_ARGUMENT" in str(answers[3].status())
    for index in set(range(8)) - {3}:
        np.testing.assert_array_equal(answers[index], signals[index][:, index % 3])


def test_other_shapes_in_the_same_moment_get_their_own_answers(client: Any) -> None:
    signals = [ecg(1, 3, 5 + index % 2, seed=index) for index in range(8)]
    target = np.zeros((1, 1), dtype=np.int64)
    answers = together(8, lambda i: ask(client, "target", ecg=signals[i], target=target).as_numpy("doubled"))
    for signal, answer in zip(signals, answers, strict=True):
        np.testing.assert_array_equal(answer, 2 * signal)


def test_a_wrong_shape_is_the_callers_mistake_and_fails_alone(client: Any, repository: Path) -> None:
    signals = [ecg(1, 3, 7 if index == 2 else 8, seed=index) for index in range(6)]
    answers = together(6, lambda i: ask(client, "linear", ecg=signals[i]).as_numpy("statements"))
    assert isinstance(answers[2], InferenceServerException)
    assert "INVALID_ARGUMENT" in str(answers[2].status())
    for index in set(range(6)) - {2}:
        expected = in_process(repository, "linear", ecg=signals[index])[0]
        np.testing.assert_allclose(answers[index], expected, rtol=1e-5, atol=1e-6)


def test_ensembles_run_over_such_models(client: Any, repository: Path) -> None:
    signal = ecg(3, 3, 8, seed=9)
    answer = ask(client, "ensemble", ecg=signal)
    for output in ("first", "second"):
        expected = in_process(repository, "linear", ecg=signal)[0]
        np.testing.assert_allclose(answer.as_numpy(output), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("forged", "its card.json says 0000"),
        ("misdescribed", "output 'statements' is (-1, 5) in the graph, not (-1, 6)"),
        ("misnamed", "no input 'signal'; it has ecg"),
    ],
)
def test_a_model_that_must_not_be_served_is_not_and_says_why(mesh: Mesh, client: Any, model: str, reason: str) -> None:
    status = mesh.status()
    assert status.state == "degraded"
    assert status.models["linear:1"] == "READY"
    assert reason in status.models[f"{model}:1"]
    assert not client.is_model_ready(model)
    assert client.is_server_ready()


def test_two_tritons_live_side_by_side(mesh: Mesh, linear_repository: Path, runtime_dir: Path, tmp_path: Path) -> None:
    with (
        Mesh(linear_repository, runtime_dir, directory=tmp_path, parts=("triton",)) as second,
        triton.InferenceServerClient(second.addresses.triton) as other,
        triton.InferenceServerClient(mesh.addresses.triton) as first,
    ):
        signal = ecg(1, 3, 8)
        a, b = (ask(client, "linear", ecg=signal).as_numpy("statements") for client in (first, other))
        np.testing.assert_array_equal(a, b)
