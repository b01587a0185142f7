"""Heart rate, regularity, P waves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from cardiomesh.ecg.delineation import Delineation
from cardiomesh.ecg.delineation.fuse import fused
from cardiomesh.ecg.measurements import flutter, pacing
from cardiomesh.ecg.measurements.ectopy import beat_kinds, dropped_beats, irregular
from cardiomesh.ecg.measurements.result import Beat, BeatKind, Rhythm
from cardiomesh.ecg.reasons import why
from cardiomesh.ecg.recording import Recording
from cardiomesh.ecg.values import Measurement, Status, absent, measured, not_evaluable

__all__ = ["HEART_RATE_LOINC", "MOST_BEATS", "p_wave_share", "rhythm"]

HEART_RATE_LOINC: Final = "8867-4"
#: P waves are absent when fewer than this share of the beats has one.
MOST_BEATS: Final = 0.5
#: RR intervals that differ less than this from one to the next (share of the RR interval) are regular.
_REGULAR: Final = 0.05
#: A P wave and its PR segment need at least this much room between T and the next QRS complex (s).
_P_ROOM: Final = 0.16
#: A spike so long before the QRS onset, or after it (s), starts the beat: the onset may be set on the spike's foot.
_CAPTURE: Final = (-0.1, 0.03)
_MAD_TO_SD: Final = 1.4826


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


def _flutter_rate(d: Delineation, recording: Recording) -> Measurement:
    """Rate of flutter waves between the QRS complexes."""
    rows = [k for k, name in enumerate(recording.leads) if name in flutter.LEADS and d.usable[k]]
    if not rows:
        return not_evaluable("/min", why("NEEDS_ONE_LEAD", leads=", ".join(flutter.LEADS)))
    if d.samples < flutter.LEAST_SECONDS * d.sampling_rate:
        return not_evaluable("/min", why("NEEDS_SECONDS", seconds=flutter.LEAST_SECONDS))
    found = flutter.oscillation(recording.millivolts[rows], d)
    if flutter.is_flutter(found):
        return measured(found.rate, "/min")
    return absent("/min", why("NO_FLUTTER"))


def _p_waves(d: Delineation, irregularity: float, flutter_rate: Measurement) -> Measurement:
    if not len(d.beats):
        return not_evaluable("1", why("NO_BEAT"))
    if flutter_rate.value is not None:
        return absent("1", why("FLUTTER", rate=f"{flutter_rate.value:.0f}"))
    share = p_wave_share(d)
    if share >= MOST_BEATS:
        return measured(share, "1")
    if _hidden(d, irregularity):
        return not_evaluable("1", why("HIDDEN_P"))
    return absent("1", why("FEW_BEATS_WITH_P", share=f"{share:.0%}"))


def _atrial_rate(d: Delineation, p_waves: Measurement, flutter_rate: Measurement) -> Measurement:
    """Rate of the P waves, conducted or not, from the median interval between them; of the flutter waves instead."""
    if flutter_rate.value is not None:
        return flutter_rate
    if p_waves.status is not Status.MEASURED:
        return Measurement(None, "/min", p_waves.status, p_waves.reason)
    onset = np.concatenate([d.fused_p.onset, fused(d.blocked_p.onset, d.blocked_p.offset).onset])
    onset = np.sort(onset[np.isfinite(onset)])
    if len(onset) < 3:
        return not_evaluable("/min", why("FEW_P_WAVES"))
    return measured(60 * d.sampling_rate / float(np.median(np.diff(onset))), "/min")


def _pr_scatter(d: Delineation, p_waves: Measurement) -> Measurement:
    """Robust SD of the PR interval over the dominant beats."""
    if p_waves.status is not Status.MEASURED:
        return Measurement(None, "ms", p_waves.status, p_waves.reason)
    pr = (d.fused_qrs.onset - d.fused_p.onset)[d.dominant] / d.sampling_rate * 1000
    pr = pr[np.isfinite(pr)]
    if len(pr) < 3:
        return not_evaluable("ms", why("FEW_USUAL_BEATS_WITH_P"))
    return measured(_MAD_TO_SD * float(np.median(np.abs(pr - np.median(pr)))), "ms")


def _pacing(d: Delineation, recording: Recording) -> tuple[Measurement, Measurement]:
    """Number of pacing spikes, and the share of beats that begin with one."""
    if d.sampling_rate < pacing.LEAST_RATE:
        reason = why("NEEDS_RATE", rate=float(pacing.LEAST_RATE))
        return not_evaluable("1", reason), not_evaluable("1", reason)
    usable = recording.millivolts if d.usable.all() else recording.millivolts[d.usable]
    found = pacing.spikes(usable, d.sampling_rate)
    count = measured(len(found), "1")
    if not len(d.beats):
        return count, not_evaluable("1", why("NO_BEAT"))
    delay = (found[:, None] - d.fused_qrs.onset) / d.sampling_rate
    return count, measured(float(((delay >= _CAPTURE[0]) & (delay <= _CAPTURE[1])).any(axis=0).mean()), "1")


def _beats(d: Delineation, kinds: Sequence[BeatKind]) -> tuple[Beat, ...]:
    time = d.beats / d.sampling_rate
    before = [None, *(np.diff(time) * 1000).tolist()] if len(time) else []
    qrs = (d.fused_qrs.offset - d.fused_qrs.onset) / d.sampling_rate * 1000
    width = [value if math.isfinite(value) else None for value in qrs.tolist()]
    p = np.isfinite(d.fused_p.onset).tolist()
    return tuple(Beat(*beat) for beat in zip(time.tolist(), before, d.dominant.tolist(), p, width, kinds, strict=True))


def rhythm(recording: Recording, d: Delineation) -> Rhythm:
    """Rate and RR statistics from the beat positions; needs two beats, three for variability."""
    rr = np.diff(d.beats) / d.sampling_rate * 1000
    few, fewer = why("FEWER_THAN_TWO_BEATS"), why("FEWER_THAN_THREE_BEATS")
    steps = np.abs(np.diff(rr))

    def of_rr(value: Callable[[], float], unit: str, least: int, loinc: str | None = None) -> Measurement:
        if len(rr) < least:
            return not_evaluable(unit, few if least == 1 else fewer, loinc)
        return measured(float(value()), unit, loinc)

    irregularity = of_rr(lambda: np.median(steps) / np.median(rr), "1", 2)
    flutter_rate = _flutter_rate(d, recording)
    p_waves = _p_waves(d, irregularity.value or 0.0, flutter_rate)
    kinds = beat_kinds(d)
    spikes, paced = _pacing(d, recording)

    def count(value: int) -> Measurement:
        return of_rr(lambda: value, "1", 2)

    early = count(kinds.count(BeatKind.PREMATURE_SUPRAVENTRICULAR))
    if len(rr) > 1 and irregular(rr):
        early = not_evaluable("1", why("IRREGULAR"))
    return Rhythm(
        heart_rate=of_rr(lambda: 60_000 / rr.mean(), "/min", 1, HEART_RATE_LOINC),
        rr_mean=of_rr(rr.mean, "ms", 1),
        rr_median=of_rr(lambda: np.median(rr), "ms", 1),
        rr_sd=of_rr(rr.std, "ms", 2),
        rr_min=of_rr(rr.min, "ms", 1),
        rr_max=of_rr(rr.max, "ms", 1),
        rr_rmssd=of_rr(lambda: np.sqrt((steps**2).mean()), "ms", 2),
        rr_irregularity=irregularity,
        beat_count=measured(len(d.beats), "1") if d.usable.any() else not_evaluable("1", why("NO_SIGNAL")),
        p_waves=p_waves,
        flutter_rate=flutter_rate,
        atrial_rate=_atrial_rate(d, p_waves, flutter_rate),
        blocked_p_waves=count(d.blocked_p.onset.shape[1]),
        dropped_beats=count(dropped_beats(d)),
        pr_scatter=_pr_scatter(d, p_waves),
        premature_ventricular_beats=count(kinds.count(BeatKind.PREMATURE_VENTRICULAR)),
        ventricular_escape_beats=count(kinds.count(BeatKind.VENTRICULAR_ESCAPE)),
        premature_supraventricular_beats=early,
        pacing_spikes=spikes,
        paced_beats=paced,
        beats=_beats(d, kinds),
    )
