"""Everything that is measured on one recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cardiomesh.ecg.measurements.values import Measurement

__all__ = ["Beat", "Intervals", "LeadMeasurements", "Measurements", "Rhythm", "Voltages"]


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat: when it comes, how long after the last one, whether it has the dominant QRS shape and a P wave."""

    time: float
    rr_before: float | None
    dominant: bool
    p_wave: bool
    qrs: float | None


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Rate and regularity.

    ``rr_irregularity`` is the median difference of successive RR intervals over the median RR: robust against a
    single ectopic beat, near 0 in sinus rhythm. ``p_waves`` is the share of beats with a P wave, ABSENT when most
    have none. ``blocked_p_waves`` counts P waves that no QRS complex follows.
    """

    heart_rate: Measurement
    rr_mean: Measurement
    rr_sd: Measurement
    rr_min: Measurement
    rr_max: Measurement
    rr_rmssd: Measurement
    rr_irregularity: Measurement
    p_waves: Measurement
    blocked_p_waves: int
    beats: tuple[Beat, ...]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Global intervals on the median beat (ms), QT corrected by Fridericia, Bazett, Framingham and Hodges.

    Global marks are the earliest onset and latest offset over the leads, by the rule in
    ``cardiomesh.ecg.delineation.fuse``. ``lead_median_*`` are the medians over leads of each lead's own interval:
    what a reader of single leads finds, shorter than the global ones.
    """

    p: Measurement
    pr: Measurement
    qrs: Measurement
    qt: Measurement
    qtc_fridericia: Measurement
    qtc_bazett: Measurement
    qtc_framingham: Measurement
    qtc_hodges: Measurement
    lead_median_pr: Measurement
    lead_median_qrs: Measurement
    lead_median_qt: Measurement


@dataclass(frozen=True, slots=True)
class LeadMeasurements:
    """One lead of the median beat; amplitudes in mV with their sign, from the level just before the QRS complex.

    A complex without a positive deflection is a QS: its depth is ``q``, and ``qs`` is True. ``p`` and ``t`` are the
    largest deflections of either sign, ``p_positive`` and ``p_negative`` the two parts of the P wave.
    ``r_peak_time`` is from the lead's QRS onset to its last R peak. ``st_slope`` is from J to J + 60 ms.
    """

    lead: str
    p: Measurement
    p_positive: Measurement
    p_negative: Measurement
    p_duration: Measurement
    q: Measurement
    r: Measurement
    s: Measurement
    r_prime: Measurement
    s_prime: Measurement
    q_duration: Measurement
    r_duration: Measurement
    s_duration: Measurement
    qs: bool
    peak_to_peak: Measurement
    r_peak_time: Measurement
    j: Measurement
    j60: Measurement
    st_slope: Measurement
    t: Measurement


@dataclass(frozen=True, slots=True)
class Voltages:
    """What criteria of hypertrophy add up: absolute amplitudes in mV, and the P terminal force in V1 in mV.ms."""

    s_v1: Measurement
    s_v3: Measurement
    r_v5: Measurement
    r_v6: Measurement
    r_avl: Measurement
    p_terminal_force_v1: Measurement


@dataclass(frozen=True, slots=True)
class Measurements:
    """All measurements of one recording. ``leads`` has all twelve, those that are missing as not evaluable."""

    rhythm: Rhythm
    intervals: Intervals
    p_axis: Measurement
    qrs_axis: Measurement
    t_axis: Measurement
    voltages: Voltages
    leads: Mapping[str, LeadMeasurements]
