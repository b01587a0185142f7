"""Segments of the beat on a real ECG, and where evidence lies in words."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
import pytest

from cardiomesh.ecg.conditioning import condition
from cardiomesh.ecg.leads import STANDARD_LEADS
from explainer.segments import SEGMENTS, Segmentation, segment, shares
from explainer.words import lead_range, where


@pytest.fixture(scope="module")
def found(ecg_file: Path) -> tuple[np.ndarray, Segmentation]:
    millivolts = pydicom.dcmread(ecg_file).waveform_array(0).T / 1000.0
    ecg = condition(millivolts, 1000.0)[None]
    return ecg, segment(ecg, 100.0)


def test_segments_follow_each_other_in_every_beat(found: tuple[np.ndarray, Segmentation]) -> None:
    _, s = found
    names = [SEGMENTS[k] for k in s.labels[0]]
    order = [names[0]] + [b for a, b in pairwise(names) if a != b]
    first = order.index("P")
    assert order[first : first + 5] == ["P", "PR", "QRS", "ST", "T"]
    assert order.count("QRS") == s.beats


def test_the_largest_deflections_lie_in_qrs_complexes(found: tuple[np.ndarray, Segmentation]) -> None:
    ecg, s = found
    largest = np.abs(ecg[0]).argmax(axis=1)
    assert np.mean([SEGMENTS[s.labels[0, k]] == "QRS" for k in largest]) > 0.8
    assert s.reference.shape == ecg.shape
    assert np.corrcoef(s.reference.ravel(), ecg.ravel())[0, 1] > 0.5  # another heart with the same beats


def test_shares_add_up_and_know_their_place() -> None:
    labels = np.zeros((1, 100), np.int8)
    labels[0, 50:] = 2
    values = np.zeros((1, 12, 100))
    values[0, 3, 60:70] = 3.0
    values[0, 4, 10:20] = 1.0
    values[0, 5] = -9.0
    found = shares(values, labels)
    assert found.sum() == pytest.approx(1.0)
    assert (found[2, 3], found[0, 4]) == (pytest.approx(0.75), pytest.approx(0.25))
    assert shares(np.zeros((1, 12, 100)), labels).sum() == 0.0


def test_evidence_in_words() -> None:
    table = np.zeros((6, 12))
    for lead, share in {"V1": 0.2, "V2": 0.3, "V3": 0.2}.items():
        table[SEGMENTS.index("ST"), STANDARD_LEADS.index(lead)] = share
    table[SEGMENTS.index("P"), 0] = 0.05
    words = where(table, STANDARD_LEADS)
    assert words.en == "ST segment, V1, V2 (70 %)"
    assert words.pt.startswith("segmento ST, ")
    assert where(np.zeros((6, 12)), STANDARD_LEADS).en == ""


def test_lead_ranges() -> None:
    assert lead_range(["V2", "V1", "V3", "II"], STANDARD_LEADS) == "II, V1–V3"
    assert lead_range(["V1", "V2", "V5"], STANDARD_LEADS) == "V1, V2, V5"
    assert lead_range(["I", "II", "III"], STANDARD_LEADS) == "I, II, III"
