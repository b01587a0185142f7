"""Where the heart's signal begins and ends: padding, filler and calibration pulses are not signal."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["filler_span", "missing_span"]

Millivolts = npt.NDArray[np.float64]
Span = tuple[int, int]

#: Fewer equal samples than this, in all leads at once, are chance, or a still heart in coarse steps.
_SAME_SECONDS: Final = 0.1
#: Fewer samples at rest than this, each lead on a value of its own, are a quiet baseline in coarse steps.
_STILL_SECONDS: Final = 1.0
_LEAST_LEADS: Final = 3
_EQUAL: Final = 1e-9


def filler_span(leads: Millivolts, rate: float) -> Span:
    """First sample and end of the signal in standard leads ``[k, n]``.

    At both ends, samples that are the same in every lead are no heart: Philips carts fill up to eleven seconds with
    zeros and one calibration pulse in all leads at once; others write their lowest value. Nor is a second in which no
    lead moves at all. A recording that is nothing else is left whole: the quality grades refuse it.
    """
    length = leads.shape[1]
    if len(leads) < _LEAST_LEADS or not length:
        return 0, length
    same, still = max(1, round(_SAME_SECONDS * rate)), max(2, round(_STILL_SECONDS * rate))
    start, stop = 0, length
    # Each end is looked at only as far as it takes to see that nothing is there, which is the usual case.
    if any(_all_same(leads[:, part]) for part in (slice(0, same), slice(length - same, length))):
        with np.errstate(invalid="ignore"):
            alive = np.flatnonzero(~(np.ptp(leads, axis=0) <= _EQUAL))
        if not len(alive):
            return 0, length
        start = int(alive[0]) if alive[0] >= same else 0
        stop = int(alive[-1]) + 1 if length - alive[-1] - 1 >= same else length
    inner = leads[:, start:stop]
    if any(_none_moves(inner[:, part]) for part in (slice(0, still), slice(max(0, inner.shape[1] - still), None))):
        moves = np.flatnonzero(~(np.abs(np.diff(inner, axis=1)) <= _EQUAL).all(axis=0))
        if not len(moves):
            return start, stop
        first, last = int(moves[0]) + 1, int(moves[-1]) + 2
        stop = start + last if inner.shape[1] - last >= still else stop
        start = start + first if first >= still else start
    return start, stop


def _all_same(part: Millivolts) -> bool:
    """Whether every lead has the same value as the others, sample for sample."""
    return bool((np.abs(part - part[:1]) <= _EQUAL).all())


def _none_moves(part: Millivolts) -> bool:
    """Whether every lead keeps its value."""
    return bool((np.abs(part - part[:, :1]) <= _EQUAL).all())


def missing_span(leads: Millivolts) -> Span:
    """First sample and end of the signal, where samples are missing (NaN) in every lead at once at an end."""
    length = leads.shape[1]
    if not leads.size or not (np.isnan(leads[:, 0]).all() or np.isnan(leads[:, -1]).all()):
        return 0, length
    present = np.flatnonzero(~np.isnan(leads).all(axis=0))
    return (int(present[0]), int(present[-1]) + 1) if len(present) else (0, length)
