"""What a version must show before it may be served: parity, independence of its neighbours, accuracy, speed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from export.errors import GateError
from export.validation.metrics import Interval, macro_auc
from export.validation.scoring import OnnxModel

__all__ = ["GateReport", "accuracy_change", "latency_ratio", "neighbour_effect", "pass_gate"]

Array = npt.NDArray[np.floating]

#: The same ECG alone and in a batch of 32 may differ by rounding only.
_NEIGHBOUR_LIMIT: Final = 1e-4
#: A new version may cost a quarter more than the one it replaces, measured interleaved.
_LATENCY_LIMIT: Final = 1.25


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate measured; changes are against the newest published version, where there is one."""

    neighbour_effect: float
    auc_change: Interval | None = None
    latency_ratio: float | None = None


def neighbour_effect(model: OnnxModel, signals: npt.NDArray[np.float32]) -> float:
    """Largest logit change of an ECG between being alone and being one of 32."""
    together = model.logits(signals[:32], batch=32)
    alone = model.logits(signals[:32], batch=1)
    return max(float(np.abs(together[name] - alone[name]).max()) for name in together)


def accuracy_change(
    truth: Array, new: Array, current: Array, patients: npt.NDArray[Any], draws: int = 1000, seed: int = 0
) -> Interval:
    """Macro-AUC of ``new`` minus that of ``current`` on the same resampled patients, with its 95 % interval."""
    _, group = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    random = np.random.default_rng(seed)
    changes = []
    for _ in range(draws):
        rows = np.concatenate([members[g] for g in random.integers(0, len(members), len(members))])
        changes.append(macro_auc(truth[rows], new[rows]) - macro_auc(truth[rows], current[rows]))
    low, high = np.nanpercentile(changes, (2.5, 97.5))
    return Interval(macro_auc(truth, new) - macro_auc(truth, current), float(low), float(high))


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
    if not report.neighbour_effect <= _NEIGHBOUR_LIMIT:
        raise GateError(
            f"{name}: an ECG's logits change by {report.neighbour_effect:.1e} with its batch neighbours; "
            f"{_NEIGHBOUR_LIMIT:.0e} is allowed"
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
