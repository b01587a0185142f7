"""The NumPy graph is the trained PyTorch graph, and its weights are those that ship."""

from __future__ import annotations

import io

import numpy as np
import pytest

from cardiomesh.ecg.delineation.network import CLASSES, RATE_HZ, load_weights, probabilities, read_weights, standardise
from tests.unit.cardiomesh.ecg.delineation.synthetic import ecg


def test_probabilities_sum_to_one_for_any_number_of_leads_and_samples() -> None:
    standard = standardise(ecg().millivolts, 500.0)
    for leads, samples in ((12, 2500), (1, 2500), (5, 777)):
        answer = probabilities(standard[:leads, :samples])
        assert answer.shape == (leads, samples, len(CLASSES))
        np.testing.assert_allclose(answer.sum(axis=2), 1.0, atol=1e-5)


def test_the_order_of_the_leads_does_not_matter() -> None:
    standard = standardise(ecg().millivolts, 500.0)
    order = np.random.default_rng(2).permutation(12)
    np.testing.assert_allclose(probabilities(standard[order]), probabilities(standard)[order], atol=1e-4)


def test_the_same_seconds_at_any_rate_look_alike() -> None:
    reference = standardise(ecg(noise=0.0).millivolts, 500.0)
    for rate in (250.0, 360.0, 1000.0):
        other = standardise(ecg(rate=rate, noise=0.0).millivolts, rate)
        assert other.shape[1] == pytest.approx(10 * RATE_HZ, abs=1)
        n = min(other.shape[1], reference.shape[1])
        assert np.abs(other[:, 50 : n - 50] - reference[:, 50 : n - 50]).max() < 0.25


def test_shipped_weights_say_where_they_come_from() -> None:
    weights = load_weights()
    assert "LUDB" in str(weights.provenance["data"])
    assert sum(k.size for k in weights.kernels.values()) < 150_000
    assert all(np.isfinite(k).all() for k in (*weights.kernels.values(), *weights.biases.values()))


def test_numpy_computes_what_pytorch_computes() -> None:
    torch = pytest.importorskip("torch")
    from export.delineator.network import CLASS_WEIGHTS, Segmenter
    from export.delineator.weights import folded

    torch.manual_seed(4)
    model = Segmenter()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean, std=0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    model.eval()
    ecgs = np.random.default_rng(1).normal(size=(12, 1024)).astype(np.float32)
    with torch.inference_mode():
        logits = model(torch.from_numpy(ecgs)[None])[0] - torch.log(torch.tensor(CLASS_WEIGHTS))[:, None]
        expected = torch.softmax(logits, dim=1).numpy().transpose(0, 2, 1)
    np.testing.assert_allclose(probabilities(ecgs, folded(model, {})), expected, atol=1e-5)


def test_weights_survive_being_stored() -> None:
    pytest.importorskip("torch")
    from export.delineator.weights import write

    weights = load_weights()
    file = io.BytesIO()
    write(weights, file)
    file.seek(0)
    again = read_weights(file)
    assert again.provenance == weights.provenance
    for name, kernel in weights.kernels.items():
        np.testing.assert_array_equal(again.kernels[name], kernel)
