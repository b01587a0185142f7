from __future__ import annotations

import numpy as np
import pytest

from export.calibration.logistic import sigmoid
from export.calibration.weights import choose_weights, cross_fitted_mean
from export.training.labels import LabelSpace
from export.validation.metrics import macro_auc


def _members(noise: tuple[float, ...], count: int = 600) -> tuple[list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(4)
    true = random.normal(-1, 2, (count, 3))
    truth = (random.random(true.shape) < sigmoid(true)).astype(np.float32)
    return [true + n * random.standard_normal(true.shape) for n in noise], truth


def test_equal_members_share_and_a_useless_one_gets_little() -> None:
    members, truth = _members((1.5, 1.5, 12.0))
    first, second, useless = choose_weights(members, truth)
    assert first + second + useless == pytest.approx(1.0)
    assert min(first, second) >= 0.3
    assert useless <= 0.1


def test_the_cross_fitted_mean_beats_members_whose_errors_differ() -> None:
    members, truth = _members((2.0, 2.0))
    space = LabelSpace(heads={"statements": ("NORM", "MI", "STTC")}, auxiliary={}, positives={})
    found = cross_fitted_mean(space, [{"statements": m} for m in members], {"statements": truth}, np.arange(600))
    best = max(macro_auc(truth, m) for m in members)
    assert macro_auc(truth, found.ranking["statements"]) > best + 0.01
    assert found.calibrated["statements"].shape == truth.shape
