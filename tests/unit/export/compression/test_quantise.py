from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.compression.names import Method, Target
from export.compression.quantise import Ranges, Recipe, calibrate, quantise
from export.errors import CheckpointError, WorkshopError
from export.formats.onnx import run_onnx
from export.formats.weights import WEIGHTS_FILE


def _ecg(count: int, seed: int = 1) -> np.ndarray:
    return 0.3 * np.random.default_rng(seed).standard_normal((count, 12, 1000)).astype(np.float32)


@pytest.fixture(scope="module")
def ranges(exported: Path) -> Ranges:
    return calibrate(exported, _ecg(24), "noise")


@pytest.fixture(scope="module")
def integer(exported: Path, ranges: Ranges, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantise(exported, ranges, tmp_path_factory.mktemp("int8"))


def _steps(path: Path, target_type: int) -> list[np.ndarray]:
    """The integers that every weight becomes: weight over scale, rounded."""
    model = onnx.load(path)
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    producers = {n.output[0]: n for n in model.graph.node}

    def value(name: str) -> np.ndarray | None:
        if name in values:
            return values[name].astype(np.float32)
        node = producers.get(name)
        if node is None or node.op_type not in ("Cast", "Transpose"):
            return None
        inner = value(node.input[0])
        order = next((tuple(a.ints) for a in node.attribute if a.name == "perm"), None)
        return inner if inner is None or order is None else inner.transpose(order)

    found = []
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and values[node.input[2]].dtype == np.int8:
            weight, scale = value(node.input[0]), values[node.input[1]]
            if weight is None:
                continue
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [-1 if k == axis % weight.ndim else 1 for k in range(weight.ndim)] if scale.ndim else []
            found.append(np.rint(weight / scale.reshape(shape)))
    return found


def test_answers_stay_near_those_of_the_float_graph(exported: Path, integer: Path) -> None:
    expected, found = run_onnx(exported, {"ecg": _ecg(8, 2)}), run_onnx(integer, {"ecg": _ecg(8, 2)})
    for name, value in expected.items():
        assert np.abs(found[name] - value).max() < 0.1 * np.abs(value).max()
        assert np.abs(found[name] - value).max() > 0  # it is another computation


def test_the_weights_are_the_parents_file(exported: Path, integer: Path) -> None:
    assert integer.with_name(WEIGHTS_FILE).read_bytes() == exported.with_name(WEIGHTS_FILE).read_bytes()
    model = onnx.load(integer, load_external_data=False)
    assert any(t.data_location == TensorProto.EXTERNAL for t in model.graph.initializer)
    operators = {n.op_type for n in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "GRU"} <= operators
    assert all(node.domain in ("", "ai.onnx") for node in model.graph.node)


def test_the_gru_stays_float(integer: Path) -> None:
    model = onnx.load(integer)
    producers = {n.output[0]: n.op_type for n in model.graph.node}
    (gru,) = (n for n in model.graph.node if n.op_type == "GRU")
    assert "DequantizeLinear" not in {producers.get(name) for name in gru.input[1:]}


def test_it_is_rebuilt_byte_for_byte_from_the_kept_ranges(exported: Path, integer: Path, tmp_path: Path) -> None:
    again = quantise(exported, Ranges.read(integer.with_name("ranges.json")), tmp_path)
    assert again.read_bytes() == integer.read_bytes()


def test_weights_have_seven_bits_unless_told_otherwise(
    exported: Path, ranges: Ranges, integer: Path, tmp_path: Path
) -> None:
    seven = _steps(integer, TensorProto.INT8)
    assert len(seven) > 5
    assert max(np.abs(w).max() for w in seven) <= 64
    eight = _steps(quantise(exported, ranges, tmp_path, Recipe(reduce_range=False)), TensorProto.INT8)
    assert max(np.abs(w).max() for w in eight) > 100


def test_the_form_for_tensorrt_is_symmetric_with_float_biases(exported: Path, ranges: Ranges, tmp_path: Path) -> None:
    model = onnx.load(quantise(exported, ranges, tmp_path, Recipe(Target.TENSORRT)))
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    zero_points = [values[n.input[2]] for n in pairs]
    assert {z.dtype for z in zero_points} == {np.dtype(np.int8)}
    assert not any(z.any() for z in zero_points)


def test_a_node_can_stay_float(exported: Path, ranges: Ranges, integer: Path, tmp_path: Path) -> None:
    first = next(n.name for n in onnx.load(exported).graph.node if n.op_type == "Conv")
    count = [
        sum(n.op_type == "DequantizeLinear" for n in onnx.load(path).graph.node)
        for path in (integer, quantise(exported, ranges, tmp_path, Recipe(exclude=(first,))))
    ]
    assert count[1] < count[0]


@pytest.mark.parametrize("method", [Method.PERCENTILE, Method.ENTROPY])
def test_other_methods_see_narrower_ranges(exported: Path, ranges: Ranges, method: Method) -> None:
    other = calibrate(exported, _ecg(8), "noise", method)
    assert set(other.tensors) == set(ranges.tensors)
    assert np.mean([b - a for a, b in other.tensors.values()]) < np.mean([b - a for a, b in ranges.tensors.values()])


def test_ranges_of_another_graph_are_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkshopError, match="the ranges do not fit"):
        quantise(exported, Ranges({"nothing": (0.0, 1.0)}, "minmax", "noise", 1), tmp_path)


def test_a_node_that_does_not_exist_is_named(exported: Path, ranges: Ranges, tmp_path: Path) -> None:
    with pytest.raises(WorkshopError, match="has no node conv_99"):
        quantise(exported, ranges, tmp_path, Recipe(exclude=("conv_99",)))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tensors": {"a": [1]}}', '{"tensors": {}, "else": 1}'])
def test_a_file_without_ranges_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(WorkshopError, match="holds no activation ranges"):
        Ranges.read(tmp_path / "r.json")
    with pytest.raises(WorkshopError, match="cannot be read"):
        Ranges.read(tmp_path / "none.json")


def test_an_old_opset_is_refused(tmp_path: Path, ranges: Ranges) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["ecg"], ["y"])],
        "old",
        [helper.make_tensor_value_info("ecg", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(CheckpointError, match=r"opset 17 or newer \(found 11\)"):
        quantise(tmp_path / "m.onnx", ranges, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_ranges_are_plain_sorted_json(integer: Path, ranges: Ranges) -> None:
    values = json.loads(integer.with_name("ranges.json").read_text())
    assert list(values["tensors"]) == sorted(ranges.tensors)
    assert (values["method"], values["data"], values["records"]) == ("minmax", "noise", 24)
