"""Pacing spikes: found on the recording as it came, because every filter takes them away."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_RATE", "spikes"]

FloatArray = npt.NDArray[np.float64]

#: Below this sampling rate (Hz) too little of a half-millisecond pulse is left.
LEAST_RATE: Final = 450.0
#: A spike rises and falls by at least this (mV) within this time (s) in at least so many leads.
_LEAST: Final = 0.2
_NARROW: Final = 0.004
_LEADS: Final = 3
#: It starts from a level: the signal before it moves by less than this share of the spike within this time (s). The
#: peak of a slender R wave is as sharp, but has been rising for longer.
_LEVEL: Final = 0.4
_BEFORE: Final = 0.008
#: Spikes closer to each other than this (s) are one.
_APART: Final = 0.02


def spikes(millivolts: FloatArray, rate: float) -> FloatArray:
    """Positions (samples) of the pacing spikes of ``[leads, n]`` mV, at least ``LEAST_RATE`` Hz."""
    narrow, before = max(1, round(_NARROW * rate)), round(_BEFORE * rate)
    edge, leads = narrow + before, min(_LEADS, len(millivolts))
    if millivolts.shape[1] <= edge + narrow or not leads:
        return np.zeros(0)
    x = millivolts.astype(np.float32)
    step = x[:, narrow:] - x[:, :-narrow]
    np.abs(step, out=step)
    # Most samples are settled by one comparison: neither steep before nor steep after.
    steep = (step >= _LEAST).sum(axis=0, dtype=np.uint8) >= leads
    at = np.flatnonzero(steep[before:-narrow] & steep[edge:]) + edge
    top, foot = x[:, at], x[:, at - narrow]
    rise, fall = top - foot, top - x[:, at + narrow]
    size = np.where(rise * fall > 0, np.minimum(np.abs(rise), np.abs(fall)), 0)
    level = np.abs(foot - x[:, at - edge]) < _LEVEL * size
    found = at[(level & (size >= _LEAST)).sum(axis=0) >= leads]
    first = np.diff(found, prepend=-np.inf) > _APART * rate
    return np.asarray(found[first], dtype=np.float64)
