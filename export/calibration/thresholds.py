"""The probability from which a finding is called present, one per class, each by a rule that its card states."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["SENSITIVITY_OF_URGENT", "SPECIFICITY_OF_URGENT", "choose_threshold"]

#: A missed urgent finding costs more than a false alarm …
SENSITIVITY_OF_URGENT: Final = 0.95
#: … but an alarm on every second ECG is an alarm on none.
SPECIFICITY_OF_URGENT: Final = 0.80
#: With fewer positives than this a maximum over thresholds is noise.
_ENOUGH_POSITIVES: Final = 8


def _between(value: float, below: float) -> float:
    """A threshold halfway to the next lower score, so that rounding cannot flip the deciding recording."""
    return (value + below) / 2


def _sensitive(p: npt.NDArray[np.float64], y: npt.NDArray[np.bool_], wanted: float) -> float:
    positives = np.sort(p[y])[::-1]
    last = positives[math.ceil(wanted * len(positives)) - 1]
    lower = p[p < last]
    return _between(float(last), float(lower.max()) if len(lower) else 0.0)


def _specific(p: npt.NDArray[np.float64], y: npt.NDArray[np.bool_], wanted: float) -> float:
    """The lowest threshold that leaves at least ``wanted`` of the negatives below it."""
    negatives = np.sort(p[~y])
    last = float(negatives[min(math.ceil(wanted * len(negatives)), len(negatives)) - 1])
    above = p[p > last]
    return _between(float(above.min()) if len(above) else 1.0, last)


def _best_f1(p: npt.NDArray[np.float64], y: npt.NDArray[np.bool_]) -> float:
    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(y[order])
    called = np.arange(1, len(p) + 1)
    f1 = 2 * hits / (called + y.sum())
    best = int(np.argmax(f1))
    below = p[order[best + 1]] if best + 1 < len(p) else 0.0
    return _between(float(p[order[best]]), float(below))


def choose_threshold(
    probability: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], urgency: str, prevalence: float
) -> tuple[float, str]:
    """The threshold of one class and the rule that chose it.

    ``prevalence`` is the share of training recordings that carry the finding; it decides where fold 9 has too
    few positives for anything better.
    """
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(truth) > 0.5
    count = int(y.sum())
    if count < _ENOUGH_POSITIVES:
        called = max(1, round(prevalence * len(p)))
        ranked = np.sort(p)[::-1]
        threshold = _between(float(ranked[called - 1]), float(ranked[called]) if called < len(p) else 0.0)
        rule = f"as many calls on fold 9 as the training prevalence ({prevalence:.3f}) implies; {count} positives there"
    elif urgency in ("urgent", "critical"):
        sensitive, specific = _sensitive(p, y, SENSITIVITY_OF_URGENT), _specific(p, y, SPECIFICITY_OF_URGENT)
        threshold = max(sensitive, specific)
        reached = (
            f"highest threshold with sensitivity of at least {SENSITIVITY_OF_URGENT:.2f}"
            if sensitive >= specific
            else f"lowest threshold with specificity of at least {SPECIFICITY_OF_URGENT:.2f}, because sensitivity "
            f"{SENSITIVITY_OF_URGENT:.2f} would cost more"
        )
        rule = f"{reached}, on fold 9 ({count} positives)"
    else:
        threshold = _best_f1(p, y)
        rule = f"largest F1 on fold 9 ({count} positives)"
    return round(min(max(threshold, 0.001), 0.999), 4), rule
