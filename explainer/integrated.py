"""Integrated gradients from the zero line (Sundararajan et al., ICML 2017).

The input is band-passed, so zero millivolts is the isoelectric line: the baseline is a recording with no heart in it.
The network bends sharply in few places of the path, so the trapezoids there are halved, the worst first, until the
contributions add up. The logits on the path say where: a trapezoid must add up to the change of the logit over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from explainer.case import Case
from explainer.model import FloatArray

__all__ = ["FIRST_STEPS", "MAX_ERROR", "Integrated", "integrated_gradients"]

FIRST_STEPS: Final = 24
MOST_STEPS: Final = 120
#: Trapezoids halved at a time: two requests to the served graph.
_HALVED: Final = 8
#: Contributions must add up to the change of the logit within this share of it.
MAX_ERROR: Final = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Integrated:
    """Contributions that add up to what the finding's logit owes to the recording."""

    #: ``[windows, leads, samples]``.
    values: FloatArray
    #: |Σ values − (logit of the recording − logit of the zero line)| over the absolute value of that difference.
    completeness_error: float
    steps: int


async def integrated_gradients(case: Case, first_steps: int = FIRST_STEPS, most_steps: int = MOST_STEPS) -> Integrated:
    """Integrate from zero to the recording."""
    ecg = case.ecg.astype(np.float64)
    shares = np.arange(first_steps + 1) / first_steps
    logits, gradients = await _at(case, shares)
    while True:
        width = np.diff(shares)
        slope = np.tensordot(gradients, ecg, axes=3)
        change = np.diff(logits)
        residual = (slope[1:] + slope[:-1]) / 2 * width - change
        error = abs(float(residual.sum())) / max(abs(float(change.sum())), 1e-6)
        steps = len(width)
        if error <= MAX_ERROR or steps + _HALVED > most_steps:
            weight = np.append(width, 0.0) / 2 + np.append(0.0, width) / 2
            values = ecg * np.tensordot(weight, gradients, axes=1)
            return Integrated(values.astype(np.float32), error, steps)
        worst = np.sort(np.argsort(-np.abs(residual), kind="stable")[:_HALVED])
        middle = (shares[worst] + shares[worst + 1]) / 2
        more_logits, more_gradients = await _at(case, middle)
        shares = np.insert(shares, worst + 1, middle)
        logits = np.insert(logits, worst + 1, more_logits)
        gradients = np.insert(gradients, worst + 1, more_gradients, axis=0)


async def _at(case: Case, shares: np.ndarray) -> tuple[np.ndarray, FloatArray]:
    """Logits and gradients at these shares of the recording."""
    return await case.gradients((shares[:, None, None, None] * case.ecg[None]).astype(np.float32))
