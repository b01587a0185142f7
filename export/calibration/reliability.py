"""How far probabilities are from frequencies, and how far they would be by chance alone.

The calibration error (ECE) is the mean over equal-mass bins of |mean probability - frequency|, weighted by the bins'
sizes. Equal-mass bins keep every bin's noise alike; equal-width ones leave a handful of recordings in the middle. It is
biased upwards: even perfect probabilities miss a frequency counted on few recordings. ``noise_floor`` simulates that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "Bin", "calibration_error", "class_calibration_error", "noise_floor", "reliability"]

FloatArray = npt.NDArray[np.floating]
BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Mean probability, frequency and number of the answers in one bin."""

    probability: float
    frequency: float
    count: int


def reliability(probability: FloatArray, truth: FloatArray, bins: int = BINS) -> list[Bin]:
    """Equal-mass bins over all values of ``probability`` and ``truth`` of the same shape, lowest first."""
    p, y = np.ravel(probability), np.ravel(truth)
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [Bin(float(p[part].mean()), float(y[part].mean()), len(part)) for part in parts]


def calibration_error(probability: FloatArray, truth: FloatArray, bins: int = BINS) -> float:
    """Pooled over all columns (every answer counts alike), equal-mass bins."""
    found = reliability(probability, truth, bins)
    return sum(b.count * abs(b.probability - b.frequency) for b in found) / sum(b.count for b in found)


def class_calibration_error(probability: FloatArray, truth: FloatArray, bins: int = BINS) -> float:
    """The same per column [N, classes], then the mean over columns."""
    columns = zip(probability.T, truth.T, strict=True)
    return float(np.mean([calibration_error(p, y, bins) for p, y in columns]))


def noise_floor(probability: FloatArray, per_class: bool = False, draws: int = 200, seed: int = 0) -> float:
    """Mean calibration error of outcomes drawn with exactly these probabilities [N, classes]."""
    random = np.random.default_rng(seed)
    statistic = class_calibration_error if per_class else calibration_error
    drawn = ((random.random(probability.shape) < probability).astype(np.float64) for _ in range(draws))
    return float(np.mean([statistic(probability, outcome) for outcome in drawn]))
