from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.architectures import Hybrid, HybridConfig
from export.architectures.served import served_network
from export.errors import CheckpointError, ParityError
from export.formats.onnx import OPSET, compare, export_attribution, export_network, run_onnx
from export.formats.published import read_network
from export.formats.weights import STORED_SUFFIX, WEIGHTS_FILE, own_name, write_weights


def _network(seed: int) -> Hybrid:
    """As small as a network with every kind of layer can be: the exporter's time grows with the graph."""
    torch.manual_seed(seed)
    config = HybridConfig(
        stem_channels=8,
        growth=4,
        dense_layers=(1, 1),
        token_pool=20,
        gru_hidden=8,
        encoder_layers=1,
        encoder_heads=2,
        heads={"statements": 7, "rhythm": 2},
    )
    return served_network(Hybrid(config))


@pytest.fixture(scope="module")
def served() -> Hybrid:
    return _network(7)


@pytest.fixture(scope="module")
def prediction(served: Hybrid, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prediction") / "model.onnx"
    assert export_network(served, path) < 1e-5
    return path


def _shapes(values: object) -> dict[str, list[object]]:
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}  # type: ignore[attr-defined]


def _ecg(count: int) -> np.ndarray:
    return 0.3 * np.random.default_rng(1).standard_normal((count, 12, 1000)).astype(np.float32)


def test_prediction_graph(prediction: Path) -> None:
    model = onnx.load(prediction)
    onnx.checker.check_model(model, full_check=True)
    assert {e.domain: e.version for e in model.opset_import}.get("") == OPSET
    assert _shapes(model.graph.input) == {"ecg": ["batch", 12, 1000]}
    assert _shapes(model.graph.output) == {"statements": ["batch", 7], "rhythm": ["batch", 2]}


def test_an_answer_does_not_depend_on_its_neighbours(prediction: Path) -> None:
    together = run_onnx(prediction, {"ecg": _ecg(32)})
    alone = run_onnx(prediction, {"ecg": _ecg(32)[17:18]})
    for name in together:
        np.testing.assert_allclose(together[name][17:18], alone[name], rtol=1e-5, atol=1e-5)


def test_the_file_stores_halves_and_nothing_about_the_machine(prediction: Path) -> None:
    model = onnx.load(prediction)
    stored = {t.data_type for t in model.graph.initializer if np.prod(t.dims) >= 64}
    assert onnx.TensorProto.FLOAT not in stored
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b".py" not in prediction.read_bytes()


def test_the_weights_lie_in_one_file_beside_the_graph(served: Hybrid, prediction: Path) -> None:
    weights = prediction.with_name(WEIGHTS_FILE)
    assert weights.stat().st_size < 1.2 * 2 * sum(p.numel() for p in served.parameters())
    references = onnx.load(prediction, load_external_data=False).graph.initializer
    shared = {own_name(t.name): t for t in references if t.data_location == onnx.TensorProto.EXTERNAL}
    # The exporter reorders the gates of so small a GRU itself; its constants then are no parameters.
    matrices = {n for n, p in served.named_parameters() if p.ndim > 1 and p.numel() >= 64 and "gru" not in n}
    assert {f"{name}{STORED_SUFFIX}" for name in matrices} <= set(shared)
    assert {entry.value for t in shared.values() for entry in t.external_data if entry.key == "location"} == {
        WEIGHTS_FILE
    }
    kept = sum(len(t.raw_data) for t in references if t.data_location != onnx.TensorProto.EXTERNAL)
    assert kept < 5_000


def test_a_network_comes_back_from_its_file(served: Hybrid, prediction: Path) -> None:
    again = read_network(prediction, served.config)
    for name, parameter in served.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter), name


def test_a_weights_file_that_is_cut_short_is_one_line(served: Hybrid, prediction: Path, tmp_path: Path) -> None:
    shutil.copy(prediction, tmp_path / "model.onnx")
    weights = prediction.with_name(WEIGHTS_FILE).read_bytes()
    (tmp_path / WEIGHTS_FILE).write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        read_network(tmp_path / "model.onnx", served.config)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_exact_halves_are_not_shared(served: Hybrid, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not exact in half precision"):
        write_weights(served_network(Hybrid(served.config), half=False), tmp_path / WEIGHTS_FILE)


def test_a_file_that_computes_something_else_is_refused(served: Hybrid, prediction: Path) -> None:
    inputs, names = {"ecg": torch.from_numpy(_ecg(2))}, ["statements", "rhythm"]
    assert compare(prediction, served, names, inputs, 1e-4) < 1e-4
    with pytest.raises(ParityError, match="differs from the network"):
        compare(prediction, _network(8), names, inputs, 1e-4)


def test_attribution_graph_has_the_same_logits(served: Hybrid, prediction: Path, tmp_path: Path) -> None:
    attribution = tmp_path / "a.onnx"
    assert export_attribution(served, attribution) < 1e-4
    assert attribution.with_name(WEIGHTS_FILE).read_bytes() == prediction.with_name(WEIGHTS_FILE).read_bytes()
    model = onnx.load(attribution, load_external_data=False)
    assert sum(len(t.raw_data) for t in model.graph.initializer if t.data_location == 0) < 10_000
    assert _shapes(model.graph.input) == {"ecg": ["batch", 12, 1000], "target": ["batch", 9]}
    assert _shapes(model.graph.output) == {
        "statements": ["batch", 7],
        "rhythm": ["batch", 2],
        "cam": ["batch", 100],
        "gradient": ["batch", 12, 1000],
    }
    answers = run_onnx(attribution, {"ecg": _ecg(3), "target": np.eye(9, dtype=np.float32)[:3]})
    for name, value in run_onnx(prediction, {"ecg": _ecg(3)}).items():
        np.testing.assert_allclose(answers[name], value, rtol=1e-5, atol=1e-5)
