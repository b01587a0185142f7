from __future__ import annotations

import numpy as np
import pytest

from export.errors import GateError
from export.publishing.gate import GateReport, neighbour_limit, pass_gate
from export.validation.metrics import Interval, paired_change


def _scores(separation: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (400, 5)) + separation * _truth()


def _truth() -> np.ndarray:
    return (np.random.default_rng(0).random((400, 5)) < 0.3).astype(np.float32)


def test_a_clearly_worse_model_is_refused_and_an_equal_one_is_not() -> None:
    patients = np.arange(400)
    worse = paired_change(_truth(), _scores(0.5, 1), _scores(2.0, 2), patients, draws=200)
    with pytest.raises(GateError, match="macro-AUC on fold 9 falls"):
        pass_gate(GateReport(0.0, auc_change=worse, latency_ratio=1.0), "m")
    equal = paired_change(_truth(), _scores(2.0, 3), _scores(2.0, 2), patients, draws=200)
    pass_gate(GateReport(0.0, auc_change=equal, latency_ratio=1.0), "m")


def test_the_change_is_paired() -> None:
    scores, patients = _scores(1.0, 4), np.arange(400)
    assert paired_change(_truth(), scores, scores * 2 + 1, patients, draws=50) == Interval(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (GateReport(2e-5), "batch neighbours"),
        (GateReport(float("nan")), "batch neighbours"),
        (GateReport(0.0, latency_ratio=1.5), r"1\.50 times"),
    ],
)
def test_other_reasons(report: GateReport, reason: str) -> None:
    with pytest.raises(GateError, match=reason):
        pass_gate(report, "m")


def test_only_int8_may_move_with_its_neighbours() -> None:
    assert neighbour_limit("weights FP16, arithmetic FP32") == 1e-5
    pass_gate(GateReport(1e-3, neighbour_limit("INT8, GRU in FP32")), "m")
