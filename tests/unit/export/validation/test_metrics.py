from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from export.validation.metrics import auc, average_precision, bootstrap, class_report, macro_auc


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


def test_average_precision_equals_scikit_learn() -> None:
    y, p = _case()
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
    y = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.8, 0.1, 0.7, 0.2, 0.2, 0.1, 0.1])
    report = class_report(y, p, 0.5)
    assert report["sensitivity"] == pytest.approx(2 / 3)
    assert report["specificity"] == pytest.approx(4 / 5)
    assert report["ppv"] == pytest.approx(2 / 3)
    assert report["npv"] == pytest.approx(4 / 5)
    assert report["f1"] == pytest.approx(2 / 3)
