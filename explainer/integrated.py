"""Integrated gradients from an average heart of the same rate and rhythm (Sundararajan et al., ICML 2017).

A finding is a difference from other hearts, so the path starts at one: from the zero line, evidence would be every
deflection there is, and the tallest would win. The network bends sharply in few places of the path, so the trapezoids
there are halved, the worst first, until the contributions add up. The logits on the path say where: a trapezoid must
add up to the change of the logit over it.
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
    """Contributions that add up to what the finding's logit owes to this heart being no average one."""

    #: ``[windows, leads, samples]``.
    values: FloatArray
    #: |Σ values − (logit of the recording − logit of the average heart)| over the absolute value of that difference.
    completeness_error: float
    steps: int


async def integrated_gradients(case: Case, first_steps: int = FIRST_STEPS, most_steps: int = MOST_STEPS) -> Integrated:
    """Integrate from the reference to the recording."""
    difference = case.ecg.astype(np.float64) - case.segmentation.reference
    shares = np.arange(first_steps + 1) / first_steps
    logits, gradients = await _at(case, shares)
    while True:
        width = np.diff(shares)
        slope = np.tensordot(gradients, difference, axes=3)
        change = np.diff(logits)
        residual = (slope[1:] + slope[:-1]) / 2 * width - change
        error = abs(float(residual.sum())) / max(abs(float(change.sum())), 1e-6)
        steps = len(width)
        if error <= MAX_ERROR or steps + _HALVED > most_steps:
            weight = np.append(width, 0.0) / 2 + np.append(0.0, width) / 2
            values = difference * np.tensordot(weight, gradients, axes=1)
            return Integrated(values.astype(np.float32), error, steps)
        worst = np.sort(np.argsort(-np.abs(residual), kind="stable")[:_HALVED])
        middle = (shares[worst] + shares[worst + 1]) / 2
        more_logits, more_gradients = await _at(case, middle)
        shares = np.insert(shares, worst + 1, middle)
        logits = np.insert(logits, worst + 1, more_logits)
        gradients = np.insert(gradients, worst + 1, more_gradients, axis=0)


async def _at(case: Case, shares: np.ndarray) -> tuple[np.ndarray, FloatArray]:
    """Logits and gradients at these shares of the way."""
    reference = case.segmentation.reference
    way = reference[None] + shares[:, None, None, None] * (case.ecg - reference)[None]
    return await case.gradients(way.astype(np.float32))
