"""What a version must show before it may be served: parity, independence of its neighbours, accuracy, speed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from export.errors import GateError
from export.validation.metrics import Interval
from export.validation.scoring import OnnxModel

__all__ = ["GateReport", "latency_ratio", "neighbour_effect", "neighbour_limit", "pass_gate"]

#: The same ECG alone and in a batch of 32 may differ by rounding only (largest seen in FP32: 1.4e-6).
_NEIGHBOUR_LIMIT: Final = 1e-5
#: In INT8 such a rounding can move an activation by a whole step of its scale.
_NEIGHBOUR_LIMIT_OF_INT8: Final = 0.05
#: A new version may cost a quarter more than the one it replaces, measured interleaved.
_LATENCY_LIMIT: Final = 1.25


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate measured; changes are against the newest published version, where there is one."""

    neighbour_effect: float
    neighbour_limit: float = _NEIGHBOUR_LIMIT
    auc_change: Interval | None = None
    latency_ratio: float | None = None


def neighbour_limit(precision: str) -> float:
    """How far an ECG's logits may move with its neighbours, for files of this precision."""
    return _NEIGHBOUR_LIMIT_OF_INT8 if "INT8" in precision else _NEIGHBOUR_LIMIT


def neighbour_effect(model: OnnxModel, signals: npt.NDArray[np.float32]) -> float:
    """Largest logit change of an ECG between being alone and being one of 32."""
    together = model.logits(signals[:32], batch=32)
    alone = model.logits(signals[:32], batch=1)
    return max(float(np.abs(together[name] - alone[name]).max()) for name in together)


def latency_ratio(new: OnnxModel, current: OnnxModel, signals: npt.NDArray[np.float32], rounds: int = 15) -> float:
    """Median CPU time of ``new`` over that of ``current``, one thread, batch 8, taken in turn."""
    times: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(rounds):
        for k, model in enumerate((new, current)):
            began = time.process_time()
            model.logits(signals[:8], batch=8)
            times[k].append(time.process_time() - began)
    return float(np.median(times[0][2:]) / np.median(times[1][2:]))


def pass_gate(report: GateReport, name: str) -> None:
    """Raise ``GateError`` with the first reason why this version may not be published."""
    if not report.neighbour_effect <= report.neighbour_limit:
        raise GateError(
            f"{name}: an ECG's logits change by {report.neighbour_effect:.1e} with its batch neighbours; "
            f"{report.neighbour_limit:.0e} is allowed"
        )
    change = report.auc_change
    if change is not None and change.high < 0:
        raise GateError(
            f"{name}: superclass macro-AUC on fold 9 falls by {-change.value:.4f} "
            f"(95 % interval {change.low:+.4f} to {change.high:+.4f}) against the published version"
        )
    if report.latency_ratio is not None and report.latency_ratio > _LATENCY_LIMIT:
        raise GateError(
            f"{name}: costs {report.latency_ratio:.2f} times the published version; {_LATENCY_LIMIT} is allowed"
        )
