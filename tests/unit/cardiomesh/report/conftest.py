"""A plain synthetic ECG for the sheet's tests: known amplitudes, no noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from cardiomesh.cards import Urgency
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.report import (
    Attribution,
    Grade,
    Heading,
    LeadQuality,
    ModelLabel,
    Sheet,
    SheetDecision,
    SheetFinding,
    SheetQuality,
)

Array = npt.NDArray[np.float64]


@pytest.fixture
def ecg() -> Callable[..., Array]:
    """``ecg(seconds, rate, peak)``: ``[12, n]`` mV, an R wave of ``peak`` mV and an S half as deep, once a second."""

    def make(seconds: float = 10.0, rate: float = 500.0, peak: float = 1.0) -> Array:
        t = np.arange(round(seconds * rate)) / rate % 1.0
        beat = peak * np.exp(-0.5 * ((t - 0.4) / 0.012) ** 2) - peak / 2 * np.exp(-0.5 * ((t - 0.44) / 0.012) ** 2)
        beat += 0.2 * np.exp(-0.5 * ((t - 0.7) / 0.05) ** 2)
        return np.repeat(beat[None], 12, axis=0)

    return make


@pytest.fixture
def attribution() -> Attribution:
    """All influence on V2 (index 7), around 6.0 s, which the sheet's third column shows."""
    values = np.zeros((12, 1000))
    values[7, 590:610] = 1.0
    return Attribution(values, 100.0, "MI — gradient × input, hybrid_mobile v1")


@pytest.fixture
def full(ecg: Callable[..., Array], attribution: Attribution) -> Callable[..., Sheet]:
    """A sheet with everything on it, and long words everywhere; keyword arguments replace fields."""
    name = "Non-specific intraventricular conduction disturbance with a name that goes on and on"
    urgencies = list(Urgency)
    findings = tuple(
        SheetFinding(f"CODE{i:02}", name, 0.99 - 0.02 * i, 0.4, i < 11, urgencies[i % 4], i % 2 == 0) for i in range(25)
    )
    decision = SheetDecision(
        critical=("may be critical: a wide QRS tachycardia",),
        reasons=(f"uncertain: {name}",) * 3,
        shifts=("emergency setting: urgent findings are called sooner",) * 5,
    )
    reason = "baseline wander of 1.2 mV and mains of 60 Hz"
    quality = SheetQuality(
        Grade.C,
        0.61,
        tuple(LeadQuality(lead, grade, (reason,)) for lead, grade in zip(STANDARD_LEADS, [*Grade] * 3, strict=True)),
        ("a remark on the whole recording",),
    )

    def make(**fields: object) -> Sheet:
        given: dict[str, object] = {
            "signal": ecg(),
            "sampling_rate": 500.0,
            "heading": Heading("a file name that is far too long to stand on one line " * 4 + ".dcm", "Device " * 40),
            "model": ModelLabel("hybrid_mobile", 1, "cm1-100hz-0.5-40hz-mv"),
            "findings": findings,
            "decision": decision,
            "quality": quality,
            "attribution": attribution,
            "from_cache": True,
            "footnotes": ("A footnote that is rather long. " * 20,),
        }
        return Sheet(**{**given, **fields})  # type: ignore[arg-type]

    return make
