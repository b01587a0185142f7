"""Measurements of signals whose values are known, and the reasons where there are none."""

from __future__ import annotations

import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from cardiomesh.ecg.delineation import delineate
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.measurements import LeadMeasurements, Measurement, Measurements, Status, measure
from cardiomesh.ecg.measurements.deflections import notches, qrs_shape
from cardiomesh.ecg.recording import Patient, Recording
from cardiomesh.errors import InvalidRequest
from tests.unit.cardiomesh.ecg.delineation.synthetic import GAINS, PR_MS, QRS_MS, QT_MS, Synthetic, ecg

Volts = npt.NDArray[np.float64]


def measured(millivolts: Volts, rate: float = 500.0, leads: tuple[str, ...] = STANDARD_LEADS) -> Measurements:
    return measure(Recording(leads, millivolts, rate, "test"), delineate(millivolts, rate))


def number(m: Measurement) -> float:
    assert m.value is not None, m.reason
    return m.value


@pytest.fixture(scope="module")
def known() -> Synthetic:
    return ecg()


@pytest.fixture(scope="module")
def result(known: Synthetic) -> Measurements:
    return measured(known.millivolts)


def test_rate_and_regularity(result: Measurements) -> None:
    assert number(result.rhythm.heart_rate) == pytest.approx(60 / 0.84, abs=0.1)
    assert number(result.rhythm.rr_mean) == pytest.approx(840, abs=1)
    assert number(result.rhythm.rr_sd) < 3
    assert number(result.rhythm.rr_irregularity) < 0.01
    assert result.rhythm.p_waves.status is Status.MEASURED
    assert number(result.rhythm.blocked_p_waves) == 0
    assert [beat.rr_before is None for beat in result.rhythm.beats] == [True, *[False] * 10]


def test_intervals_are_near_the_truth(result: Measurements) -> None:
    # Referees, and the network with them, put the ends of a wave some milliseconds outside its foot.
    assert number(result.intervals.pr) == pytest.approx(PR_MS, abs=15)
    assert number(result.intervals.qrs) == pytest.approx(QRS_MS, abs=26)
    assert number(result.intervals.qt) == pytest.approx(QT_MS, abs=20)
    assert number(result.intervals.lead_median_qrs) <= number(result.intervals.qrs) + 1


def test_corrected_qt_follows_the_formulas(result: Measurements) -> None:
    i, qt, rr = result.intervals, number(result.intervals.qt), number(result.rhythm.rr_mean) / 1000
    assert number(i.qtc_bazett) == pytest.approx(qt / rr**0.5)
    assert number(i.qtc_fridericia) == pytest.approx(qt / rr ** (1 / 3))
    assert number(i.qtc_framingham) == pytest.approx(qt + 154 * (1 - rr))
    assert number(i.qtc_hodges) == pytest.approx(qt + 1.75 * (60 / rr - 60))


@pytest.mark.parametrize(("age", "slope"), [(59, 0.26), (60, 0.42)])
def test_pr_is_adjusted_for_rate_by_age(known: Synthetic, age: int, slope: float) -> None:
    recording = Recording(STANDARD_LEADS, known.millivolts, known.rate, "test", patient=Patient(age_years=age))
    m = measure(recording, delineate(known.millivolts, known.rate))
    expected = number(m.intervals.pr) + slope * (number(m.rhythm.heart_rate) - 70)
    assert number(m.intervals.pr_rate_adjusted) == pytest.approx(expected)


@pytest.mark.parametrize("age", [None, 12])
def test_without_an_adult_age_pr_is_not_adjusted(known: Synthetic, age: int | None) -> None:
    recording = Recording(STANDARD_LEADS, known.millivolts, known.rate, "test", patient=Patient(age_years=age))
    adjusted = measure(recording, delineate(known.millivolts, known.rate)).intervals.pr_rate_adjusted
    assert adjusted.status is Status.NOT_EVALUABLE
    assert adjusted.reason


@pytest.mark.parametrize("row", range(12))
def test_amplitudes_are_those_that_were_drawn(result: Measurements, row: int) -> None:
    lead = result.leads[STANDARD_LEADS[row]]
    assert number(lead.p) == pytest.approx(GAINS[row, 0], abs=0.025)
    assert number(lead.t) == pytest.approx(GAINS[row, 4], abs=0.03)
    assert number(lead.peak_to_peak) == pytest.approx(np.ptp(np.append(GAINS[row, 1:4], 0)), abs=0.07)
    assert number(lead.j) == pytest.approx(0, abs=0.03)
    assert number(lead.st_slope) == pytest.approx(0, abs=0.6)


def test_the_waves_of_a_qrs_complex_are_told_apart(result: Measurements) -> None:
    two, v1 = result.leads["II"], result.leads["V1"]
    assert (number(two.q), number(two.r), number(two.s)) == pytest.approx(GAINS[1, 1:4], abs=0.04)
    assert (number(v1.r), number(v1.s)) == pytest.approx((0.25, -0.9), abs=0.04)
    assert v1.q.status is Status.ABSENT
    assert number(v1.qs) == 0
    assert result.leads["aVR"].r_peak_time.status in (Status.ABSENT, Status.MEASURED)
    assert 35 < number(two.r_peak_time) < 60


