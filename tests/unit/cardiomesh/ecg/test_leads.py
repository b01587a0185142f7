"""Leads as devices spell them, and what only looks like one."""

from __future__ import annotations

import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS, normalise_lead

SPELLINGS = {
    "I": ["I", "i", " I ", "Lead I", "lead_i", "LEAD-I", "ECG I", "ECG-I", "ECG Lead I", "EKG I", "MDC_ECG_LEAD_I",
          "DI", "D1", "Lead I (Einthoven)", "Ableitung I", "Abl. I", "Derivação I", "Derivación I", "Dérivation I",
          "Avledning I", "ECGI"],
    "II": ["II", "Lead II", "ECG_II", "DII", "D2", "II (filtered)", "Channel II"],
    "III": ["III", "Lead III", "DIII", "D3"],
    "aVR": ["aVR", "AVR", "avr", "VR", "ECG aVR", "MDC_ECG_LEAD_AVR", "MDC_ECG_LEAD_aVR", "EKG aVR", "a VR"],
    "aVL": ["aVL", "VL", "Lead aVL"],
    "aVF": ["aVF", "VF", "lead_avf"],
    "V1": ["V1", "v1", "C1", "V 1", "V-1", "EKG V1", "Lead V1", "ECG C1", "MDC_ECG_LEAD_V1", "V1 (C1)"],
    "V6": ["V6", "C6", "ECG V6"],
}  # fmt: skip
OTHERS = [
    "-aVR", "aVR-", "- aVR", "ECG -aVR", "ECG-aVR", "Lead -aVR", "aVR (inverted)", "aVR(inv)", "invAVR", "I-II",
    "II-III", "IIII", "D4", "D", "V", "V0", "V7", "V1R", "V3R", "VX", "C7", "MLII", "ECG", "ECG1", "Channel 1", "1",
    "L1", "", "name", "ICU", "VRS",
]  # fmt: skip


@pytest.mark.parametrize(("lead", "name"), [(lead, name) for lead, names in SPELLINGS.items() for name in names])
def test_spellings(lead: str, name: str) -> None:
    assert normalise_lead(name) == lead


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_none_of_the_twelve(name: str) -> None:
    assert normalise_lead(name) is None


def test_standard_names_are_their_own() -> None:
    assert tuple(map(normalise_lead, STANDARD_LEADS)) == STANDARD_LEADS
