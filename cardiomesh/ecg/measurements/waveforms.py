"""Amplitudes and times of each lead of the median beat, the axes, and the voltages that criteria add up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation import Delineation, MedianBeat, WaveMarks
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.measurements.deflections import Deflection, QrsShape, notches, qrs_shape
from cardiomesh.ecg.measurements.result import LeadMeasurements, Voltages
from cardiomesh.ecg.reasons import Reason, why
from cardiomesh.ecg.values import Measurement, Status, absent, measured, not_evaluable

__all__ = ["axis", "lead_measurements", "voltages"]

FloatArray = npt.NDArray[np.float64]

#: Levels are means over this stretch (s), so that one noisy sample decides nothing.
_LEVEL: Final = 0.008
#: After J, where the ST segment is measured once more (s), and where exercise and ischaemia criteria want it.
_J_PLUS: Final = 0.06
_J_PLUS_LATE: Final = 0.08
#: A mean vector smaller than this (mV over the wave) has no direction that means anything.
_LEAST_VECTOR: Final = {"P": 0.01, "QRS": 0.02, "T": 0.02}
#: The end of a P wave is negative from this depth on (mV).
_LEAST_TERMINAL: Final = 0.01


def _level(y: FloatArray, at: float, rate: float) -> float:
    """Mean around a sample of the median beat; NaN outside it."""
    half = max(1, round(_LEVEL * rate / 2))
    if not math.isfinite(at):
        return math.nan
    first = round(at) - half
    if first < 0 or first + 2 * half + 1 > len(y):
        return math.nan
    return float(y[first : first + 2 * half + 1].sum()) / (2 * half + 1)


def _stretch(y: FloatArray, onset: float, offset: float) -> FloatArray:
    """The samples between two marks; empty where a mark is missing or outside."""
    if not (math.isfinite(onset) and math.isfinite(offset)):
        return y[:0]
    return y[max(0, round(onset)) : round(offset) + 1]


def _from_line(y: FloatArray, first: float, last: float) -> FloatArray:
    """``y`` over the line from ``first`` at its start to ``last`` at its end."""
    return y - (first + (last - first) / (len(y) - 1) * np.arange(len(y)))


def _no_p(p_waves: Measurement, unit: str) -> Measurement:
    """What a value of the P wave is where the rhythm has none."""
    return Measurement(None, unit, p_waves.status, p_waves.reason)


def _two_parts(y: FloatArray) -> tuple[Measurement, Measurement, Measurement]:
    """The larger of the positive and the negative part, and both."""
    high, low = measured(max(0.0, float(y.max())), "mV"), measured(min(0.0, float(y.min())), "mV")
    return (high if (high.value or 0.0) >= -(low.value or 0.0) else low), high, low


class _Lead:
    """Measures one row of the median beat."""

    def __init__(self, beat: MedianBeat, row: int, rate: float, p_waves: Measurement) -> None:
        self.y = beat.millivolts[row]
        self.rate = rate
        self.row = row
        self.beat = beat
        self.p_waves = p_waves
        onset, offset = float(beat.fused_qrs.onset[0]), float(beat.fused_qrs.offset[0])
        self.qrs_onset = max(0, round(onset))
        self.qrs_offset = offset
        self.qrs = _stretch(self.y, onset, offset)
        self.shape = qrs_shape(self.qrs, rate) if len(self.qrs) else QrsShape()

    def _ends(self, wave: WaveMarks) -> tuple[float, float]:
        return float(wave.onset[self.row, 0]), float(wave.offset[self.row, 0])

    def p(self) -> tuple[Measurement, Measurement, Measurement, Measurement]:
        """Largest deflection, positive part, negative part, duration: from the line between the wave's ends."""
        if self.p_waves.status is not Status.MEASURED:
            none = _no_p(self.p_waves, "mV")
            return none, none, none, _no_p(self.p_waves, "ms")
        onset, offset = self._ends(self.beat.p)
        y = _stretch(self.y, onset, offset)
        if len(y) < 3:
            none = absent("mV", why("NO_WAVE", wave="P"))
            return none, none, none, absent("ms", none.reason)
        first, last = (_level(self.y, at, self.rate) for at in (onset, offset))
        if not math.isfinite(first + last):
            first, last = float(y[0]), float(y[-1])
        away = _from_line(y, first, last)
        duration = measured((offset - onset) / self.rate * 1000, "ms")
        return *_two_parts(away), duration

    def t(self) -> tuple[Measurement, Measurement, Measurement, Measurement]:
        """Largest deflection of either sign, positive part, negative part, duration: from the zero level."""
        onset, offset = self._ends(self.beat.t)
        y = _stretch(self.y, onset, offset)
        if not len(y):
            none = absent("mV", why("NO_WAVE", wave="T"))
            return none, none, none, absent("ms", none.reason)
        width = max(1, round(_LEVEL * self.rate))
        smooth = np.convolve(y, np.full(width, 1 / width), mode="valid") if len(y) > width else y
        return *_two_parts(smooth), measured((offset - onset) / self.rate * 1000, "ms")

    def st(self) -> tuple[Measurement, Measurement, Measurement, Measurement]:
        """J, J + 60 ms, J + 80 ms, slope between the first two (mV/s)."""
        j, j60, j80 = (
            _level(self.y, self.qrs_offset + after * self.rate, self.rate) for after in (0.0, _J_PLUS, _J_PLUS_LATE)
        )
        return measured(j, "mV"), measured(j60, "mV"), measured(j80, "mV"), measured((j60 - j) / _J_PLUS, "mV/s")

    def qrs_size(self) -> tuple[Measurement, Measurement, Measurement]:
        """Highest minus lowest point, their sum, notches of the positive deflections."""
        if not len(self.qrs):
            none = not_evaluable("mV", why("NO_QRS"))
            return none, none, not_evaluable("1", none.reason)
        high, low = float(self.qrs.max()), float(self.qrs.min())
        return measured(high - low, "mV"), measured(high + low, "mV"), measured(notches(self.qrs), "1")

    def qrs_duration(self) -> Measurement:
        """From this lead's own onset to its own offset, in ms."""
        onset, offset = self._ends(self.beat.qrs)
        if not math.isfinite(offset - onset):
            return absent("ms", why("NO_QRS_IN_LEAD"))
        return measured((offset - onset) / self.rate * 1000, "ms")

    def r_peak_time(self) -> Measurement:
        """From the lead's own QRS onset (the fused one where it has none) to its last R peak, in ms."""
        last = self.shape.r_prime or self.shape.r
        if last is None:
            return absent("ms", why("NO_WAVE", wave="R"))
        own = float(self.beat.qrs.onset[self.row, 0])
        onset = own if math.isfinite(own) else self.qrs_onset
        return measured(max(0.0, self.qrs_onset + last.peak - onset) / self.rate * 1000, "ms")


