"""Prediction sets per finding: which of "absent" and "present" can be ruled out at a stated rate of error.

Label-conditional (Mondrian) split conformal prediction (Vovk 2012, arXiv:1209.2673; Sadinle et al., JASA 2019): of the
recordings that carry the finding, at most ``1 - level`` lose "present" from their set, and of those that do not, at
most ``1 - level`` lose "absent". That holds class by class for exchangeable recordings, whatever the model; it does
not hold for another population. With fewer than nine positives "present" can never be ruled out at 0.90.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["LEVEL", "Limits", "conformal_limits"]

LEVEL: Final = 0.90
_DIGITS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Limits:
    """ "Absent" is in the set up to, and "present" from, these probabilities."""

    absent_to: float
    present_from: float


def conformal_limits(
    probability: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], level: float = LEVEL
) -> Limits:
    """Limits of one class from calibrated probabilities [N] that no other choice has seen."""
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(truth) > 0.5
    present, absent = np.sort(p[y]), np.sort(p[~y])
    # The k-th smallest of n exchangeable scores is exceeded from below with probability k / (n + 1) at most.
    tolerated = math.floor((len(present) + 1) * (1 - level) + 1e-9)
    present_from = float(present[tolerated - 1]) if tolerated else 0.0
    needed = math.ceil((len(absent) + 1) * level - 1e-9)
    absent_to = float(absent[needed - 1]) if needed <= len(absent) else 1.0
    # Rounded outwards, so that the recording that sets a limit stays inside it.
    return Limits(math.ceil(absent_to * _DIGITS) / _DIGITS, math.floor(present_from * _DIGITS) / _DIGITS)
