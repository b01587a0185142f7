from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.architectures import Hybrid
from export.architectures.served import served_network
from export.errors import ParityError
from export.formats import onnx as onnx_format
from export.formats.onnx import OPSET, export_attribution, export_network, run_onnx


@pytest.fixture
def served(tiny_network: Hybrid) -> Hybrid:
    return served_network(tiny_network)


def _shapes(values: object) -> dict[str, list[object]]:
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}  # type: ignore[attr-defined]


def test_prediction_graph(served: Hybrid, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert export_network(served, path) < 1e-5
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {e.domain: e.version for e in model.opset_import}.get("") == OPSET
    assert _shapes(model.graph.input) == {"ecg": ["batch", 12, 1000]}
    assert _shapes(model.graph.output) == {"statements": ["batch", 7], "rhythm": ["batch", 2]}

    ecg = 0.3 * np.random.default_rng(1).standard_normal((32, 12, 1000)).astype(np.float32)
    together = run_onnx(path, {"ecg": ecg})
    alone = run_onnx(path, {"ecg": ecg[17:18]})
    for name in together:
        np.testing.assert_allclose(together[name][17:18], alone[name], rtol=1e-5, atol=1e-5)


def test_the_file_stores_halves_and_nothing_about_the_machine(served: Hybrid, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_network(served, path)
    model = onnx.load(path)
    stored = {t.data_type for t in model.graph.initializer if np.prod(t.dims) >= 64}
    assert onnx.TensorProto.FLOAT not in stored
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b".py" not in path.read_bytes()


def test_attribution_graph_has_the_same_logits(served: Hybrid, tmp_path: Path) -> None:
    prediction, attribution = tmp_path / "p.onnx", tmp_path / "a.onnx"
    export_network(served, prediction)
    assert export_attribution(served, attribution) < 1e-4
    model = onnx.load(attribution)
    assert _shapes(model.graph.input) == {"ecg": ["batch", 12, 1000], "target": ["batch", 9]}
    assert _shapes(model.graph.output) == {
        "statements": ["batch", 7],
        "rhythm": ["batch", 2],
        "cam": ["batch", 50],
        "gradient": ["batch", 12, 1000],
    }
    ecg = 0.3 * np.random.default_rng(2).standard_normal((3, 12, 1000)).astype(np.float32)
    answers = run_onnx(attribution, {"ecg": ecg, "target": np.eye(9, dtype=np.float32)[:3]})
    for name, value in run_onnx(prediction, {"ecg": ecg}).items():
        np.testing.assert_allclose(answers[name], value, rtol=1e-5, atol=1e-5)


def test_a_file_that_computes_something_else_is_refused(
    served: Hybrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnx_format.run_onnx

    def disturbed(path: Path, inputs: dict[str, np.ndarray], threads: int = 1) -> dict[str, np.ndarray]:
        return {name: value + 0.01 for name, value in real(path, inputs, threads).items()}

    monkeypatch.setattr(onnx_format, "run_onnx", disturbed)
    with pytest.raises(ParityError, match="differs from the network"):
        export_network(served, tmp_path / "model.onnx")


def test_export_leaves_the_network_usable(served: Hybrid, tmp_path: Path) -> None:
    x = torch.randn(2, 12, 1000)
    with torch.no_grad():
        before = served(x)[0]
        export_network(served, tmp_path / "model.onnx")
        assert torch.equal(before, served(x)[0])
