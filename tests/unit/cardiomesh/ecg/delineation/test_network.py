"""The network that ships is the one that was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiomesh.ecg.delineation.network import CLASSES, RATE_HZ, Segmenter, shipped, standardise
from tests.unit.cardiomesh.ecg.delineation.synthetic import ecg


def test_probabilities_sum_to_one_for_any_number_of_leads_and_samples() -> None:
    standard = standardise(ecg().millivolts, 500.0)
    for leads, samples in ((12, 2500), (1, 2500), (5, 777)):
        answer = shipped().probabilities(standard[:leads, :samples])
        assert answer.shape == (len(CLASSES), leads, samples)
        np.testing.assert_allclose(answer.sum(axis=0), 1.0, atol=1e-5)


def test_the_order_of_the_leads_does_not_matter() -> None:
    standard = standardise(ecg().millivolts, 500.0)
    order = np.random.default_rng(2).permutation(12)
    straight, turned = (shipped().probabilities(x) for x in (standard, standard[order]))
    np.testing.assert_allclose(turned, straight[:, order], atol=1e-4)


def test_the_same_seconds_at_any_rate_look_alike() -> None:
    reference = standardise(ecg(noise=0.0).millivolts, 500.0)
    for rate in (250.0, 360.0, 1000.0):
        other = standardise(ecg(rate=rate, noise=0.0).millivolts, rate)
        assert other.shape[1] == pytest.approx(10 * RATE_HZ, abs=1)
        n = min(other.shape[1], reference.shape[1])
        assert np.abs(other[:, 50 : n - 50] - reference[:, 50 : n - 50]).max() < 0.25


def test_the_shipped_network_says_where_it_comes_from() -> None:
    assert "LUDB" in str(shipped().provenance["data"])


def test_a_stored_network_answers_as_the_trained_one(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from export.delineator.network import CLASS_WEIGHTS
    from export.delineator.network import Segmenter as Trained
    from export.delineator.weights import read, write

    torch.manual_seed(4)
    model = Trained()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    model.eval()
    ecgs = np.random.default_rng(1).normal(size=(12, 1024)).astype(np.float32)
    with torch.inference_mode():
        logits = model(torch.from_numpy(ecgs)[None])[0] - torch.log(torch.tensor(CLASS_WEIGHTS))[:, None, None]
        # [leads, classes, phases, frames] to [classes, leads, samples]
        expected = torch.softmax(logits, dim=1).permute(1, 0, 3, 2).reshape(4, 12, 1024).numpy()
    file = tmp_path / "network.onnx"
    write(model, {"data": "none"}, file)
    stored = Segmenter(file.read_bytes())
    np.testing.assert_allclose(stored.probabilities(ecgs), expected, atol=1e-5)
    assert stored.provenance == {"data": "none"}
    with torch.inference_mode():  # and it can be trained further from the file
        np.testing.assert_allclose(read(file)(torch.from_numpy(ecgs)[None])[0], model(torch.from_numpy(ecgs)[None])[0])
