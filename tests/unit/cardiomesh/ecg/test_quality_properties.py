"""A clean ECG is never refused, a disconnected lead never accepted: on made and on real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.quality_roc import load
from cardiomesh.ecg.leads import STANDARD_LEADS, derive_limb_leads
from cardiomesh.ecg.quality import Grade, grade
from tests.unit.preprocessor.recordings import heart

Volts = npt.NDArray[np.float64]
CHEST = range(6, 12)
#: What an input shows that no electrode drives.
OPEN = ("nothing", "mains", "drift", "movement", "held")


def clean(seed: int, rate: float, gain: float, wander: float, mains: float, offset: float) -> Volts:
    """A made heart with as much of each disturbance as is ordinary, mV ``[12, n]``."""
    x = heart(rate=rate, seed=seed) * 1e-3 * gain
    t = np.arange(x.shape[1]) / rate
    independent = {"I": 0, "II": 1} | {lead: STANDARD_LEADS.index(lead) for lead in STANDARD_LEADS[6:]}
    rng = np.random.default_rng(seed)
    for row in independent.values():
        phase = rng.uniform(0, 2 * np.pi, 2)
        x[row] += wander * np.sin(2 * np.pi * 0.25 * t + phase[0]) + mains * np.sin(2 * np.pi * 50 * t + phase[1])
    limb = derive_limb_leads({"I": x[0], "II": x[1]})
    x[2:6] = [limb[lead] for lead in STANDARD_LEADS[2:6]]
    x[6:] += offset  # electrodes have offsets of their own
    return x


def opened(what: str, length: int, rate: float, seed: int, before: Volts) -> Volts:
    """One lead as an open input records it."""
    rng, t = np.random.default_rng(seed), np.arange(length) / rate
    noise = 0.002 * rng.standard_normal(length)
    if what == "mains":
        return 0.05 * np.sin(2 * np.pi * 50 * t) + noise
    if what == "drift":
        return 0.02 * t + noise
    if what == "movement":
        slow = np.convolve(rng.standard_normal(length + round(0.2 * rate)), np.hanning(round(0.2 * rate)), "same")
        return 0.3 * slow[:length] / slow.std()
    if what == "held":
        start = int(rng.integers(0, round(0.6 * length)))
        return np.concatenate([before[:start], np.full(length - start, before[start])])
    return noise


@settings(derandomize=True, deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 10_000),
    rate=st.sampled_from((250.0, 500.0, 1000.0)),
    gain=st.floats(0.6, 2.0),
    wander=st.floats(0, 0.15),
    mains=st.floats(0, 0.015),
    offset=st.floats(-300, 300),
)
def test_a_clean_recording_is_never_refused(
    seed: int, rate: float, gain: float, wander: float, mains: float, offset: float
) -> None:
    quality = grade(clean(seed, rate, gain, wander, mains, offset), rate, STANDARD_LEADS)
    assert quality.grade is not Grade.REJECT, [(lead.lead, lead.reasons) for lead in quality.leads if lead.reasons]


@settings(derandomize=True, deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 10_000),
    rate=st.sampled_from((250.0, 500.0, 1000.0)),
    lead=st.sampled_from([0, 1, *CHEST]),
    what=st.sampled_from(OPEN),
    threshold=st.sampled_from((0.0, 0.7)),
)
def test_a_disconnected_lead_is_never_accepted(seed: int, rate: float, lead: int, what: str, threshold: float) -> None:
    x = clean(seed, rate, 1.0, 0.05, 0.005, 0.0)
    x[lead] = opened(what, x.shape[1], rate, seed, x[lead])
    if lead < 2:  # an electrode of a limb: the others follow from what I and II show
        limb = derive_limb_leads({"I": x[0], "II": x[1]})
        x[2:6] = [limb[name] for name in STANDARD_LEADS[2:6]]
    assert grade(x, rate, STANDARD_LEADS, threshold).grade is Grade.REJECT


@pytest.mark.ptbxl
def test_the_same_on_real_recordings(data_dir: Path) -> None:
    signals, table = load(data_dir)
    noted = table[["static_noise", "burst_noise", "baseline_drift", "electrodes_problems"]].notna().any(axis=1)
    chosen = np.flatnonzero((table["strat_fold"] == 9).to_numpy() & ~noted.to_numpy())[::12]
    assert len(chosen) >= 20
    for number in chosen:
        x = signals[number] * 1e-3
        assert grade(x, 500.0, STANDARD_LEADS).grade is not Grade.REJECT, number
        for k, what in enumerate(OPEN):
            lead = CHEST[(number + k) % len(CHEST)]
            loose = x.copy()
            loose[lead] = opened(what, x.shape[1], 500.0, int(number), x[lead])
            assert grade(loose, 500.0, STANDARD_LEADS).grade is Grade.REJECT, (number, what, STANDARD_LEADS[lead])
