"""PR, QRS and QT on the median beat, and QT corrected for rate."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation import Delineation, MedianBeat
from cardiomesh.ecg.measurements.result import Intervals, Rhythm
from cardiomesh.ecg.measurements.values import Measurement, Status, absent, measured, not_evaluable

__all__ = ["intervals"]

PR_LOINC: Final = "8625-6"
QRS_LOINC: Final = "8633-0"
QT_LOINC: Final = "8634-8"
QTC_LOINC: Final = "8636-3"
#: A PR interval that scatters more than this from beat to beat (ms, robust SD) is no interval: the atria and the
#: ventricles go their own ways, or conduction fails in steps.
_PR_SCATTER: Final = 40.0
_MAD_TO_SD: Final = 1.4826

FloatArray = npt.NDArray[np.float64]


def _between(start: FloatArray, end: FloatArray, rate: float) -> float:
    """Median over leads of ``end - start`` in ms; NaN where no lead has both."""
    length = (end - start)[np.isfinite(end - start)]
    return float(np.median(length)) / rate * 1000 if len(length) else float("nan")


def _no_p(d: Delineation, beat: MedianBeat, p_waves: Measurement) -> tuple[Status, str] | None:
    """Why there is no PR interval, or None where there is one."""
    if p_waves.status is not Status.MEASURED:
        return p_waves.status, p_waves.reason
    if not np.isfinite(beat.fused_p.onset[0]):
        return Status.NOT_EVALUABLE, "no lead shows a P wave in most beats"
    pr = (d.fused_qrs.onset - d.fused_p.onset)[d.dominant] / d.sampling_rate * 1000
    pr = pr[np.isfinite(pr)]
    scatter = float(np.median(np.abs(pr - np.median(pr)))) * _MAD_TO_SD if len(pr) else 0.0
    if scatter > _PR_SCATTER:
        return Status.NOT_EVALUABLE, f"the PR interval scatters by {scatter:.0f} ms from beat to beat"
    return None


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


def _interval(start: FloatArray, end: FloatArray, rate: float, reason: str, loinc: str | None = None) -> Measurement:
    """``end - start`` of one fused beat in ms."""
    value = float(end[0] - start[0]) / rate * 1000
    if not np.isfinite(value):
        return not_evaluable("ms", reason, loinc)
    return measured(value, "ms", loinc)


def _no_intervals(reason: str) -> Intervals:
    nothing = not_evaluable("ms", reason)
    return Intervals(
        p=nothing,
        pr=not_evaluable("ms", reason, PR_LOINC),
        qrs=not_evaluable("ms", reason, QRS_LOINC),
        qt=not_evaluable("ms", reason, QT_LOINC),
        qtc_fridericia=not_evaluable("ms", reason, QTC_LOINC),
        qtc_bazett=nothing,
        qtc_framingham=nothing,
        qtc_hodges=nothing,
        lead_median_pr=nothing,
        lead_median_qrs=nothing,
        lead_median_qt=nothing,
    )


def intervals(d: Delineation, rhythm: Rhythm) -> Intervals:
    """All intervals of the median beat; QT is corrected by the mean RR interval."""
    beat, rate = d.median, d.sampling_rate
    if beat is None:
        reason = "no lead carries a signal" if not d.usable.any() else "no beat was found"
        return _no_intervals(reason)
    qrs = _interval(beat.fused_qrs.onset, beat.fused_qrs.offset, rate, "no lead shows a QRS complex", QRS_LOINC)
    qt = _interval(beat.fused_qrs.onset, beat.fused_t.offset, rate, "no lead shows a T wave in most beats", QT_LOINC)
    lead_qrs = measured(_between(beat.qrs.onset[:, 0], beat.qrs.offset[:, 0], rate), "ms")
    lead_qt = measured(_between(beat.qrs.onset[:, 0], beat.t.offset[:, 0], rate), "ms")
    why = _no_p(d, beat, rhythm.p_waves)
    if why is None:
        p = _interval(beat.fused_p.onset, beat.fused_p.offset, rate, "")
        pr = _interval(beat.fused_p.onset, beat.fused_qrs.onset, rate, "", PR_LOINC)
        lead_pr = measured(_between(beat.p.onset[:, 0], beat.qrs.onset[:, 0], rate), "ms")
    else:
        say = absent if why[0] is Status.ABSENT else not_evaluable
        p, pr, lead_pr = say("ms", why[1]), say("ms", why[1], PR_LOINC), say("ms", why[1])
    return Intervals(
        p=p,
        pr=pr,
        qrs=qrs,
        qt=qt,
        qtc_fridericia=_corrected(qt, rhythm.rr_mean, "fridericia"),
        qtc_bazett=_corrected(qt, rhythm.rr_mean, "bazett"),
        qtc_framingham=_corrected(qt, rhythm.rr_mean, "framingham"),
        qtc_hodges=_corrected(qt, rhythm.rr_mean, "hodges"),
        lead_median_pr=lead_pr,
        lead_median_qrs=lead_qrs,
        lead_median_qt=lead_qt,
    )
