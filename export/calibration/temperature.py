"""One temperature per head: the number that makes its probabilities honest (Guo et al., ICML 2017)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

__all__ = ["expected_calibration_error", "fit_temperature", "sigmoid"]

FloatArray = npt.NDArray[np.float32]


def sigmoid(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Logistic function without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64))))


def fit_temperature(logits: FloatArray, truth: FloatArray) -> float:
    """The temperature of least binary cross-entropy over all classes of one head, between 0.25 and 4."""
    z, y = logits.astype(np.float64), truth.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = z / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0.0, scaled) - y * scaled))

    found = minimize_scalar(loss, bounds=(np.log(0.25), np.log(4.0)), method="bounded", options={"xatol": 1e-4})
    return round(float(np.exp(found.x)), 4)


def expected_calibration_error(probability: npt.NDArray[np.floating], truth: FloatArray, bins: int = 10) -> float:
    """Mean over the classes of the binned gap between probability and frequency, equal-width bins."""
    gaps = []
    for p, y in zip(probability.T, truth.T, strict=True):
        place = np.minimum((p * bins).astype(int), bins - 1)
        weight = np.bincount(place, minlength=bins)
        gap = np.abs(np.bincount(place, p, bins) - np.bincount(place, y, bins))
        gaps.append(gap.sum() / weight.sum())
    return float(np.mean(gaps))
