"""Discrimination and calibration with 95 % intervals, resampled by patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

__all__ = ["Interval", "auc", "average_precision", "bootstrap", "class_report", "macro_auc"]

Array = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def auc(truth: Array, score: Array) -> float:
    """Area under the ROC curve by ranks (ties count half); NaN where one outcome is absent."""
    positive = truth > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        return float("nan")
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def macro_auc(truth: Array, score: Array) -> float:
    """Mean AUC over the classes (columns) that have both outcomes."""
    values = [auc(truth[:, k], score[:, k]) for k in range(truth.shape[1])]
    return float(np.nanmean(values))


def average_precision(truth: Array, score: Array) -> float:
    """Area under the precision-recall curve as the step-wise sum."""
    order = np.argsort(-score, kind="stable")
    hits = (truth[order] > 0.5).astype(np.float64)
    if hits.sum() == 0:
        return float("nan")
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / hits.sum())


def bootstrap(
    statistic: Callable[[Array, Array], float],
    truth: Array,
    score: Array,
    patients: npt.NDArray[Any],
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile interval over resampled patients; each patient's recordings stay together."""
    _, group = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        rows = np.concatenate([members[g] for g in random.integers(0, len(members), len(members))])
        values.append(statistic(truth[rows], score[rows]))
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return Interval(statistic(truth, score), float(low), float(high))


def class_report(truth: Array, probability: Array, threshold: float) -> dict[str, float]:
    """Confusion figures of one class at its threshold; NaN where a denominator is empty."""
    y, called = truth > 0.5, probability >= threshold
    hit, false, miss, right = (
        int((y & called).sum()),
        int((~y & called).sum()),
        int((y & ~called).sum()),
        int((~y & ~called).sum()),
    )

    def share(part: int, rest: int) -> float:
        return part / (part + rest) if part + rest else float("nan")

    return {
        "positives": hit + miss,
        "auc": auc(truth, probability),
        "average_precision": average_precision(truth, probability),
        "sensitivity": share(hit, miss),
        "specificity": share(right, false),
        "ppv": share(hit, false),
        "npv": share(right, miss),
        "f1": share(2 * hit, false + miss),
    }
