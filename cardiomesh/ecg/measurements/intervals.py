"""PR, QRS and QT on the median beat, and PR and QT corrected for rate."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation import Delineation, MedianBeat
from cardiomesh.ecg.measurements.result import Intervals, Rhythm
from cardiomesh.ecg.reasons import Reason, why
from cardiomesh.ecg.values import Measurement, Status, absent, measured, not_evaluable

__all__ = ["intervals"]

PR_LOINC: Final = "8625-6"
QRS_LOINC: Final = "8633-0"
QT_LOINC: Final = "8634-8"
QTC_LOINC: Final = "8636-3"
#: A PR interval that scatters more than this from beat to beat (ms, robust SD) is no interval: the atria and the
#: ventricles go their own ways, or conduction fails in steps.
_PR_SCATTER: Final = 40.0
#: PR shortens by so many ms for each beat a minute above 70, from the age of 60 on and before (Soliman and Rautaharju,
#: J Electrocardiol 2012;45:66, 5757 adults). 205 and 220 ms are the 95th and 98th percentile of what results.
_PR_SLOPE: Final = 0.42, 0.26
_PR_SLOPE_AGE: Final = 60
_PR_SLOPE_RATE: Final = 70.0
_ADULT: Final = 18
#: The QRS complex has taken off once its leads together change at this share of their greatest rate.
_TAKEN_OFF: Final = 0.5
#: The steepness is a mean over this (s).
_STEEP: Final = 0.008

FloatArray = npt.NDArray[np.float64]


def _between(start: FloatArray, end: FloatArray, rate: float) -> float:
    """Median over leads of ``end - start`` in ms; NaN where no lead has both."""
    length = (end - start)[np.isfinite(end - start)]
    return float(np.median(length)) / rate * 1000 if len(length) else float("nan")


def _no_p(beat: MedianBeat, rhythm: Rhythm) -> tuple[Status, Reason] | None:
    """Why there is no PR interval, or None where there is one."""
    if rhythm.p_waves.status is not Status.MEASURED:
        return rhythm.p_waves.status, rhythm.p_waves.reason
    if not np.isfinite(beat.fused_p.onset[0]):
        return Status.NOT_EVALUABLE, why("NO_LEAD_SHOWS", wave="P")
    scatter = rhythm.pr_scatter.value
    if scatter is not None and scatter > _PR_SCATTER:
        return Status.NOT_EVALUABLE, why("PR_SCATTERS", ms=f"{scatter:.0f}")
    return None


def _upstroke(d: Delineation, beat: MedianBeat) -> Measurement:
    """Time from the QRS onset until the leads together are half as steep as they become, in ms."""
    if not np.isfinite(beat.fused_qrs.onset[0] + beat.fused_qrs.offset[0]):
        return not_evaluable("ms", why("NO_QRS"))
    width = max(1, round(_STEEP * d.sampling_rate))
    onset, offset = round(float(beat.fused_qrs.onset[0])), round(float(beat.fused_qrs.offset[0]))
    y = beat.millivolts[d.usable, max(0, onset - width) : offset + width + 1]
    steep = np.sqrt(((y[:, width:] - y[:, :-width]) ** 2).sum(axis=0))  # centred half a width after its index
    if not steep.any():
        return not_evaluable("ms", why("FLAT_QRS"))
    first = int((steep >= _TAKEN_OFF * steep.max()).argmax())
    return measured(max(0.0, first - width / 2) / d.sampling_rate * 1000, "ms")


def _corrected(qt: Measurement, rr_mean: Measurement, method: str) -> Measurement:
    """QT at a heart rate of 60/min; QT and RR in ms."""
    loinc = QTC_LOINC if method == "fridericia" else None
    if qt.value is None or rr_mean.value is None:
        return not_evaluable("ms", qt.reason or rr_mean.reason, loinc)
    seconds = rr_mean.value / 1000
    value = {
        "fridericia": qt.value / seconds ** (1 / 3),
        "bazett": qt.value / seconds**0.5,
        "framingham": qt.value + 154 * (1 - seconds),
        "hodges": qt.value + 1.75 * (60 / seconds - 60),
    }[method]
    return measured(value, "ms", loinc)


def _pr_adjusted(pr: Measurement, heart_rate: Measurement, age: int | None) -> Measurement:
    """PR at a heart rate of 70/min; needs the age."""
    if pr.value is None:
        return Measurement(None, "ms", pr.status, pr.reason)
    if heart_rate.value is None:
        return not_evaluable("ms", heart_rate.reason)
    if age is None or age < _ADULT:
        return not_evaluable("ms", why("AGE_NOT_KNOWN" if age is None else "ADULTS_ONLY"))
    older, younger = _PR_SLOPE
    slope = older if age >= _PR_SLOPE_AGE else younger
    return measured(pr.value + slope * (heart_rate.value - _PR_SLOPE_RATE), "ms")


def _interval(start: FloatArray, end: FloatArray, rate: float, reason: Reason, loinc: str | None = None) -> Measurement:
    """``end - start`` of one fused beat in ms."""
    value = float(end[0] - start[0]) / rate * 1000
    if not np.isfinite(value):
        return not_evaluable("ms", reason, loinc)
    return measured(value, "ms", loinc)


def _no_intervals(reason: Reason) -> Intervals:
    nothing = not_evaluable("ms", reason)
    return Intervals(
        p=nothing,
        pr=not_evaluable("ms", reason, PR_LOINC),
        pr_rate_adjusted=nothing,
        qrs=not_evaluable("ms", reason, QRS_LOINC),
        qrs_upstroke=nothing,
        qt=not_evaluable("ms", reason, QT_LOINC),
        qtc_fridericia=not_evaluable("ms", reason, QTC_LOINC),
        qtc_bazett=nothing,
        qtc_framingham=nothing,
        qtc_hodges=nothing,
        lead_median_pr=nothing,
        lead_median_qrs=nothing,
        lead_median_qt=nothing,
    )


def intervals(d: Delineation, rhythm: Rhythm, age: int | None) -> Intervals:
    """All intervals of the median beat; QT is corrected by the mean RR interval, PR by rate and age (years)."""
    beat, rate = d.median, d.sampling_rate
    if beat is None:
        return _no_intervals(why("NO_BEAT" if d.usable.any() else "NO_SIGNAL"))
    qrs = _interval(beat.fused_qrs.onset, beat.fused_qrs.offset, rate, why("NO_QRS"), QRS_LOINC)
    qt = _interval(beat.fused_qrs.onset, beat.fused_t.offset, rate, why("NO_LEAD_SHOWS", wave="T"), QT_LOINC)
    lead_qrs = measured(_between(beat.qrs.onset[:, 0], beat.qrs.offset[:, 0], rate), "ms")
    lead_qt = measured(_between(beat.qrs.onset[:, 0], beat.t.offset[:, 0], rate), "ms")
    no_p = _no_p(beat, rhythm)
    if no_p is None:
        cut_off = why("NO_QRS")  # a P wave was found: what is missing is the other end
        p = _interval(beat.fused_p.onset, beat.fused_p.offset, rate, cut_off)
        pr = _interval(beat.fused_p.onset, beat.fused_qrs.onset, rate, cut_off, PR_LOINC)
        lead_pr = measured(_between(beat.p.onset[:, 0], beat.qrs.onset[:, 0], rate), "ms")
    else:
        say = absent if no_p[0] is Status.ABSENT else not_evaluable
        p, pr, lead_pr = say("ms", no_p[1]), say("ms", no_p[1], PR_LOINC), say("ms", no_p[1])
    return Intervals(
        p=p,
        pr=pr,
        pr_rate_adjusted=_pr_adjusted(pr, rhythm.heart_rate, age),
        qrs=qrs,
        qrs_upstroke=_upstroke(d, beat),
        qt=qt,
        qtc_fridericia=_corrected(qt, rhythm.rr_mean, "fridericia"),
        qtc_bazett=_corrected(qt, rhythm.rr_mean, "bazett"),
        qtc_framingham=_corrected(qt, rhythm.rr_mean, "framingham"),
        qtc_hodges=_corrected(qt, rhythm.rr_mean, "hodges"),
        lead_median_pr=lead_pr,
        lead_median_qrs=lead_qrs,
        lead_median_qt=lead_qt,
    )
