"""What a sheet shows, as plain typed data, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from cardiomesh.cards import Urgency
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.errors import FieldViolation, InvalidRequest
from cardiomesh.language import LANGUAGES, Language
from cardiomesh.report.methods_content import MethodsPanel
from cardiomesh.report.reasons_content import RulesPanel

__all__ = [
    "Attribution",
    "Grade",
    "Heading",
    "LeadQuality",
    "ModelLabel",
    "Sheet",
    "SheetDecision",
    "SheetFinding",
    "SheetQuality",
]

FloatArray = npt.NDArray[np.floating]


class Grade(StrEnum):
    """Fitness of a lead or of a recording; the same four as in the contract."""

    A = "A"
    B = "B"
    C = "C"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Heading:
    """What is known of the recording. Rate and duration follow from the signal itself."""

    title: str = ""
    device: str = ""
    acquired_at: datetime | None = None
    #: Completed years; 89 stands for 89 and older, as in the contract.
    age_years: int | None = None
    sex: Literal["female", "male"] | None = None
    #: Rate, intervals and axis in one short line, already in the sheet's language.
    measurements: str = ""


@dataclass(frozen=True, slots=True)
class ModelLabel:
    """Which model answered, and on what input."""

    name: str
    version: int | str
    preprocessing_version: str = ""


@dataclass(frozen=True, slots=True)
class SheetFinding:
    """One statement of the model; ``name`` already in the sheet's language."""

    code: str
    name: str
    probability: float
    threshold: float
    present: bool
    urgency: Urgency = Urgency.ROUTINE
    #: Neither presence nor absence can be said; marked beside the probability.
    uncertain: bool = False

    def __post_init__(self) -> None:
        for field, value in (("probability", self.probability), ("threshold", self.threshold)):
            if not 0.0 <= value <= 1.0:  # also false for NaN
                raise InvalidRequest.field(f"findings[{self.code}].{field}", f"must lie in 0 to 1, not {value}")


@dataclass(frozen=True, slots=True)
class SheetDecision:
    """What a human must look at, already in the sheet's language.

    ``critical`` and ``reasons`` call for an over-read, ``order`` names the present findings by code, the most urgent
    first, ``shifts`` say why thresholds are not the model card's.
    """

    critical: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeadQuality:
    """Fitness of one lead, with the reasons in words when it is not A."""

    lead: str
    grade: Grade
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SheetQuality:
    """Fitness of the recording: overall grade, score 0 to 1, and the leads."""

    grade: Grade
    score: float
    leads: tuple[LeadQuality, ...] = ()
    reasons: tuple[str, ...] = ()

    def of(self, lead: str) -> LeadQuality | None:
        """The quality of one lead, where it was graded."""
        return next((q for q in self.leads if q.lead == lead), None)


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Where the model looked: one value per lead and instant, in the order of the sheet's leads.

    ``values`` is ``[leads, m]`` at ``sampling_rate`` Hz; its first column lies ``start`` seconds after the
    recording's. ``meaning`` says what is drawn: ``"magnitude"`` draws the absolute value (influence either way),
    ``"support"`` only what is positive (speaks for the finding).
    """

    values: FloatArray
    sampling_rate: float
    label: str
    start: float = 0.0
    meaning: Literal["magnitude", "support"] = "magnitude"

    def __post_init__(self) -> None:
        array = np.asarray(self.values)
        violations = []
        if array.ndim != 2 or array.shape[-1] < 2:
            violations.append(FieldViolation("attribution.values", f"must be [leads, m >= 2], not {array.shape}"))
        elif not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            violations.append(FieldViolation("attribution.values", "must be finite floating-point numbers"))
        if not (math.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            violations.append(FieldViolation("attribution.sampling_rate", f"must be > 0 Hz, not {self.sampling_rate}"))
        if not math.isfinite(self.start):
            violations.append(FieldViolation("attribution.start", "must be a finite number of seconds"))
        if self.meaning not in ("magnitude", "support"):
            violations.append(FieldViolation("attribution.meaning", f"{self.meaning!r} is not known"))
        if violations:
            raise InvalidRequest("the attribution cannot be drawn: " + violations[0].description, violations)


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """One clinical 12-lead sheet.

    ``signal`` is ``[len(leads), n]`` in millivolts at ``sampling_rate`` Hz, at least one second. ``leads`` are
    standard names in standard order; a standard lead that is absent, or whose row is all NaN, is drawn as not
    recorded, and single NaN samples as gaps. Nothing is filtered; each lead's median is taken as its baseline.
    """

    signal: FloatArray
    sampling_rate: float
    leads: tuple[str, ...] = STANDARD_LEADS
    heading: Heading = Heading()
    model: ModelLabel | None = None
    findings: tuple[SheetFinding, ...] = ()
    decision: SheetDecision | None = None
    quality: SheetQuality | None = None
    attribution: Attribution | None = None
    #: What the rules say; with it the sheet gets a second page below the first.
    rules: RulesPanel | None = None
    #: What the methods that ask the model found; on the same second page.
    methods: MethodsPanel | None = None
    from_cache: bool = False
    #: Printed after the research-use notice, which is always there.
    footnotes: tuple[str, ...] = ()
    language: Language = "en"

    def __post_init__(self) -> None:
        violations = [*self._lead_violations(), *self._signal_violations()]
        if self.attribution is not None and len(self.attribution.values) != len(self.leads):
            got, want = len(self.attribution.values), len(self.leads)
            violations.append(FieldViolation("attribution.values", f"has {got} rows for {want} leads"))
        if self.language not in LANGUAGES:
            violations.append(FieldViolation("language", f"{self.language!r} is not one of {', '.join(LANGUAGES)}"))
        if violations:
            raise InvalidRequest(
                "the sheet cannot be drawn: " + "; ".join(v.description for v in violations), violations
            )

    def _lead_violations(self) -> list[FieldViolation]:
        unknown = [lead for lead in self.leads if lead not in STANDARD_LEADS]
        if unknown:
            return [FieldViolation("leads", f"not standard leads: {', '.join(map(str, unknown))}")]
        if list(self.leads) != [lead for lead in STANDARD_LEADS if lead in self.leads]:
            return [FieldViolation("leads", "must be in standard order, each at most once")]
        return [] if self.leads else [FieldViolation("leads", "must name at least one lead")]

    def _signal_violations(self) -> list[FieldViolation]:
        array = np.asarray(self.signal)
        if not (math.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            return [FieldViolation("sampling_rate", f"must be > 0 Hz, not {self.sampling_rate}")]
        if array.ndim != 2 or array.shape[0] != len(self.leads):
            return [FieldViolation("signal", f"must be [{len(self.leads)}, n], not {list(array.shape)}")]
        if not np.issubdtype(array.dtype, np.floating):
            return [FieldViolation("signal", f"must be floating-point millivolts, not {array.dtype}")]
        if array.shape[1] < self.sampling_rate:
            seconds = array.shape[1] / self.sampling_rate
            return [FieldViolation("signal", f"must last at least 1 s, not {seconds:.2f} s")]
        if np.isinf(array).any():
            return [FieldViolation("signal", "must not hold infinite values")]
        return []

    @property
    def duration(self) -> float:
        """Seconds of the whole recording."""
        return float(self.signal.shape[1] / self.sampling_rate)

    def lead(self, name: str) -> npt.NDArray[np.float64] | None:
        """One lead in mV about its median, or None where it was not recorded."""
        if name not in self.leads:
            return None
        row = np.asarray(self.signal[self.leads.index(name)], dtype=np.float64)
        if np.isnan(row).all():
            return None
        return row - np.nanmedian(row)
