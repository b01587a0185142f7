"""Discrimination and calls with 95 % intervals, resampled by patient."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

__all__ = [
    "CLASS_FIGURES",
    "DRAWS",
    "Interval",
    "auc",
    "average_precision",
    "bootstrap",
    "class_figures",
    "class_intervals",
    "macro_auc",
    "paired_change",
    "resamples",
]

Array = npt.NDArray[np.floating]

DRAWS: Final = 1000
#: Columns of ``class_figures``.
CLASS_FIGURES: Final = ("auc", "average_precision", "sensitivity", "specificity", "ppv", "npv", "f_beta")


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"

    def as_dict(self) -> dict[str, float]:
        """Rounded, for JSON."""
        return {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


def _columns_auc(y: npt.NDArray[np.bool_], score: Array) -> npt.NDArray[np.float64]:
    positives = y.sum(axis=0)
    pairs = positives * (len(y) - positives)
    ranks = np.where(y, rankdata(score, axis=0), 0.0).sum(axis=0)
    area = ranks - positives * (positives + 1) / 2
    return np.asarray(np.divide(area, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))


def auc(truth: Array, score: Array) -> float:
    """Area under the ROC curve by ranks (ties count half); NaN where one outcome is absent."""
    return float(_columns_auc(np.asarray(truth)[:, None] > 0.5, np.asarray(score)[:, None])[0])


def macro_auc(truth: Array, score: Array) -> float:
    """Mean AUC over the classes (columns) that have both outcomes; NaN where none has."""
    values = _columns_auc(np.asarray(truth) > 0.5, score)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _columns_precision(y: npt.NDArray[np.bool_], score: Array) -> npt.NDArray[np.float64]:
    order = np.argsort(-score, axis=0, kind="stable")
    hits, ranked = np.take_along_axis(y, order, axis=0), np.take_along_axis(score, order, axis=0)
    # Records of equal score are called together: each counts with the precision after the last of them.
    place = np.broadcast_to(np.arange(len(y))[:, None], y.shape)
    tied = np.vstack([ranked[:-1] == ranked[1:], np.zeros((1, y.shape[1]), dtype=np.bool_)])
    last = np.minimum.accumulate(np.where(tied, len(y), place)[::-1], axis=0)[::-1]
    precision = np.take_along_axis(np.cumsum(hits, axis=0) / (place + 1), last, axis=0)
    return _share((precision * hits).sum(axis=0), hits.sum(axis=0))


def average_precision(truth: Array, score: Array) -> float:
    """Area under the precision-recall curve as the step-wise sum; NaN without positives."""
    return float(_columns_precision(np.asarray(truth)[:, None] > 0.5, np.asarray(score)[:, None])[0])


def _share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0))


def class_figures(truth: Array, score: Array, called: npt.NDArray[np.bool_], beta: Array) -> npt.NDArray[np.float64]:
    """``CLASS_FIGURES`` of every class, [classes, figures], from [N, classes]; NaN where a denominator is empty.

    ``beta`` weighs sensitivity against precision in the F-measure, one value per class.
    """
    y = np.asarray(truth) > 0.5
    hit, false = (y & called).sum(axis=0), (~y & called).sum(axis=0)
    miss, right = (y & ~called).sum(axis=0), (~y & ~called).sum(axis=0)
    square = np.asarray(beta) ** 2
    columns = (
        _columns_auc(y, score),
        _columns_precision(y, score),
        _share(hit, hit + miss),
        _share(right, right + false),
        _share(hit, hit + false),
        _share(right, right + miss),
        _share((1 + square) * hit, (1 + square) * hit + square * miss + false),
    )
    return np.stack(columns, axis=1)


def resamples(patients: npt.NDArray[Any], draws: int, seed: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    """Row numbers of each bootstrap draw: patients are drawn, and each one's recordings stay together."""
    _, group = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.concatenate([members[g] for g in random.integers(0, len(members), len(members))])


def _percentiles(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered")
        return np.asarray(np.nanpercentile(values, (2.5, 97.5), axis=0))


def bootstrap(
    statistic: Callable[[Array, Array], float],
    truth: Array,
    score: Array,
    patients: npt.NDArray[Any],
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic over resampled patients."""
    values = [statistic(truth[rows], score[rows]) for rows in resamples(patients, draws, seed)]
    low, high = _percentiles(np.array(values))
    return Interval(statistic(truth, score), float(low), float(high))


def paired_change(
    truth: Array, new: Array, old: Array, patients: npt.NDArray[Any], draws: int = DRAWS, seed: int = 0
) -> Interval:
    """Macro-AUC of ``new`` minus that of ``old`` on the same resampled patients, with its 95 % interval."""
    changes = [
        macro_auc(truth[rows], new[rows]) - macro_auc(truth[rows], old[rows])
        for rows in resamples(patients, draws, seed)
    ]
    low, high = _percentiles(np.array(changes))
    return Interval(macro_auc(truth, new) - macro_auc(truth, old), float(low), float(high))


def class_intervals(
    truth: Array,
    score: Array,
    called: npt.NDArray[np.bool_],
    beta: Array,
    patients: npt.NDArray[Any],
    draws: int = DRAWS,
    seed: int = 0,
) -> list[dict[str, Interval]]:
    """``CLASS_FIGURES`` of every class with its interval; draws without an outcome do not count for that figure."""
    value = class_figures(truth, score, called, beta)
    drawn = np.stack([class_figures(truth[r], score[r], called[r], beta) for r in resamples(patients, draws, seed)])
    low, high = _percentiles(drawn)
    return [
        {
            name: Interval(float(value[k, f]), float(low[k, f]), float(high[k, f]))
            for f, name in enumerate(CLASS_FIGURES)
        }
        for k in range(len(value))
    ]