def test_voltages_are_absolute(result: Measurements) -> None:
    v = result.voltages
    assert number(v.s_v1) == pytest.approx(0.9, abs=0.04)
    assert number(v.s_v3) == pytest.approx(0.8, abs=0.04)
    assert number(v.r_v5) == pytest.approx(1.3, abs=0.05)
    assert number(v.r_v6) == pytest.approx(1.0, abs=0.05)


def test_a_qs_complex_counts_as_depth(known: Synthetic) -> None:
    x = known.millivolts.copy()
    x[6] = -np.abs(known.millivolts[11])
    m = measured(x)
    assert number(m.leads["V1"].qs) == 1
    assert m.leads["V1"].r.status is Status.ABSENT
    assert number(m.voltages.s_v1) == pytest.approx(1.0, abs=0.08)


def turned(degrees: float) -> Volts:
    """The synthetic ECG with the frontal axis of all its waves at ``degrees``."""
    x = ecg(noise=0.004).millivolts
    size = x[10]
    one = size * np.cos(np.radians(degrees))
    foot = size * np.sin(np.radians(degrees)) * np.sqrt(3) / 2
    two = foot + one / 2
    x[:6] = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return x


@pytest.mark.parametrize("degrees", [-150, -89, -60, -31, -29, 0, 45, 89, 91, 140, 179])
def test_axes_are_those_that_were_drawn(degrees: int) -> None:
    m = measured(turned(degrees))
    for axis in (m.qrs_axis, m.t_axis):
        assert (number(axis) - degrees + 180) % 360 - 180 == pytest.approx(0, abs=2)


def test_without_p_waves_there_is_no_pr_interval() -> None:
    rr = np.random.default_rng(3).uniform(0.55, 1.1, 30)
    m = measured(ecg(rr=rr, p=0.0).millivolts)
    assert m.rhythm.p_waves.status is Status.ABSENT
    assert m.intervals.pr.status is Status.ABSENT
    assert m.intervals.pr.value is None
    assert m.intervals.pr.reason
    assert number(m.rhythm.rr_irregularity) > 0.1
    assert m.intervals.qrs.status is Status.MEASURED


def test_a_missing_lead_is_not_evaluable_where_it_is_needed(known: Synthetic, result: Measurements) -> None:
    names = tuple(name for name in STANDARD_LEADS if name not in ("V1", "II"))
    m = measured(known.millivolts[[STANDARD_LEADS.index(n) for n in names]], leads=names)
    for value in (m.leads["V1"].r, m.voltages.s_v1, m.voltages.p_terminal_force_v1, m.qrs_axis, m.t_axis, m.p_axis):
        assert value.status is Status.NOT_EVALUABLE
    assert "II" in m.qrs_axis.reason.en
    assert set(m.leads) == set(STANDARD_LEADS)
    assert number(m.intervals.qt) == pytest.approx(number(result.intervals.qt), abs=15)


def test_a_flat_lead_is_not_evaluable(known: Synthetic) -> None:
    x = known.millivolts.copy()
    x[10] = 0.0
    m = measured(x)
    assert m.leads["V5"].r.status is Status.NOT_EVALUABLE
    assert "no signal" in m.leads["V5"].r.reason.en
    assert m.voltages.r_v5.status is Status.NOT_EVALUABLE
    assert m.voltages.r_v6.status is Status.MEASURED


def test_no_signal_measures_nothing_and_says_why() -> None:
    m = measured(np.zeros((12, 5000)))
    values = [getattr(m.intervals, f.name) for f in fields(m.intervals)]
    values += [m.rhythm.heart_rate, m.rhythm.p_waves, m.p_axis, m.qrs_axis, m.t_axis]
    values += [getattr(m.voltages, f.name) for f in fields(m.voltages)]
    values += [v for f in fields(LeadMeasurements) if isinstance(v := getattr(m.leads["II"], f.name), Measurement)]
    assert all(v.status is Status.NOT_EVALUABLE and v.reason and v.value is None for v in values)


def test_codes_are_those_of_loinc(result: Measurements) -> None:
    i = result.intervals
    codes = [m.loinc for m in (result.rhythm.heart_rate, i.pr, i.qrs, i.qt, i.qtc_fridericia)]
    assert codes == ["8867-4", "8625-6", "8633-0", "8634-8", "8636-3"]


def test_a_delineation_of_another_recording_is_refused(known: Synthetic) -> None:
    d = delineate(known.millivolts[:, :4000], 500.0)
    with pytest.raises(InvalidRequest):
        measure(Recording(STANDARD_LEADS, known.millivolts, 500.0, "test"), d)


def test_a_value_and_its_status_cannot_disagree() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Measurement(1.0, "ms", Status.ABSENT)
    with pytest.raises(ValueError, match="cannot be"):
        Measurement(None, "ms", Status.MEASURED)


