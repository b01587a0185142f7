"""Heart rate, regularity, P waves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from cardiomesh.ecg.delineation import Delineation
from cardiomesh.ecg.measurements.result import Beat, Rhythm
from cardiomesh.ecg.measurements.values import Measurement, absent, measured, not_evaluable

__all__ = ["HEART_RATE_LOINC", "MOST_BEATS", "p_wave_share", "rhythm"]

HEART_RATE_LOINC: Final = "8867-4"
#: P waves are absent when fewer than this share of the beats has one.
MOST_BEATS: Final = 0.5
#: RR intervals that differ less than this from one to the next (share of the RR interval) are regular.
_REGULAR: Final = 0.05
#: A P wave and its PR segment need at least this much room between T and the next QRS complex (s).
_P_ROOM: Final = 0.16


def p_wave_share(d: Delineation) -> float:
    """Share of the beats that have a P wave; beats so near the start that it may be cut off are not asked."""
    has = np.isfinite(d.fused_p.onset)
    asked = has | (d.beats > 0.4 * d.sampling_rate)
    return float(has[asked].mean()) if asked.any() else 0.0


def _hidden(d: Delineation, irregularity: float) -> bool:
    """Whether the beats follow each other so regularly and closely that P waves may lie inside the T waves."""
    if len(d.beats) < 3 or irregularity > _REGULAR:
        return False
    room = (d.fused_qrs.onset[1:] - d.fused_t.offset[:-1]) / d.sampling_rate
    room = room[np.isfinite(room)]
    return bool(len(room)) and float(np.median(room)) < _P_ROOM


def _p_waves(d: Delineation, irregularity: float) -> Measurement:
    if not len(d.beats):
        return not_evaluable("1", "no beat was found")
    share = p_wave_share(d)
    if share >= MOST_BEATS:
        return measured(share, "1")
    if _hidden(d, irregularity):
        return not_evaluable("1", "P waves may be hidden in the T waves of a fast regular rhythm")
    return absent("1", f"{share:.0%} of the beats have a P wave")


def _beats(d: Delineation) -> tuple[Beat, ...]:
    time = d.beats / d.sampling_rate
    before = [None, *(np.diff(time) * 1000).tolist()] if len(time) else []
    qrs = (d.fused_qrs.offset - d.fused_qrs.onset) / d.sampling_rate * 1000
    p = np.isfinite(d.fused_p.onset)
    return tuple(
        Beat(float(time[k]), before[k], bool(d.dominant[k]), bool(p[k]), float(qrs[k]) if np.isfinite(qrs[k]) else None)
        for k in range(len(time))
    )


def rhythm(d: Delineation) -> Rhythm:
    """Rate and RR statistics from the beat positions; needs two beats, three for variability."""
    rr = np.diff(d.beats) / d.sampling_rate * 1000
    few, fewer = "fewer than two beats were found", "fewer than three beats were found"
    steps = np.abs(np.diff(rr))

    def of_rr(value: Callable[[], float], unit: str, least: int, loinc: str | None = None) -> Measurement:
        if len(rr) < least:
            return not_evaluable(unit, few if least == 1 else fewer, loinc)
        return measured(float(value()), unit, loinc)

    irregularity = of_rr(lambda: np.median(steps) / np.median(rr), "1", 2)
    return Rhythm(
        heart_rate=of_rr(lambda: 60_000 / rr.mean(), "/min", 1, HEART_RATE_LOINC),
        rr_mean=of_rr(rr.mean, "ms", 1),
        rr_sd=of_rr(rr.std, "ms", 2),
        rr_min=of_rr(rr.min, "ms", 1),
        rr_max=of_rr(rr.max, "ms", 1),
        rr_rmssd=of_rr(lambda: np.sqrt((steps**2).mean()), "ms", 2),
        rr_irregularity=irregularity,
        p_waves=_p_waves(d, irregularity.value or 0.0),
        blocked_p_waves=d.blocked_p.onset.shape[1],
        beats=_beats(d),
    )
