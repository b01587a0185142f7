"""What the rules may look at: the measurements, the patient, and which leads are unfit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cardiomesh.ecg.reasons import Reason, why
from cardiomesh.ecg.recording import Patient
from cardiomesh.ecg.values import Measurement, measured, not_evaluable
from cardiomesh.rules.schema import PATIENT_AGE, Label

__all__ = ["Facts"]


@dataclass(frozen=True, slots=True)
class Facts:
    """One recording as the rules see it; measurements by (key, lead), the lead empty for those of all leads."""

    measurements: Mapping[tuple[str, str], Measurement]
    patient: Patient = field(default_factory=Patient)
    #: Leads graded unfit, with the reason.
    unfit: Mapping[str, Reason] = field(default_factory=dict)

    def look_up(self, key: str, lead: str, label: Label) -> Measurement:
        """The measurement; what was not made, is from an unfit lead, or comes in another unit, is not evaluable."""
        unit = label.unit
        if key == PATIENT_AGE:
            age = self.patient.age_years
            return not_evaluable(unit, why("AGE_NOT_KNOWN")) if age is None else measured(age, unit)
        for name in label.leads or (lead,):
            if name in self.unfit:
                return not_evaluable(unit, why("UNFIT_LEAD", lead=name, reason=self.unfit[name]))
        found = self.measurements.get((key, lead))
        if found is None:
            return not_evaluable(unit, why("NOT_MEASURED"))
        if found.unit != unit:
            return not_evaluable(unit, why("OTHER_UNIT", unit=found.unit or "–", due=unit))
        return found