@pytest.mark.parametrize(
    ("bumps", "named"),
    [
        ([0.3, -1.0], {"r": 0.3, "s": -1.0}),
        ([-0.2, 1.0, -0.3], {"q": -0.2, "r": 1.0, "s": -0.3}),
        ([0.3, -0.6, 0.9], {"r": 0.3, "s": -0.6, "r_prime": 0.9}),
        ([0.2, -0.6, 0.9, -0.2], {"r": 0.2, "s": -0.6, "r_prime": 0.9, "s_prime": -0.2}),
        ([-1.1], {"q": -1.1}),
    ],
)
def test_deflections_are_named_as_they_come(bumps: list[float], named: dict[str, float]) -> None:
    y = np.concatenate([height * np.sin(np.pi * (np.arange(15) + 0.5) / 15) for height in bumps])
    shape = qrs_shape(y, 500.0)
    for name in ("q", "r", "s", "r_prime", "s_prime"):
        wave = getattr(shape, name)
        assert (wave.amplitude if wave else None) == (pytest.approx(named[name], abs=0.01) if name in named else None)
    assert shape.qs == (bumps == [-1.1])


def test_the_real_dicom_ecg_agrees_with_its_own_cart(ecg_file: Path) -> None:
    """The cart wrote its measurements into the file: RR, PR, QRS, QT, QTc and the three axes."""
    pydicom = pytest.importorskip("pydicom")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(ecg_file)
    said = {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(item.NumericValue)
        for item in dataset.WaveformAnnotationSequence
        if "NumericValue" in item and "ConceptNameCodeSequence" in item
    }
    group = dataset.WaveformSequence[0]
    counts = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12)
    sensitivity = float(group.ChannelDefinitionSequence[0].ChannelSensitivity)
    m = measured(counts.T * sensitivity * 1e-3, float(group.SamplingFrequency))
    for ours, name, tolerance in (
        (m.rhythm.rr_mean, "RR Interval", 5),
        (m.intervals.pr, "PR Interval", 20),
        (m.intervals.qrs, "QRS Duration", 20),
        (m.intervals.qt, "QT Interval", 25),
        (m.intervals.qtc_bazett, "QTc Interval", 25),
        (m.p_axis, "P Axis", 10),
        (m.qrs_axis, "QRS Axis", 10),
        (m.t_axis, "T Axis", 10),
    ):
        assert number(ours) == pytest.approx(said[name], abs=tolerance), name


@pytest.mark.parametrize(
    ("points", "count"),
    [
        ([0, 1, 0], 0),
        ([0, 1, 0.7, 0.9, 0], 1),
        ([0, 1, 0.7, 0.9, 0.5, 0.8, 0], 2),
        ([0, 1, 0.98, 1.0, 0], 0),  # too shallow
        ([0, 1, -0.5, 0.9, 0], 0),  # through zero: that is an R'
        ([0, -1, -0.6, -0.9, 0], 0),  # in a negative deflection
    ],
)
def test_notches_dip_without_reaching_zero(points: list[float], count: int) -> None:
    y = np.interp(np.arange(0, len(points) - 1 + 1e-9, 0.1), np.arange(len(points)), points)
    assert notches(y) == count


def test_a_slurred_onset_takes_longer(known: Synthetic, result: Measurements) -> None:
    t = np.arange(known.millivolts.shape[1]) / known.rate
    delta = sum(
        np.clip((t - s / known.rate + 0.05) / 0.05, 0, 1) * (t < s / known.rate + 0.03) for s in known.qrs_onset
    )
    slurred = measured(known.millivolts + 0.25 * np.sign(GAINS[:, 2, None]) * delta)
    plain = number(result.intervals.qrs_upstroke)
    assert 10 < plain < 40
    assert number(slurred.intervals.qrs_upstroke) > plain + 25
    assert number(slurred.intervals.pr) < number(result.intervals.pr) - 25


def test_both_parts_of_a_two_phase_t_wave_are_measured(known: Synthetic) -> None:
    t = np.arange(known.millivolts.shape[1]) / known.rate
    x = known.millivolts.copy()
    for s in known.qrs_onset / known.rate:
        phase = np.clip((t - s - 0.2) / 0.2, 0, 1)
        x[8] += (
            0.3 * np.sin(2 * np.pi * phase) - GAINS[8, 4] * np.sin(np.pi * np.clip((t - s - 0.2) / 0.185, 0, 1)) ** 2
        )
    v3 = measured(x).leads["V3"]
    assert number(v3.t_positive) == pytest.approx(0.3, abs=0.06)
    assert number(v3.t_negative) == pytest.approx(-0.3, abs=0.06)
    assert 130 < number(v3.t_duration) < 240


def test_net_and_levels_belong_together(result: Measurements) -> None:
    two = result.leads["II"]
    assert number(two.qrs_net) == pytest.approx(GAINS[1, 2] + min(GAINS[1, 1], GAINS[1, 3]), abs=0.06)
    assert number(two.j80) == pytest.approx(0, abs=0.03)
    assert number(two.qrs_duration) == pytest.approx(QRS_MS, abs=26)
    assert number(two.r_notches) == 0
