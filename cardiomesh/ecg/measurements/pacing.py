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
    edge = narrow + before
    if millivolts.shape[1] <= edge + narrow:
        return np.zeros(0)
    x = millivolts.astype(np.float32)
    top = x[:, edge:-narrow]
    rise = top - x[:, before : -2 * narrow]
    fall = top - x[:, edge + narrow :]
    # One lead may be noisy: the height in the lead that comes third decides where it is worth looking.
    size = np.where(rise * fall > 0, np.minimum(np.abs(rise), np.abs(fall)), 0)
    tall = size >= _LEAST
    candidates = np.flatnonzero(tall.sum(axis=0) >= min(_LEADS, len(x)))
    if not len(candidates):
        return np.zeros(0)
    foot = x[:, before : -2 * narrow][:, candidates]
    level = np.abs(foot - x[:, : -edge - narrow][:, candidates]) < _LEVEL * size[:, candidates]
    found = candidates[(level & tall[:, candidates]).sum(axis=0) >= min(_LEADS, len(x))] + edge
    if not len(found):
        return np.zeros(0)
    first = np.concatenate([[True], np.diff(found) > _APART * rate])
    return np.asarray(found[first], dtype=np.float64)
