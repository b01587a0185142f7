"""From logits to honest probabilities: a logistic line per class, drawn towards the line of its head.

Platt scaling (Platt 1999) of every class alone fits noise where a class has few positives; one temperature per head
(Guo et al., ICML 2017) cannot mend a class whose frequency the loss has shifted. So the calibrated logit of class k is
``exp(a + d_k) · logit + b + c_k`` with a penalty of ``strength / 2 · Σ (d_k² + c_k²)``. The strength is chosen by
cross-fitted log-loss, never by the calibration error that is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from export.calibration.folds import patient_folds

__all__ = ["STRENGTHS", "Calibrator", "choose_strength", "fit_calibrator", "log_loss", "sigmoid"]

FloatArray = npt.NDArray[np.floating]

#: In recordings' worth of curvature; the last one leaves little more than the head's common line.
STRENGTHS: Final = (3.0, 10.0, 30.0, 200.0)
_INNER_FOLDS: Final = 4


def sigmoid(logits: FloatArray) -> npt.NDArray[np.float64]:
    """Logistic function without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64))))


def log_loss(logits: FloatArray, truth: FloatArray) -> float:
    """Mean binary cross-entropy of calibrated ``logits`` [N, classes]."""
    z = np.asarray(logits, dtype=np.float64)
    return float(np.mean(np.logaddexp(0.0, z) - truth * z))


@dataclass(frozen=True)
class Calibrator:
    """Calibrated logit = ``scale · logit / temperature + bias``, class by class."""

    temperature: float
    scale: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    strength: float

    def __call__(self, logits: FloatArray) -> npt.NDArray[np.float64]:
        """Calibrated logits of ``logits`` [N, classes]."""
        return np.asarray(logits, dtype=np.float64) * (self.scale / self.temperature) + self.bias


def fit_calibrator(logits: FloatArray, truth: FloatArray, strength: float) -> Calibrator:
    """The lines of least penalised cross-entropy for ``logits`` and ``truth`` [N, classes]."""
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    count = z.shape[1]

    def lines(t: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return np.exp(t[0] + t[2 : 2 + count]), t[1] + t[2 + count :]

    def loss(t: npt.NDArray[Any]) -> tuple[float, npt.NDArray[Any]]:
        slope, shift = lines(t)
        calibrated = z * slope + shift
        error = sigmoid(calibrated) - y
        d_slope, d_shift = (error * z).sum(axis=0) * slope, error.sum(axis=0)
        own = t[2:]
        value = float(np.sum(np.logaddexp(0.0, calibrated) - y * calibrated) + strength / 2 * own @ own)
        gradient = np.concatenate([[d_slope.sum(), d_shift.sum()], d_slope, d_shift])
        gradient[2:] += strength * own
        return value, gradient

    found = minimize(loss, np.zeros(2 + 2 * count), jac=True, method="L-BFGS-B").x
    common = float(np.exp(found[0]))
    slope, shift = lines(found)
    temperature = round(1 / common, 5)
    return Calibrator(temperature, np.round(slope * temperature, 5), np.round(shift, 5), strength)


def choose_strength(logits: FloatArray, truth: FloatArray, patients: npt.NDArray[Any]) -> float:
    """The strength of least log-loss on patients that the lines were not fitted to."""
    part = patient_folds(patients, _INNER_FOLDS)
    losses = []
    for strength in STRENGTHS:
        calibrated = np.empty(logits.shape)
        for fold in np.unique(part):
            seen, held = part != fold, part == fold
            calibrated[held] = fit_calibrator(logits[seen], truth[seen], strength)(logits[held])
        losses.append(log_loss(calibrated, truth))
    return STRENGTHS[int(np.argmin(losses))]
