from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from export.calibration.thresholds import choose_threshold


def _scores(separation: float, positives: int = 60, negatives: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    y = np.r_[np.ones(positives), np.zeros(negatives)]
    p = 1 / (1 + np.exp(-(random.normal(0, 1, y.size) + separation * y - separation)))
    return p, y


def test_urgent_findings_reach_the_sensitivity_that_was_asked_for() -> None:
    p, y = _scores(4.0)
    threshold, rule = choose_threshold(p, y, "urgent", 0.13)
    assert (p[y == 1] >= threshold).mean() >= 0.95
    assert (p[y == 0] < threshold).mean() >= 0.80
    assert "sensitivity of at least 0.95" in rule


def test_an_urgent_finding_that_cannot_be_told_apart_does_not_alarm_on_everybody() -> None:
    p, y = _scores(0.5)
    threshold, rule = choose_threshold(p, y, "critical", 0.13)
    assert (p[y == 0] < threshold).mean() == pytest.approx(0.80, abs=0.01)
    assert "specificity" in rule


def test_other_findings_take_the_largest_f1() -> None:
    p, y = _scores(2.0)
    threshold, rule = choose_threshold(p, y, "routine", 0.13)
    best = max(f1_score(y, p >= t) for t in p)
    assert f1_score(y, p >= threshold) == pytest.approx(best, abs=1e-9)
    assert "F1" in rule


def test_few_positives_fall_back_to_the_training_prevalence() -> None:
    p, y = _scores(2.0, positives=3, negatives=297)
    threshold, rule = choose_threshold(p, y, "urgent", 0.05)
    assert (p >= threshold).sum() == 15
    assert "3 positives" in rule
