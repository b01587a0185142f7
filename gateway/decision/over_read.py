"""Why a human must read a recording before anybody acts on its answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from gateway.decision.policy import Policy, ReasonCode

__all__ = ["reasons"]

Reason = gateway_pb2.OverReadReason


def reasons(
    answer: gateway_pb2.AnalyzeResponse, critical: Sequence[gateway_pb2.CriticalFinding], policy: Policy
) -> Iterator[Reason]:
    """What is critical first, then what is uncertain, then what is wrong with the recording."""
    for found in critical:
        yield _said(policy, "CRITICAL_FINDING", found.code, found.name, found.name_pt)
    flagged = {found.code for found in critical}
    for finding in _doubted(answer.findings):
        if finding.code not in flagged:
            yield _said(policy, "UNCERTAIN_FINDING", finding.code, finding.name, finding.name_pt)
    if answer.quality.grade >= types_pb2.GRADE_C:
        yield _said(policy, "POOR_QUALITY")
    if answer.recording.missing_leads:
        yield _said(policy, "MISSING_LEAD")
    if any(reason.code in policy.doubtful_leads for reason in answer.quality.reasons):
        yield _said(policy, "LEADS_DOUBTFUL")
    patient = answer.recording.patient
    if patient.HasField("age_years") and patient.age_years < policy.adult_from:
        yield _said(policy, "AGE_NOT_STUDIED")


def _doubted(findings: Iterable[types_pb2.Finding]) -> list[types_pb2.Finding]:
    """Urgent findings that are uncertain and either called present, or not called though absence is ruled out.

    An uncalled one that may be either is left out: with nine urgent statements two answers in three have one.
    """
    found = [
        f
        for f in findings
        if f.outcome == types_pb2.OUTCOME_UNCERTAIN
        and f.urgency >= types_pb2.URGENCY_URGENT
        and (f.present or f.prediction_set == types_pb2.PREDICTION_SET_PRESENT)
    ]
    return sorted(found, key=lambda f: (-f.urgency, not f.present, -f.probability))


def _said(policy: Policy, code: ReasonCode, subject: str = "", name: str = "", name_pt: str = "") -> Reason:
    words = policy.over_read[code]
    return Reason(code=code, subject=subject, text=words.en.format(name=name), text_pt=words.pt.format(name=name_pt))
