"""Delineation of signals whose waves are known, and of what is no signal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cardiomesh.ecg.delineation import Delineation, delineate
from cardiomesh.errors import InvalidRequest
from tests.unit.cardiomesh.ecg.delineation.synthetic import PR_MS, QRS_MS, QT_MS, TIMES, Synthetic, ecg

#: The referees whom the network learnt from see a wave begin earlier and end later than the bump's foot: by the CSE
#: tolerances and the 4 ms of a sample.
WIDE_MS = 14.0


def ms(d: Delineation, samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return samples * 1000 / d.sampling_rate


@pytest.fixture(scope="module")
def known() -> Synthetic:
    return ecg()


@pytest.fixture(scope="module")
def found(known: Synthetic) -> Delineation:
    return delineate(known.millivolts, known.rate)


def test_every_beat_is_found_where_it_is(known: Synthetic, found: Delineation) -> None:
    assert len(found.beats) == len(known.qrs_onset)
    late = ms(found, found.beats - known.qrs_onset)
    assert ((late > 0) & (late < QRS_MS)).all()
    assert np.ptp(late) < 5  # aligned to each other: RR intervals are exact
    assert found.dominant.all()


def test_every_lead_shows_the_waves_it_has(known: Synthetic, found: Delineation) -> None:
    assert found.qrs.present.all()
    assert found.t.present.mean() > 0.95
    assert found.p.present.mean() > 0.9
    assert not found.blocked_p.onset.shape[1]


@pytest.mark.parametrize(
    ("wave", "onset", "offset"),
    [("fused_p", *TIMES[0]), ("fused_qrs", 0.0, TIMES[3][1]), ("fused_t", *TIMES[4])],
)
def test_fused_marks_are_near_the_truth(
    known: Synthetic, found: Delineation, wave: str, onset: float, offset: float
) -> None:
    marks = getattr(found, wave)
    assert np.abs(ms(found, marks.onset - known.qrs_onset) - onset * 1000).max() < 2 * WIDE_MS
    assert np.abs(ms(found, marks.offset - known.qrs_onset) - offset * 1000).max() < 2 * WIDE_MS


@pytest.mark.parametrize("rate", [100.0, 250.0, 360.0, 1000.0])
def test_marks_do_not_depend_on_the_sampling_rate(rate: float, found: Delineation) -> None:
    other = ecg(rate=rate)
    d = delineate(other.millivolts, rate)
    assert d.median is not None
    assert found.median is not None
    for wave in ("fused_p", "fused_qrs", "fused_t"):
        here, there = getattr(d.median, wave), getattr(found.median, wave)
        length = ms(d, here.offset - here.onset) - ms(found, there.offset - there.onset)
        assert abs(float(length[0])) < 12


def test_the_median_beat_is_the_beat_without_its_noise(known: Synthetic, found: Delineation) -> None:
    clean = ecg(noise=0.0)
    beat = found.median
    assert beat is not None
    assert beat.beats >= 9
    start = round(float(known.qrs_onset[4] - found.beats[4])) + beat.anchor
    first = round(float(known.qrs_onset[4]))
    span = round(0.45 * known.rate)
    error = beat.millivolts[:, start : start + span] - clean.millivolts[:, first : first + span]
    assert np.abs(error).max() < 0.08  # the steepest slope times half a sample of jitter
    assert np.sqrt((error**2).mean()) < 0.015


def test_without_p_waves_none_is_tied_to_most_beats() -> None:
    rr = np.random.default_rng(3).uniform(0.5, 1.1, 30)
    d = delineate(ecg(rr=rr, p=0.0).millivolts, 500.0)
    assert np.isfinite(d.fused_p.onset).mean() < 0.5
    assert np.isfinite(d.fused_qrs.onset).all()


def test_a_flat_and_a_broken_lead_are_left_out(known: Synthetic, found: Delineation) -> None:
    x = known.millivolts.copy()
    x[4] = 0.001
    x[9] = np.nan
    d = delineate(x, known.rate)
    assert d.usable.tolist() == [k not in (4, 9) for k in range(12)]
    assert not d.qrs.present[[4, 9]].any()
    assert len(d.beats) == len(found.beats)
    np.testing.assert_allclose(d.fused_qrs.onset, found.fused_qrs.onset, atol=0.012 * known.rate)


def test_nothing_is_found_in_no_signal() -> None:
    d = delineate(np.zeros((12, 5000)), 500.0)
    assert not len(d.beats)
    assert d.median is None
    assert not d.usable.any()


def test_noise_alone_has_no_typical_beat_with_p_qrs_and_t() -> None:
    d = delineate(np.random.default_rng(8).normal(scale=0.05, size=(12, 5000)), 500.0)
    assert len(d.beats) < 3


def test_a_single_lead_is_enough(known: Synthetic) -> None:
    d = delineate(known.millivolts[1:2], known.rate)
    assert len(d.beats) == len(known.qrs_onset)


def test_wander_does_not_reach_the_median_beat(known: Synthetic, found: Delineation) -> None:
    t = np.arange(known.millivolts.shape[1]) / known.rate
    d = delineate(known.millivolts + 0.4 * np.sin(2 * np.pi * 0.25 * t), known.rate)
    assert d.median is not None
    assert found.median is not None
    st = d.median.anchor + round(0.12 * known.rate)
    assert np.abs(d.median.millivolts[:, st] - found.median.millivolts[:, st]).max() < 0.05


def test_the_same_signal_gives_the_same_marks(known: Synthetic, found: Delineation) -> None:
    again = delineate(known.millivolts, known.rate)
    np.testing.assert_array_equal(again.p.onset, found.p.onset)
    np.testing.assert_array_equal(again.beats, found.beats)


@pytest.mark.parametrize(
    ("shape", "rate", "field"),
    [((12, 900), 500.0, "millivolts"), ((12, 5000), 50.0, "sampling_rate"), ((12, 5000), np.nan, "sampling_rate")],
)
def test_what_cannot_be_delineated_is_refused(shape: tuple[int, int], rate: float, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        delineate(np.ones(shape), rate)
    assert caught.value.violations[0].field == field


def test_intervals_of_the_synthetic_ecg_add_up() -> None:
    assert pytest.approx(-TIMES[0][0] * 1000) == PR_MS
    assert pytest.approx(TIMES[3][1] * 1000) == QRS_MS
    assert pytest.approx(TIMES[4][1] * 1000) == QT_MS
