"""From the committed files back to PyTorch, and files that are not what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from export.errors import CheckpointError, ParityError
from export.formats.onnx import run_onnx
from export.formats.published import read_published, trainable_network

REPOSITORY = Path(__file__).resolve().parents[4] / "model_repository"
EDGE = REPOSITORY / "edge_optimized" / "1"


def _ecg(count: int) -> np.ndarray:
    return 0.3 * np.random.default_rng(1).standard_normal((count, 12, 1000)).astype(np.float32)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "edge_optimized" / "1"
    shutil.copytree(EDGE, folder)
    return folder


def test_the_network_answers_as_the_file_it_was_read_from() -> None:
    network, space, card = read_published(EDGE)
    expected = run_onnx(EDGE / "model.onnx", {"ecg": _ecg(3)})
    with torch.no_grad():
        for name, value in zip(network.config.heads, network(torch.from_numpy(_ecg(3))), strict=True):
            np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-4, atol=1e-5)
    assert sum(len(codes) for codes in space.heads.values()) == len(card.statements)


def test_the_trainable_network_answers_the_same_and_finds_normalised_batches() -> None:
    served, _, _ = read_published(EDGE)
    ecg = _ecg(16)
    network = trainable_network(served, ecg, {"sex": 1})
    with torch.no_grad():
        for a, b in zip(served(torch.from_numpy(ecg)), network(torch.from_numpy(ecg)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        # The statistics are those of these signals, so a training step on all of them sees the same function.
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout | torch.nn.Dropout1d):
                module.eval()
        for a, b in zip(served(torch.from_numpy(ecg)), network(torch.from_numpy(ecg)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2)
    assert network.training_outputs(torch.from_numpy(ecg))["sex"].shape == (16, 1)


def _change(path: Path, name: str, value: float) -> None:
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    changed = numpy_helper.to_array(tensor).copy()
    changed.flat[0] = value
    tensor.CopyFrom(numpy_helper.from_array(changed, name))
    onnx.save(model, path)


def test_weights_that_are_not_finite_are_refused(copy: Path) -> None:
    _change(copy / "model.onnx", "features.0.conv.weight.fp16", float("nan"))
    with pytest.raises(CheckpointError, match=r"features\.0\.conv\.weight that are not finite"):
        read_published(copy)


def test_a_corrupt_file_is_one_line(copy: Path) -> None:
    (copy / "model.onnx").write_bytes(b"\x08\x08not a model" * 10)
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        read_published(copy)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "model.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"model\.onnx does not exist"):
        read_published(copy)


def test_a_card_of_another_network_is_refused(copy: Path) -> None:
    card = (copy / "card.json").read_text()
    (copy / "card.json").write_text(card.replace('"growth": 24', '"growth": 16').replace('"growth":24', '"growth":16'))
    with pytest.raises(
        (CheckpointError, ParityError), match=r"holds no features|holds \d+ bytes where this network has"
    ):
        read_published(copy)
