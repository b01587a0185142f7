"""Premature, dropped and paced beats of signals in which they were drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cardiomesh.ecg.delineation import delineate
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.measurements import BeatKind, Measurement, Rhythm, Status, measure
from cardiomesh.ecg.measurements.pacing import spikes
from cardiomesh.ecg.recording import Recording
from tests.unit.cardiomesh.ecg.delineation.synthetic import GAINS, TIMES, Synthetic, ecg

RATE = 500.0
Volts = npt.NDArray[np.float64]


def rhythm(millivolts: Volts, rate: float = RATE) -> Rhythm:
    return measure(Recording(STANDARD_LEADS, millivolts, rate, "test"), delineate(millivolts, rate)).rhythm


def number(m: Measurement) -> float:
    assert m.value is not None, m.reason
    return m.value


def with_ventricular_beats(known: Synthetic, beats: list[int]) -> Volts:
    """The same with some beats replaced: no P wave, a QRS complex of 160 ms the other way up, T against it."""
    x = known.millivolts.copy()
    t = np.arange(x.shape[1]) / RATE
    clean = ecg(noise=0.0, rr=np.diff(known.qrs_onset) / RATE).millivolts
    for k in beats:
        start = known.qrs_onset[k] / RATE
        own = (t > start + TIMES[0][0] - 0.01) & (t < start + TIMES[4][1] + 0.01)
        x[:, own] -= clean[:, own]
        for begin, end, gain in ((0.0, 0.16, -1.4), (0.2, 0.44, 0.5)):
            phase = np.clip((t - start - begin) / (end - begin), 0, 1)
            x += gain * GAINS[:, 2, None] * np.sin(np.pi * phase) ** 2
    return x


def test_sinus_rhythm_has_no_beat_from_elsewhere() -> None:
    found = rhythm(ecg().millivolts)
    assert {beat.kind for beat in found.beats} == {BeatKind.NORMAL}
    assert number(found.beat_count) == len(found.beats) == 11
    assert number(found.rr_median) == pytest.approx(840, abs=1)
    assert number(found.atrial_rate) == pytest.approx(60 / 0.84, abs=1.5)
    assert number(found.pr_scatter) < 6
    for count in (
        found.premature_ventricular_beats,
        found.ventricular_escape_beats,
        found.premature_supraventricular_beats,
        found.dropped_beats,
        found.pacing_spikes,
        found.paced_beats,
    ):
        assert number(count) == 0


def test_wide_early_beats_of_another_shape_are_ventricular() -> None:
    rr = np.full(14, 0.84)
    rr[[2, 6]], rr[[3, 7]] = 0.52, 1.16
    known = ecg(rr=rr)
    found = rhythm(with_ventricular_beats(known, [3, 7]))
    assert [k for k, b in enumerate(found.beats) if b.kind is BeatKind.PREMATURE_VENTRICULAR] == [3, 7]
    assert number(found.premature_ventricular_beats) == 2
    assert number(found.premature_supraventricular_beats) == 0


def test_a_wide_late_beat_is_an_escape_beat() -> None:
    rr = np.full(14, 0.84)
    rr[4] = 1.4
    found = rhythm(with_ventricular_beats(ecg(rr=rr), [5]))
    assert found.beats[5].kind is BeatKind.VENTRICULAR_ESCAPE
    assert number(found.premature_ventricular_beats) == 0


def test_early_beats_of_the_usual_shape_are_supraventricular() -> None:
    rr = np.full(14, 0.84)
    rr[[3, 8]], rr[[4, 9]] = 0.6, 0.95
    found = rhythm(ecg(rr=rr).millivolts)
    assert [k for k, b in enumerate(found.beats) if b.kind is BeatKind.PREMATURE_SUPRAVENTRICULAR] == [4, 9]


def test_sinus_arrhythmia_has_no_early_beat() -> None:
    rr = 0.84 * (1 + 0.1 * np.sin(np.arange(14)))
    assert number(rhythm(ecg(rr=rr).millivolts).premature_supraventricular_beats) == 0


def test_where_all_is_irregular_no_beat_is_early() -> None:
    rr = np.random.default_rng(3).uniform(0.55, 1.1, 30)
    found = rhythm(ecg(rr=rr, p=0.0).millivolts)
    assert found.premature_supraventricular_beats.status is Status.NOT_EVALUABLE
    assert found.atrial_rate.status is Status.ABSENT
    assert found.pr_scatter.status is Status.ABSENT


def test_a_p_wave_without_a_beat_is_a_dropped_beat() -> None:
    known = ecg(rr=0.9)
    t = np.arange(known.millivolts.shape[1]) / RATE
    start = known.qrs_onset[5] / RATE
    only_p = ecg(rr=0.9, noise=0.0)
    x = known.millivolts.copy()
    gone = (t > start - 0.03) & (t < start + 0.45)
    x[:, gone] -= only_p.millivolts[:, gone]
    found = rhythm(x)
    assert number(found.blocked_p_waves) == 1
    assert number(found.dropped_beats) == 1
    assert number(found.atrial_rate) == pytest.approx(60 / 0.9, abs=1.5)


def paced(known: Synthetic, size: float = 0.8) -> Volts:
    x = known.millivolts.copy()
    at = (known.qrs_onset - 6).astype(int)
    for offset, share in ((-1, 0.5), (0, 1.0), (1, 0.5)):
        x[:, at + offset] += size * share * np.sign(GAINS[:, 2, None])
    return x


def test_pacing_spikes_are_found_where_they_were_put() -> None:
    known = ecg()
    x = paced(known)
    np.testing.assert_allclose(spikes(x, RATE), known.qrs_onset - 6, atol=2)
    found = rhythm(x)
    assert number(found.pacing_spikes) == len(known.qrs_onset)
    assert number(found.paced_beats) == 1


@pytest.mark.parametrize("size", [0.0, 0.05])
def test_slender_r_waves_and_specks_are_no_spikes(size: float) -> None:
    known = ecg()
    assert not len(spikes(paced(known, size) * 2, RATE))


def test_spikes_in_one_lead_alone_are_its_own_fault() -> None:
    known = ecg()
    x = known.millivolts.copy()
    x[3] = paced(known)[3]
    assert not len(spikes(x, RATE))


def test_a_slow_recording_tells_nothing_about_spikes() -> None:
    found = rhythm(ecg(rate=250.0).millivolts, 250.0)
    assert found.pacing_spikes.status is found.paced_beats.status is Status.NOT_EVALUABLE
    assert "450" in found.paced_beats.reason.en


def with_flutter(rate: float, height: float = 0.35, seconds: float = 10.0) -> Volts:
    """Beats at 70/min without P waves over a sawtooth of ``rate`` waves a minute, ``height`` mV from top to bottom."""
    x = ecg(rr=60 / 70, p=0.0, seconds=seconds).millivolts
    x[[1, 2, 5, 6]] += height * (np.arange(x.shape[1]) / RATE * rate / 60 % 1 - 0.5)
    return x


@pytest.mark.parametrize("rate", [240, 260, 280])
def test_flutter_waves_have_a_rate_and_there_are_no_p_waves(rate: int) -> None:
    x = with_flutter(rate)
    m = measure(Recording(STANDARD_LEADS, x, RATE, "test"), delineate(x, RATE))
    assert number(m.rhythm.flutter_rate) == pytest.approx(rate, abs=4)
    assert number(m.rhythm.atrial_rate) == pytest.approx(rate, abs=4)
    for value in (m.rhythm.p_waves, m.intervals.pr, m.leads["II"].p, m.p_axis, m.voltages.p_terminal_force_v1):
        assert value.status is Status.ABSENT
        assert "flutter" in value.reason.en


@pytest.mark.parametrize(("rate", "height"), [(180, 0.35), (420, 0.35), (280, 0.05)])
def test_what_is_too_slow_too_fast_or_too_small_is_no_flutter(rate: int, height: float) -> None:
    assert rhythm(with_flutter(rate, height)).flutter_rate.status is Status.ABSENT


@pytest.mark.parametrize("rr", [0.5, 0.84, 1.2])
def test_sinus_rhythm_is_no_flutter(rr: float) -> None:
    assert rhythm(ecg(rr=rr).millivolts).flutter_rate.status is Status.ABSENT


def test_flutter_is_not_told_without_its_leads_or_from_a_short_recording() -> None:
    x = with_flutter(280)
    names = tuple(name for name in STANDARD_LEADS if name not in ("II", "III", "aVF", "V1"))
    rows = [STANDARD_LEADS.index(name) for name in names]
    found = measure(Recording(names, x[rows], RATE, "test"), delineate(x[rows], RATE)).rhythm.flutter_rate
    assert found.status is Status.NOT_EVALUABLE
    assert "II" in found.reason.en
    short = rhythm(with_flutter(280, seconds=4.0)).flutter_rate
    assert short.status is Status.NOT_EVALUABLE


def test_in_bigeminy_every_other_beat_is_early() -> None:
    rr = np.tile([0.55, 1.15], 7)
    known = ecg(rr=rr)
    every_other = list(range(1, len(known.qrs_onset), 2))
    found = rhythm(with_ventricular_beats(known, every_other))
    kinds = [beat.kind for beat in found.beats]
    assert {kinds[k] for k in every_other} == {BeatKind.PREMATURE_VENTRICULAR}
    assert {kinds[k] for k in range(0, len(kinds), 2)} == {BeatKind.NORMAL}
