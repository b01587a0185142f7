"""A measured value, or the honest reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from cardiomesh.ecg.reasons import NO_REASON, Reason, why

__all__ = ["Measurement", "Status", "absent", "measured", "not_evaluable"]


class Status(StrEnum):
    """Whether there is a number, and if not, whether the heart or the recording is why."""

    #: ``value`` is a number.
    MEASURED = "MEASURED"
    #: The thing to measure is not there: no P wave in atrial fibrillation, no Q in a lead.
    ABSENT = "ABSENT"
    #: It may be there; this recording does not tell.
    NOT_EVALUABLE = "NOT_EVALUABLE"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value with its unit (UCUM); ``value`` is None unless ``status`` is MEASURED. ``loinc``: its code."""

    value: float | None
    unit: str
    status: Status
    reason: Reason = NO_REASON
    loinc: str | None = None

    def __post_init__(self) -> None:
        if (self.value is not None) != (self.status is Status.MEASURED):
            raise ValueError(f"a value of {self.value} cannot be {self.status}")


def measured(value: float, unit: str, loinc: str | None = None) -> Measurement:
    """A finite number; anything else is not evaluable."""
    if not math.isfinite(value):
        return not_evaluable(unit, why("NOT_A_NUMBER"), loinc)
    return Measurement(float(value), unit, Status.MEASURED, loinc=loinc)


def absent(unit: str, reason: Reason, loinc: str | None = None) -> Measurement:
    """It is not there."""
    return Measurement(None, unit, Status.ABSENT, reason, loinc)


def not_evaluable(unit: str, reason: Reason, loinc: str | None = None) -> Measurement:
    """Nobody can tell from this recording."""
    return Measurement(None, unit, Status.NOT_EVALUABLE, reason, loinc)
