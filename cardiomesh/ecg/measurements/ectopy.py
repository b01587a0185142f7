"""Which beats come from elsewhere: wide ones of another shape, early narrow ones, and the beats that failed to come."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation import Delineation
from cardiomesh.ecg.measurements.result import BeatKind

__all__ = ["beat_kinds", "dropped_beats", "irregular"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Median deviation of the RR intervals from their median, as share of it, from which on no beat is early.
_IRREGULAR: Final = 0.1
#: A ventricular beat lasts at least this (ms) and, unless it is early, this much longer than the dominant ones.
_WIDE: Final = 110.0
_WIDER: Final = 20.0
#: A ventricular beat comes no later than this share of the usual RR interval; later ones are escape beats.
_EARLY_VENTRICULAR: Final = 0.95
#: A supraventricular one comes within this share of the usual and of the last RR interval: sinus arrhythmia may
#: shorten one interval by a tenth, seldom by a fifth.
_EARLY_ATRIAL: Final = 0.82
#: A pause this many times the usual RR interval lacks a beat.
_PAUSE: Final = 1.5


def irregular(rr: FloatArray) -> bool:
    """Whether the intervals differ so much that none is early: a few ectopic beats do not make a rhythm irregular."""
    usual = float(np.median(rr))
    return float(np.median(np.abs(rr - usual))) > _IRREGULAR * usual


def beat_kinds(d: Delineation) -> tuple[BeatKind, ...]:
    """What each beat is, judged by QRS shape, QRS width and prematurity.

    NORMAL has the dominant shape and comes in time. Where the rhythm is irregular altogether no beat can be early:
    then only the shape tells, and PREMATURE_SUPRAVENTRICULAR is never said.
    """
    count = len(d.beats)
    if count < 3:
        return (BeatKind.NORMAL,) * count
    rr = np.diff(d.beats)
    # The intervals that end in a usual beat are those of the basic rhythm, even where every other beat is ectopic.
    usual = float(np.median(rr[d.dominant[1:]])) if d.dominant[1:].any() else float(np.median(rr))
    no_time = irregular(rr)
    before = np.concatenate([[np.nan], rr])
    last = np.concatenate([[np.nan, np.nan], rr[:-1]])
    width = (d.fused_qrs.offset - d.fused_qrs.onset) / d.sampling_rate * 1000
    reference = np.nanmedian(width[d.dominant]) if np.isfinite(width[d.dominant]).any() else np.nan
    with np.errstate(invalid="ignore"):
        late = (before > _EARLY_VENTRICULAR * usual) & (not no_time)
        early = (before < _EARLY_ATRIAL * usual) & ~((last < before / _EARLY_ATRIAL) & (last < usual * _EARLY_ATRIAL))
    # Where the usual complex is wide itself, an early one of another shape need not be wider.
    wide: BoolArray = ~d.dominant & (width >= _WIDE) & ((width >= reference + _WIDER) | (early & (not no_time)))
    kinds = []
    for k in range(count):
        if wide[k]:
            kinds.append(BeatKind.VENTRICULAR_ESCAPE if late[k] else BeatKind.PREMATURE_VENTRICULAR)
        elif early[k] and not no_time:
            kinds.append(BeatKind.PREMATURE_SUPRAVENTRICULAR)
        else:
            kinds.append(BeatKind.NORMAL if d.dominant[k] else BeatKind.OTHER)
    return tuple(kinds)


def dropped_beats(d: Delineation) -> int:
    """Pauses in which a P wave stands that no QRS complex follows: a beat that was not conducted."""
    if len(d.beats) < 3 or not d.blocked_p.onset.shape[1]:
        return 0
    rr = np.diff(d.beats)
    with np.errstate(invalid="ignore"):
        shown = np.isfinite(d.blocked_p.peak)
        peak = np.where(shown, d.blocked_p.peak, 0.0).sum(axis=0) / np.maximum(shown.sum(axis=0), 1)
    inside = np.searchsorted(d.beats, peak) - 1
    paused = np.flatnonzero(rr >= _PAUSE * float(np.median(rr)))
    return int(np.isin(paused, inside).sum())
