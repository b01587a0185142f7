from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.architectures import Hybrid, HybridConfig
from export.architectures.served import served_network
from export.errors import ParityError
from export.formats.onnx import OPSET, compare, export_attribution, export_network, run_onnx


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


def test_a_file_that_computes_something_else_is_refused(served: Hybrid, prediction: Path) -> None:
    inputs, names = {"ecg": torch.from_numpy(_ecg(2))}, ["statements", "rhythm"]
    assert compare(prediction, served, names, inputs, 1e-4) < 1e-4
    with pytest.raises(ParityError, match="differs from the network"):
        compare(prediction, _network(8), names, inputs, 1e-4)


def test_attribution_graph_has_the_same_logits(served: Hybrid, prediction: Path, tmp_path: Path) -> None:
    attribution = tmp_path / "a.onnx"
    assert export_attribution(served, attribution) < 1e-4
    model = onnx.load(attribution)
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
