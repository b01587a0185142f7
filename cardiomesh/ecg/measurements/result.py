"""Everything that is measured on one recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cardiomesh.ecg.values import Measurement

__all__ = ["Beat", "BeatKind", "Intervals", "LeadMeasurements", "Measurements", "Rhythm", "Voltages"]


class BeatKind(StrEnum):
    """Where a beat comes from, as far as shape, width and time tell."""

    NORMAL = "NORMAL"
    PREMATURE_VENTRICULAR = "PREMATURE_VENTRICULAR"
    #: Wide and of another shape, but not early.
    VENTRICULAR_ESCAPE = "VENTRICULAR_ESCAPE"
    PREMATURE_SUPRAVENTRICULAR = "PREMATURE_SUPRAVENTRICULAR"
    #: Of another shape, but neither wide nor early: a fusion beat, or noise.
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat: time (s), RR interval before it (ms), whether it has the dominant QRS shape and a P wave, QRS (ms)."""

    time: float
    rr_before: float | None
    dominant: bool
    p_wave: bool
    qrs: float | None
    kind: BeatKind


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Rate, regularity, P waves, and where the beats come from; counts are over the whole recording.

    ``rr_irregularity`` is the median difference of successive RR intervals over the median RR: robust against a
    single ectopic beat, near 0 in sinus rhythm. ``p_waves`` is the share of beats with a P wave, ABSENT when most
    have none; ``flutter_rate`` is that of flutter waves, ABSENT when there are none; ``atrial_rate`` is the rate of
    either; ``blocked_p_waves`` counts those that no QRS complex
    follows, ``dropped_beats`` the pauses that hold one. ``pr_scatter`` is the robust SD of PR from beat to beat.
    ``paced_beats`` is the share of beats that begin with a pacing spike.
    """

    heart_rate: Measurement
    rr_mean: Measurement
    rr_median: Measurement
    rr_sd: Measurement
    rr_min: Measurement
    rr_max: Measurement
    rr_rmssd: Measurement
    rr_irregularity: Measurement
    beat_count: Measurement
    p_waves: Measurement
    flutter_rate: Measurement
    atrial_rate: Measurement
    blocked_p_waves: Measurement
    dropped_beats: Measurement
    pr_scatter: Measurement
    premature_ventricular_beats: Measurement
    ventricular_escape_beats: Measurement
    premature_supraventricular_beats: Measurement
    pacing_spikes: Measurement
    paced_beats: Measurement
    beats: tuple[Beat, ...]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Global intervals on the median beat (ms), QT corrected by Fridericia, Bazett, Framingham and Hodges.

    ``pr_rate_adjusted`` is PR at a rate of 70/min for the patient's age (Soliman and Rautaharju 2012).

    Global marks are the earliest onset and latest offset over the leads, by the rule in
    ``cardiomesh.ecg.delineation.fuse``. ``lead_median_*`` are the medians over leads of each lead's own interval:
    what a reader of single leads finds, shorter than the global ones. ``qrs_upstroke`` is how long the QRS complex
    takes until all leads together change half as fast as they ever do: long where it begins slurred, as with a delta
    wave.
    """

    p: Measurement
    pr: Measurement
    pr_rate_adjusted: Measurement
    qrs: Measurement
    qrs_upstroke: Measurement
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

    A complex without a positive deflection is a QS: its depth is ``q``, and ``qs`` is 1 instead of 0. ``p`` and ``t``
    are the largest deflections of either sign, their ``_positive`` and ``_negative`` parts come beside them.
    ``r_notches`` counts the notches in the positive deflections that do not reach the zero level, ``qrs_net`` is the
    sum of the highest and the lowest point. ``r_peak_time`` is from the lead's QRS onset to its last R peak.
    ``st_slope`` is from J to J + 60 ms.
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
    r_prime_duration: Measurement
    s_prime_duration: Measurement
    qs: Measurement
    r_notches: Measurement
    peak_to_peak: Measurement
    qrs_net: Measurement
    qrs_duration: Measurement
    r_peak_time: Measurement
    j: Measurement
    j60: Measurement
    j80: Measurement
    st_slope: Measurement
    t: Measurement
    t_positive: Measurement
    t_negative: Measurement
    t_duration: Measurement


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
