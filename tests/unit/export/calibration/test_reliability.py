from __future__ import annotations

import numpy as np
import pytest

from export.calibration.reliability import calibration_error, class_calibration_error, noise_floor, reliability


def test_honest_and_boastful_probabilities() -> None:
    random = np.random.default_rng(2)
    honest = random.random((50_000, 2))
    truth = (random.random(honest.shape) < honest).astype(np.float32)
    assert calibration_error(honest, truth) < 0.01
    assert calibration_error(np.full_like(honest, 0.9), truth) == pytest.approx(0.4, abs=0.01)


def test_pooling_hides_what_two_classes_do_against_each_other() -> None:
    random = np.random.default_rng(5)
    p = np.full((20_000, 2), 0.5)
    truth = (random.random(p.shape) < np.array([0.3, 0.7])).astype(np.float32)
    assert calibration_error(p, truth) < 0.02
    assert class_calibration_error(p, truth) == pytest.approx(0.2, abs=0.01)


def test_the_floor_is_what_perfect_probabilities_show_by_chance() -> None:
    random = np.random.default_rng(6)
    p = random.random((300, 5)) ** 2
    found = [calibration_error(p, (random.random(p.shape) < p).astype(np.float32)) for _ in range(200)]
    assert noise_floor(p) == pytest.approx(np.mean(found), rel=0.1)
    assert noise_floor(p, per_class=True) > 2 * noise_floor(p)
    assert noise_floor(np.tile(p, (20, 1))) < noise_floor(p) / 3


def test_bins_hold_equal_numbers() -> None:
    bins = reliability(np.linspace(0, 1, 101), np.zeros(101))
    assert {b.count for b in bins} == {10, 11}
    assert [b.probability for b in bins] == sorted(b.probability for b in bins)
