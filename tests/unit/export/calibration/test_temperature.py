from __future__ import annotations

import numpy as np
import pytest

from export.calibration.temperature import expected_calibration_error, fit_temperature, sigmoid


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_recovers_the_temperature_that_made_the_labels(true_temperature: float) -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 3, (20_000, 3)).astype(np.float32)
    truth = (random.random(logits.shape) < sigmoid(logits / true_temperature)).astype(np.float32)
    assert fit_temperature(logits, truth) == pytest.approx(true_temperature, rel=0.05)


def test_calibration_error_of_honest_and_of_boastful_probabilities() -> None:
    random = np.random.default_rng(2)
    honest = random.random((50_000, 2))
    truth = (random.random(honest.shape) < honest).astype(np.float32)
    assert expected_calibration_error(honest, truth) < 0.01
    assert expected_calibration_error(np.full_like(honest, 0.9), truth) == pytest.approx(0.4, abs=0.01)


def test_sigmoid_does_not_overflow() -> None:
    np.testing.assert_allclose(sigmoid(np.array([-1e4, 0.0, 1e4])), [0.0, 0.5, 1.0])
