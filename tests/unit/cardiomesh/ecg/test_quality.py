"""Grades on known faults, one at a time and by how much."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.quality import Grade, Quality, grade
from tests.unit.preprocessor.recordings import heart

Volts = npt.NDArray[np.float64]
T = np.arange(5000) / 500


@pytest.fixture
def ecg() -> Volts:
    return heart() * 1e-3


def graded(x: Volts, rate: float = 500.0) -> Quality:
    return grade(x, rate, STANDARD_LEADS)


def codes(quality: Quality, lead: str) -> set[str]:
    return {reason.code for entry in quality.leads if entry.lead == lead for reason in entry.reasons}


def test_a_clean_ecg_is_clean(ecg: Volts) -> None:
    quality = graded(ecg)
    assert quality.grade is Grade.A
    assert all(lead.grade is Grade.A and not lead.reasons for lead in quality.leads)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (2.0 * np.sin(2 * np.pi * 0.2 * T), "BASELINE_WANDER"),
        (3.0 * (T > 5), "BASELINE_JUMP"),
        (0.2 * np.sin(2 * np.pi * 50 * T), "MAINS"),
        (0.2 * np.sin(2 * np.pi * 60.1 * T), "MAINS"),
        (0.05 * np.random.default_rng(0).standard_normal(5000), "NOISE"),
        (6.0 * (np.arange(5000) % 1250 == 600), "SPIKES"),
    ],
)
def test_each_fault_is_named_on_its_lead_only(ecg: Volts, fault: Volts, code: str) -> None:
    ecg[8] += fault
    quality = graded(ecg)
    assert code in codes(quality, "V3")
    assert all(lead.grade is Grade.A for lead in quality.leads if lead.lead != "V3")
    assert quality.grade is not Grade.REJECT


@pytest.mark.parametrize("rate", [100.0, 250.0, 1000.0])
def test_scores_do_not_hang_on_the_rate(rate: float) -> None:
    assert grade(heart(rate=rate) * 1e-3, rate, STANDARD_LEADS).grade is Grade.A


def test_more_noise_never_scores_better(ecg: Volts) -> None:
    noise = np.random.default_rng(1).standard_normal(ecg.shape)
    scores = [graded(ecg + level * noise).score for level in (0.0, 0.01, 0.03, 0.1, 0.3)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.2


def test_a_lead_off_is_unfit_even_with_mains_on_it(ecg: Volts) -> None:
    ecg[6] = 0.01 * np.sin(2 * np.pi * 50 * T)
    assert graded(ecg).grade is Grade.REJECT


def test_a_pause_of_the_heart_is_not_a_loose_electrode(ecg: Volts) -> None:
    rng = np.random.default_rng(5)
    ecg[:, 2000:3700] = 0.001 * rng.standard_normal((12, 1700))
    assert graded(ecg).grade is not Grade.REJECT


def test_a_digital_fill_in_every_lead_is_no_pause(ecg: Volts) -> None:
    ecg[:, 2000:3700] = 0.0
    quality = graded(ecg)
    assert quality.grade is Grade.REJECT
    assert codes(quality, "I") >= {"CONTACT_LOSS"}


def test_a_held_last_value_is_not_clipping(ecg: Volts) -> None:
    ecg[:, -60:] = ecg.max(axis=1, keepdims=True)
    assert all("SATURATED" not in codes(graded(ecg), lead) for lead in STANDARD_LEADS)


def test_the_worst_reason_comes_first(ecg: Volts) -> None:
    ecg[2] += 0.6 * np.sin(2 * np.pi * 0.2 * T) + 0.2 * np.random.default_rng(0).standard_normal(5000)
    reasons = [r.code for r in graded(ecg).leads[2].reasons]
    assert reasons[0] in {"NOISE", "NOISE_BURST"}
    assert reasons[-1] in {"BASELINE_WANDER", "BASELINE_JUMP"}


def test_a_limb_lead_at_right_angles_to_the_axis_is_no_fault(ecg: Volts) -> None:
    ecg[1] = 2 * ecg[0]  # II = 2 · I makes aVL vanish
    one, two = ecg[0], ecg[1]
    ecg[2:6] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    quality = graded(ecg)
    assert quality.grade is not Grade.REJECT
    assert codes(quality, "aVL") == {"FLAT", "CONTACT_LOSS"}
    ecg[5] = 0.0  # whereas I and II say that aVF cannot be flat
    assert graded(ecg).grade is Grade.REJECT


def test_an_electrode_that_moves_shows_in_what_its_lead_alone_has(ecg: Volts) -> None:
    rng = np.random.default_rng(9)
    slow = np.convolve(rng.standard_normal(5100), np.hanning(100) / 50, "valid")[:5000]
    ecg[8] += slow / slow.std() * ecg[8].std() * 2
    quality = graded(ecg)
    assert "UNRELATED" in codes(quality, "V3")
    assert "UNRELATED" not in codes(quality, "V5")


@pytest.mark.parametrize("factor", [10.0, 20.0])
def test_a_scale_that_is_too_large_never_passes_without_a_word(ecg: Volts, factor: float) -> None:
    quality = graded(ecg * factor)
    assert {reason.code for reason in quality.reasons} & {"HIGH_AMPLITUDE", "COARSE_RESOLUTION"}
    assert quality.grade is not Grade.A
    assert not graded(ecg).reasons
