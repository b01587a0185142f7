"""Swapped electrodes: made on a real recording, and not seen where nothing is swapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.data import get_testdata_file

from cardiomesh.ecg.conditioning import condition
from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS, derive_limb_leads
from cardiomesh.ecg.reversal import suspect_reversal, swaps
from preprocessor.decoding import FileInput, RecordingInput, decode

Volts = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def real() -> Volts:
    """The real ECG that comes with pydicom, conditioned."""
    content = Path(str(get_testdata_file("waveform_ecg.dcm"))).read_bytes()
    recording = decode(RecordingInput(FileInput(content)))
    return condition(recording.millivolts, recording.sampling_rate).astype(np.float64)


def swapped(x: Volts, swap: str) -> Volts:
    rows = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    leads = dict(zip(INDEPENDENT_LEADS, swaps()[swap] @ x[rows], strict=True))
    leads |= derive_limb_leads(leads)
    return np.stack([leads[lead] for lead in STANDARD_LEADS])


def test_a_recording_as_it_is_raises_no_suspicion(real: Volts) -> None:
    assert suspect_reversal(real) == ()


def test_a_swap_of_the_arms_is_what_the_textbook_says(real: Volts) -> None:
    x = swapped(real, "RA and LA")
    named = dict(zip(STANDARD_LEADS, x, strict=True))
    before = dict(zip(STANDARD_LEADS, real, strict=True))
    np.testing.assert_allclose(named["I"], -before["I"], atol=1e-9)
    np.testing.assert_allclose(named["II"], before["III"], atol=0.02)
    np.testing.assert_allclose(named["aVR"], before["aVL"], atol=0.02)
    np.testing.assert_allclose(named["aVF"], before["aVF"], atol=0.02)


@pytest.mark.parametrize("swap", ["RA and LA", "RA and LL", "V1 and V6", "V2 and V5"])
def test_gross_swaps_are_suspected(real: Volts, swap: str) -> None:
    found = suspect_reversal(swapped(real, swap))
    assert len(found) == 1
    limb = not swap.startswith("V")
    assert found[0].code == ("LIMB_REVERSAL_SUSPECTED" if limb else "CHEST_MISPLACEMENT_SUSPECTED")
    if not limb:
        assert found[0].swap == swap
    assert "swapped" in found[0].message


def test_the_scale_of_a_recording_does_not_matter(real: Volts) -> None:
    x = swapped(real, "RA and LA")
    assert suspect_reversal(x)[0].gain == pytest.approx(suspect_reversal(x * 3)[0].gain)
