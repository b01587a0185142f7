from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, fbeta_score, roc_auc_score

from export.validation.metrics import (
    CLASS_FIGURES,
    Interval,
    auc,
    average_precision,
    bootstrap,
    class_figures,
    class_intervals,
    macro_auc,
    paired_change,
)


def _case(ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(6)
    y = (random.random((300, 4)) < 0.2).astype(np.float32)
    p = random.normal(0, 1, y.shape) + y
    return y, np.round(p, 1) if ties else p


@pytest.mark.parametrize("ties", [False, True])
def test_auc_equals_scikit_learn(ties: bool) -> None:
    y, p = _case(ties)
    for k in range(4):
        assert auc(y[:, k], p[:, k]) == pytest.approx(roc_auc_score(y[:, k], p[:, k]), abs=1e-12)
    assert macro_auc(y, p) == pytest.approx(roc_auc_score(y, p, average="macro"), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_equals_scikit_learn(ties: bool) -> None:
    y, p = _case(ties)
    assert average_precision(y[:, 0], p[:, 0]) == pytest.approx(average_precision_score(y[:, 0], p[:, 0]))


def test_one_outcome_has_no_auc() -> None:
    assert np.isnan(auc(np.zeros(5), np.arange(5.0)))


def test_interval_holds_the_value_and_resamples_patients_not_recordings() -> None:
    y, p = _case()
    alone = bootstrap(macro_auc, y, p, np.arange(300), draws=200)
    assert alone.low < alone.value < alone.high
    # Ten copies of each recording of thirty patients carry no more information than thirty recordings.
    few = np.repeat(np.arange(30), 10)
    together = bootstrap(macro_auc, y[few], p[few], few, draws=200)
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_confusion_figures() -> None:
    y = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=np.float64)[:, None]
    p = np.array([0.9, 0.8, 0.1, 0.7, 0.2, 0.2, 0.1, 0.1])[:, None]
    (row,) = class_figures(y, p, p >= 0.5, np.array([2.0]))
    found = dict(zip(CLASS_FIGURES, row, strict=True))
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["specificity"] == pytest.approx(4 / 5)
    assert found["ppv"] == pytest.approx(2 / 3)
    assert found["npv"] == pytest.approx(4 / 5)
    assert found["f_beta"] == pytest.approx(fbeta_score(y[:, 0], p[:, 0] >= 0.5, beta=2))
    assert found["average_precision"] == pytest.approx(average_precision_score(y[:, 0], p[:, 0]))


def test_an_empty_denominator_is_no_figure() -> None:
    nothing = np.zeros((4, 1))
    (row,) = class_figures(nothing, nothing, nothing > 1, np.ones(1))
    found = dict(zip(CLASS_FIGURES, row, strict=True))
    assert np.isnan([found[name] for name in ("auc", "average_precision", "sensitivity", "ppv")]).all()
    assert found["specificity"] == found["npv"] == 1.0


def test_each_class_has_its_own_intervals() -> None:
    y, p = _case()
    y[:, 3] = 0
    rows = class_intervals(y, p, p > 0.8, np.ones(4), np.arange(300), draws=100)
    for k in range(3):
        interval = rows[k]["auc"]
        assert interval.value == pytest.approx(roc_auc_score(y[:, k], p[:, k]))
        assert interval.low < interval.value < interval.high
    assert np.isnan(rows[3]["auc"].value)
    assert rows[3]["specificity"].low > 0.6


def test_a_change_that_only_rescales_is_none() -> None:
    y, p = _case()
    assert paired_change(y, 3 * p - 1, p, np.arange(300), draws=50) == Interval(0.0, 0.0, 0.0)
    worse = paired_change(y, np.random.default_rng(1).normal(size=p.shape), p, np.arange(300), draws=100)
    assert worse.high < 0