def _amplitude(wave: Deflection | None, name: str) -> Measurement:
    return absent("mV", why("NO_WAVE", wave=name)) if wave is None else measured(wave.amplitude, "mV")


def _duration(wave: Deflection | None, name: str) -> Measurement:
    return absent("ms", why("NO_WAVE", wave=name)) if wave is None else measured(wave.duration, "ms")


def _measured_lead(name: str, beat: MedianBeat, row: int, rate: float, p_waves: Measurement) -> LeadMeasurements:
    lead = _Lead(beat, row, rate, p_waves)
    shape = lead.shape
    p, p_positive, p_negative, p_duration = lead.p()
    t, t_positive, t_negative, t_duration = lead.t()
    j, j60, j80, slope = lead.st()
    peak_to_peak, net, notched = lead.qrs_size()
    return LeadMeasurements(
        lead=name,
        p=p,
        p_positive=p_positive,
        p_negative=p_negative,
        p_duration=p_duration,
        q=_amplitude(shape.q, "Q"),
        r=_amplitude(shape.r, "R"),
        s=_amplitude(shape.s, "S"),
        r_prime=_amplitude(shape.r_prime, "R'"),
        s_prime=_amplitude(shape.s_prime, "S'"),
        q_duration=_duration(shape.q, "Q"),
        r_duration=_duration(shape.r, "R"),
        s_duration=_duration(shape.s, "S"),
        r_prime_duration=_duration(shape.r_prime, "R'"),
        s_prime_duration=_duration(shape.s_prime, "S'"),
        qs=measured(float(shape.qs), "1"),
        r_notches=notched,
        peak_to_peak=peak_to_peak,
        qrs_net=net,
        qrs_duration=lead.qrs_duration(),
        r_peak_time=lead.r_peak_time(),
        j=j,
        j60=j60,
        j80=j80,
        st_slope=slope,
        t=t,
        t_positive=t_positive,
        t_negative=t_negative,
        t_duration=t_duration,
    )


def _unmeasured_lead(name: str, reason: Reason) -> LeadMeasurements:
    units = {"qs": "1", "r_notches": "1", "st_slope": "mV/s", "r_peak_time": "ms"}
    values = {
        field.name: not_evaluable(units.get(field.name, "ms" if field.name.endswith("_duration") else "mV"), reason)
        for field in fields(LeadMeasurements)
        if field.name != "lead"
    }
    return LeadMeasurements(name, **values)


