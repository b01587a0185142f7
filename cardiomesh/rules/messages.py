"""What the wire says of a recording, as the rules may look at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.reasons import NO_REASON, Reason, why
from cardiomesh.ecg.recording import Patient, Sex
from cardiomesh.ecg.values import Measurement, Status
from cardiomesh.language import LANGUAGES, quality_reason
from cardiomesh.rules.facts import Facts

__all__ = ["facts_of"]

_STATUSES: Final[Mapping[int, Status]] = {
    types_pb2.MEASUREMENT_STATUS_MEASURED: Status.MEASURED,
    types_pb2.MEASUREMENT_STATUS_ABSENT: Status.ABSENT,
}
_SEXES: Final[Mapping[int, Sex]] = {types_pb2.SEX_FEMALE: "female", types_pb2.SEX_MALE: "male"}
#: Leads that say nothing of where they should lie, by the code of the suspicion.
_SWAPPED: Final = {
    "LIMB_REVERSAL_SUSPECTED": STANDARD_LEADS[:6],
    "CHEST_MISPLACEMENT_SUSPECTED": STANDARD_LEADS[6:],
}


def facts_of(
    measurements: Iterable[types_pb2.Measurement], quality: types_pb2.Quality, patient: types_pb2.Patient
) -> Facts:
    """One recording; leads graded unfit or suspected to be swapped are kept from the rules."""
    unfit = {lead.lead: _said(lead.reasons) for lead in quality.leads if lead.grade == types_pb2.GRADE_REJECT}
    for reason in quality.reasons:
        unfit |= dict.fromkeys(_SWAPPED.get(reason.code, ()), _said([reason]))
    return Facts(
        {(found.key, found.lead): _measurement(found) for found in measurements},
        Patient(patient.age_years if patient.HasField("age_years") else None, _SEXES.get(patient.sex)),
        unfit,
    )


def _said(reasons: Iterable[types_pb2.QualityReason]) -> Reason:
    """What is wrong with a lead, in both languages."""
    en, pt = (", ".join(quality_reason(r.code, r.message, language) for r in reasons) for language in LANGUAGES)
    return Reason("UNFIT_LEAD", en, pt)


def _measurement(found: types_pb2.Measurement) -> Measurement:
    status = _STATUSES.get(found.status, Status.NOT_EVALUABLE)
    if status is Status.MEASURED and not found.HasField("value"):
        return Measurement(None, found.unit, Status.NOT_EVALUABLE, why("NO_VALUE"))
    value = found.value if status is Status.MEASURED else None
    reason = NO_REASON
    if found.reason:  # a caller's own may have no code
        reason = Reason(found.reason_code or "NOT_STATED", found.reason, found.reason_pt)
    return Measurement(value, found.unit, status, reason, found.loinc or None)
