from __future__ import annotations

import numpy as np
import pytest

from export.calibration.folds import patient_folds
from export.calibration.logistic import STRENGTHS, choose_strength, fit_calibrator, log_loss, sigmoid


def _drawn(slope: np.ndarray, shift: np.ndarray, count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, len(slope)))
    truth = (random.random(logits.shape) < sigmoid(slope * logits + shift)).astype(np.float32)
    return logits, truth


def test_recovers_the_lines_that_made_the_labels() -> None:
    slope, shift = np.array([0.5, 1.0, 2.0]), np.array([-1.0, 0.0, 0.5])
    fitted = fit_calibrator(*_drawn(slope, shift, 40_000), strength=STRENGTHS[0])
    np.testing.assert_allclose(fitted.scale / fitted.temperature, slope, rtol=0.07)
    np.testing.assert_allclose(fitted.bias, shift, atol=0.07)


def test_strength_draws_the_classes_towards_one_line() -> None:
    logits, truth = _drawn(np.array([0.5, 1.0, 2.0]), np.array([-1.0, 0.0, 0.5]), 200)
    spread = [float(np.ptp(fit_calibrator(logits, truth, s).scale)) for s in STRENGTHS]
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < spread[0] / 4


def test_the_chosen_strength_is_the_weakest_where_classes_differ_and_the_strongest_where_they_do_not() -> None:
    patients = np.arange(1500)
    different = _drawn(np.array([0.3, 1.0, 3.0]), np.array([-2.0, 0.0, 2.0]), 1500)
    assert choose_strength(*different, patients) == STRENGTHS[0]
    alike = _drawn(np.ones(12), np.zeros(12), 1500, seed=3)
    assert choose_strength(*alike, patients) == STRENGTHS[-1]


def test_a_class_without_positives_stays_finite() -> None:
    logits, truth = _drawn(np.ones(3), np.zeros(3), 300)
    truth[:, 1] = 0
    calibrated = fit_calibrator(logits, truth, 10.0)(logits)
    assert np.isfinite(calibrated).all()
    assert sigmoid(calibrated[:, 1]).mean() < 0.3


def test_log_loss_of_certainty_and_of_a_coin() -> None:
    assert log_loss(np.zeros((4, 1)), np.ones((4, 1))) == pytest.approx(np.log(2))
    assert log_loss(np.full((4, 1), 50.0), np.ones((4, 1))) == pytest.approx(0.0)


def test_sigmoid_does_not_overflow() -> None:
    np.testing.assert_allclose(sigmoid(np.array([-1e4, 0.0, 1e4])), [0.0, 0.5, 1.0])


def test_folds_keep_a_patients_recordings_together() -> None:
    patients = np.array([5, 5, 7, 8, 7, 9, 10, 5])
    part = patient_folds(patients, 3)
    assert all(len(set(part[patients == p])) == 1 for p in set(patients))
    assert set(part) == {0, 1, 2}
    assert set(patient_folds(patients, 100)) == {0, 1, 2, 3, 4}