def lead_measurements(d: Delineation, rows: Mapping[str, int], p_waves: Measurement) -> dict[str, LeadMeasurements]:
    """All twelve leads; ``rows`` says which row of the delineation each recorded lead is.

    Where ``p_waves`` is not measured, neither is the P wave of a lead.
    """
    measurements = {}
    for name in STANDARD_LEADS:
        row = rows.get(name)
        if row is None:
            measurements[name] = _unmeasured_lead(name, why("NOT_RECORDED", lead=name))
        elif not d.usable[row]:
            measurements[name] = _unmeasured_lead(name, why("LEAD_WITHOUT_SIGNAL", lead=name))
        elif d.median is None:
            measurements[name] = _unmeasured_lead(name, why("NO_BEAT"))
        else:
            measurements[name] = _measured_lead(name, d.median, row, d.sampling_rate, p_waves)
    return measurements


def axis(d: Delineation, rows: Mapping[str, int], wave: str, p_waves: Measurement) -> Measurement:
    """Frontal axis of P, QRS or T in degrees (-180, 180]: direction of the wave's mean vector, from leads I and II."""
    missing = [name for name in ("I", "II") if name not in rows or not d.usable[rows[name]]]
    if missing:
        return not_evaluable("deg", why("NEEDS_LEADS", leads=tuple(missing)))
    if d.median is None:
        return not_evaluable("deg", why("NO_BEAT"))
    if wave == "P" and p_waves.status is not Status.MEASURED:
        return _no_p(p_waves, "deg")
    beat = d.median
    marks = {"P": beat.fused_p, "QRS": beat.fused_qrs, "T": beat.fused_t}[wave]
    one, two = (_stretch(beat.millivolts[rows[n]], float(marks.onset[0]), float(marks.offset[0])) for n in ("I", "II"))
    if len(one) < 3:
        return absent("deg", why("NO_WAVE_IN_MOST", wave=wave))
    if wave == "P":
        one, two = (_from_line(y, float(y[0]), float(y[-1])) for y in (one, two))
    x = float(one.mean())
    y = (float(two.mean()) - x / 2) * 2 / math.sqrt(3)  # aVF = II - I / 2, and Goldberger's leads are √3 / 2 as long
    if math.hypot(x, y) < _LEAST_VECTOR[wave]:
        return not_evaluable("deg", why("NO_DIRECTION"))
    return measured(math.degrees(math.atan2(y, x)), "deg")


def _deepest(lead: LeadMeasurements) -> Measurement:
    """Depth of the S wave, or of a QS complex."""
    depths = [m.value for m in (lead.s, lead.s_prime, lead.q if lead.qs.value else lead.s) if m.value is not None]
    return measured(-min(depths), "mV") if depths else lead.s


def _highest(lead: LeadMeasurements) -> Measurement:
    heights = [m.value for m in (lead.r, lead.r_prime) if m.value is not None]
    return measured(max(heights), "mV") if heights else lead.r


def voltages(leads: Mapping[str, LeadMeasurements], v1_terminal: Measurement) -> Voltages:
    """Absolute amplitudes for the criteria of hypertrophy; a wave that is not there is ABSENT, not 0."""
    return Voltages(
        s_v1=_deepest(leads["V1"]),
        s_v3=_deepest(leads["V3"]),
        r_v5=_highest(leads["V5"]),
        r_v6=_highest(leads["V6"]),
        r_avl=_highest(leads["aVL"]),
        p_terminal_force_v1=v1_terminal,
    )


def p_terminal_force(d: Delineation, rows: Mapping[str, int], p_waves: Measurement) -> Measurement:
    """Depth times duration of the negative end of the P wave in V1 (Morris 1964), mV.ms; ABSENT without one."""
    row = rows.get("V1")
    if row is None or not d.usable[row]:
        return not_evaluable("mV.ms", why("NEEDS_LEADS", leads=("V1",)))
    if d.median is None:
        return not_evaluable("mV.ms", why("NO_BEAT"))
    if p_waves.status is not Status.MEASURED:
        return _no_p(p_waves, "mV.ms")
    onset, offset = float(d.median.fused_p.onset[0]), float(d.median.fused_p.offset[0])
    y = _stretch(d.median.millivolts[row], onset, offset)
    if len(y) < 3:
        return absent("mV.ms", why("NO_WAVE_IN_MOST", wave="P"))
    away = _from_line(y, float(y[0]), float(y[-1]))
    negative = np.flatnonzero(away < -_LEAST_TERMINAL)
    if not len(negative) or negative[-1] < len(away) / 2:
        return absent("mV.ms", why("NO_NEGATIVE_END"))
    first = int(np.flatnonzero(away[: negative[-1]] >= 0)[-1]) + 1  # the line starts on the wave: there is one
    end = away[first:]
    return measured(-float(end.min()) * len(end) / d.sampling_rate * 1000, "mV.ms")
