"""What a sheet refuses, and with which field named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import InvalidRequest
from cardiomesh.report import Attribution, Sheet, SheetFinding


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"signal": np.zeros((11, 5000))}, "signal"),
        ({"signal": np.zeros(5000)}, "signal"),
        ({"signal": np.zeros((5000, 12))}, "signal"),
        ({"signal": np.zeros((12, 5000), dtype=np.int16)}, "signal"),
        ({"signal": np.zeros((12, 499))}, "signal"),
        ({"signal": np.full((12, 5000), np.inf)}, "signal"),
        ({"sampling_rate": 0.0}, "sampling_rate"),
        ({"sampling_rate": float("nan")}, "sampling_rate"),
        ({"leads": ("I", "II", "X")}, "leads"),
        ({"leads": STANDARD_LEADS[::-1]}, "leads"),
        ({"leads": ("I", "I")}, "leads"),
        ({"leads": ()}, "leads"),
        ({"attribution": Attribution(np.zeros((8, 100)), 100.0, "x")}, "attribution.values"),
        ({"language": "de"}, "language"),
    ],
)
def test_wrong_sheets_are_refused_with_the_field(changes: dict[str, Any], field: str) -> None:
    given: dict[str, Any] = {"signal": np.zeros((12, 5000)), "sampling_rate": 500.0}
    with pytest.raises(InvalidRequest) as caught:
        Sheet(**{**given, **changes})
    assert field in [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"values": np.zeros(100)}, "attribution.values"),
        ({"values": np.zeros((12, 1))}, "attribution.values"),
        ({"values": np.full((12, 100), np.nan)}, "attribution.values"),
        ({"values": np.zeros((12, 100), dtype=int)}, "attribution.values"),
        ({"sampling_rate": -1.0}, "attribution.sampling_rate"),
        ({"start": float("inf")}, "attribution.start"),
        ({"meaning": "beauty"}, "attribution.meaning"),
    ],
)
def test_wrong_attributions_are_refused(changes: dict[str, Any], field: str) -> None:
    given: dict[str, Any] = {"values": np.zeros((12, 100)), "sampling_rate": 100.0, "label": "x"}
    with pytest.raises(InvalidRequest) as caught:
        Attribution(**{**given, **changes})
    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_a_probability_outside_0_to_1_is_refused(value: float) -> None:
    with pytest.raises(InvalidRequest, match="probability"):
        SheetFinding("MI", "Myocardial infarction", value, 0.5, True)
    with pytest.raises(InvalidRequest, match="threshold"):
        SheetFinding("MI", "Myocardial infarction", 0.5, value, True)


def test_a_lead_is_given_about_its_median_and_an_empty_one_is_not_recorded(ecg: Callable[..., Any]) -> None:
    signal = ecg() + 3.0
    signal[2] = np.nan
    sheet = Sheet(signal, 500.0)
    lead = sheet.lead("V1")
    assert lead is not None
    assert np.median(lead) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(lead, signal[6] - np.median(signal[6]))
    assert sheet.lead("III") is None
    assert Sheet(signal[:2], 500.0, leads=("I", "II")).lead("V1") is None
