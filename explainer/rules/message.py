"""Rules over the wire: what a request says of a recording, and what the rules answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import Urgency
from cardiomesh.ecg.leads import STANDARD_LEADS
from cardiomesh.ecg.measurements import Measurement, Status
from cardiomesh.ecg.recording import Patient
from cardiomesh.ecg.statements import taxonomy
from explainer.rules.agreement import Agreement, Stance, agreement
from explainer.rules.book import RuleBook
from explainer.rules.evaluate import evaluate
from explainer.rules.facts import Facts
from explainer.rules.logic import State
from explainer.rules.report import Line, disagreement, report
from explainer.rules.schema import Rule, Text
from explainer.rules.trace import Outcome, Trace
from explainer.rules.words import both

__all__ = ["facts_of", "rule_evaluation"]

_STATUSES: Final[Mapping[int, Status]] = {
    types_pb2.MEASUREMENT_STATUS_MEASURED: Status.MEASURED,
    types_pb2.MEASUREMENT_STATUS_ABSENT: Status.ABSENT,
}
_STATES: Final = {
    State.MET: explainer_pb2.RULE_STATE_MET,
    State.NOT_MET: explainer_pb2.RULE_STATE_NOT_MET,
    State.NOT_EVALUABLE: explainer_pb2.RULE_STATE_NOT_EVALUABLE,
}
_STANCES: Final = {
    Stance.SUPPORTS: explainer_pb2.AGREEMENT_SUPPORTS,
    Stance.CONTRADICTS: explainer_pb2.AGREEMENT_CONTRADICTS,
    Stance.SILENT: explainer_pb2.AGREEMENT_SILENT,
}
_URGENCIES: Final = {
    Urgency.NONE: types_pb2.URGENCY_NONE,
    Urgency.ROUTINE: types_pb2.URGENCY_ROUTINE,
    Urgency.URGENT: types_pb2.URGENCY_URGENT,
    Urgency.CRITICAL: types_pb2.URGENCY_CRITICAL,
}
#: Leads that say nothing of where they should lie, by the code of the suspicion.
_SWAPPED: Final = {
    "LIMB_REVERSAL_SUSPECTED": STANDARD_LEADS[:6],
    "CHEST_MISPLACEMENT_SUSPECTED": STANDARD_LEADS[6:],
}
_AGREES: Final = {
    Stance.SUPPORTS: {"en": "the rules agree", "pt": "as regras concordam"},
    Stance.SILENT: {"en": "no rule speaks to it", "pt": "nenhuma regra se pronuncia"},
}


def rule_evaluation(book: RuleBook, request: explainer_pb2.ExplainRequest) -> explainer_pb2.RuleEvaluation:
    """Every rule on the measurements of the request, held against its findings. Pure, and a few milliseconds."""
    facts = facts_of(request)
    outcomes = evaluate(book, facts)
    present = {finding.code: finding.present for finding in request.findings}
    codes = [code for code in dict.fromkeys(request.finding_codes) if code in present]
    agreements = [agreement(code, present[code], outcomes) for code in codes]
    by_id = {outcome.rule.id: outcome for outcome in outcomes}
    return explainer_pb2.RuleEvaluation(
        rules_digest=book.digest,
        rules=[_rule(book, outcome) for outcome in outcomes],
        agreements=[_agreement(held, by_id) for held in agreements],
        report=[_line(line) for line in report(outcomes, agreements, facts.patient)],
    )


def facts_of(request: explainer_pb2.ExplainRequest) -> Facts:
    """What the request says of the recording; leads graded unfit or suspected to be swapped are kept from the rules."""
    sexes: Mapping[int, str] = {types_pb2.SEX_FEMALE: "female", types_pb2.SEX_MALE: "male"}
    sex = sexes.get(request.patient.sex)
    unfit = {
        lead.lead: ", ".join(reason.message for reason in lead.reasons)
        for lead in request.quality.leads
        if lead.grade == types_pb2.GRADE_REJECT
    }
    for reason in request.quality.reasons:
        unfit |= dict.fromkeys(_SWAPPED.get(reason.code, ()), reason.message)
    return Facts(
        {(found.key, found.lead): _measurement(found) for found in request.measurements},
        Patient(
            request.patient.age_years if request.patient.HasField("age_years") else None,
            "female" if sex == "female" else "male" if sex == "male" else None,
        ),
        unfit,
    )


def _measurement(found: types_pb2.Measurement) -> Measurement:
    status = _STATUSES.get(found.status, Status.NOT_EVALUABLE)
    if status is Status.MEASURED and not found.HasField("value"):
        return Measurement(None, found.unit, Status.NOT_EVALUABLE, "came without its value")
    value = found.value if status is Status.MEASURED else None
    return Measurement(value, found.unit, status, found.reason, found.loinc or None)


@lru_cache(maxsize=8192)
def _text(text: Text | None) -> explainer_pb2.Text | None:
    """Shared between messages, which copy it."""
    return None if text is None else explainer_pb2.Text(en=text.en, pt=text.pt)


def _snomed(rule: Rule) -> str:
    """The rule's own concept, or that of its first statement."""
    entry = taxonomy()[rule.statements[0]] if rule.statements else None
    return rule.snomed_ct or (entry.snomed_ct if entry else None) or ""


def _rule(book: RuleBook, outcome: Outcome) -> explainer_pb2.Rule:
    message = explainer_pb2.Rule(
        state=_STATES[outcome.state],
        reason=_text(outcome.reason),
        criteria=_criterion(outcome.criteria),
        exclusions=[_criterion(trace) for trace in outcome.exclusions],
    )
    message.MergeFrom(_heading(book, outcome.rule.id))
    return message


@lru_cache(maxsize=512)
def _heading(book: RuleBook, rule_id: str) -> explainer_pb2.Rule:
    """What a rule says of itself, whatever the recording."""
    rule = book[rule_id]
    reference = book.references[rule.source.ref]
    doi = f" doi:{reference.doi}." if reference.doi else ""
    remark = f" {rule.source.remark}" if rule.source.remark else ""
    return explainer_pb2.Rule(
        id=rule.id,
        statements=rule.statements,
        snomed_ct=_snomed(rule),
        name=_text(rule.name),
        urgency=_URGENCIES[rule.urgency],
        evidence=rule.evidence,
        source=f"{rule.source.section}. {reference.text}.{doi}{remark}",
        checked=rule.source.checked,
        consider=rule.consider,
    )


def _criterion(trace: Trace) -> explainer_pb2.Criterion:
    return explainer_pb2.Criterion(
        kind=trace.kind,
        state=_STATES[trace.state],
        text=_text(trace.text),
        measurement=trace.measurement,
        value=trace.value,
        relation=trace.relation or "",
        cutoff=trace.cutoff,
        unit=trace.unit,
        margin=trace.margin,
        reason=_text(trace.reason),
        # The criteria of another rule stand with that rule.
        parts=[] if trace.kind == "rule" else [_criterion(part) for part in trace.parts],
        lead=trace.lead,
    )


def _agreement(held: Agreement, outcomes: Mapping[str, Outcome]) -> explainer_pb2.FindingAgreement:
    if held.stance is Stance.CONTRADICTS:
        text = disagreement(held, outcomes)
    else:
        text = both(lambda language: _AGREES[held.stance][language])
    return explainer_pb2.FindingAgreement(
        finding_code=held.code,
        present=held.present,
        agreement=_STANCES[held.stance],
        supporting=held.supporting,
        contradicting=held.contradicting,
        text=_text(text),
    )


def _line(line: Line) -> explainer_pb2.ReportLine:
    return explainer_pb2.ReportLine(
        kind=line.kind.value, text=_text(line.text), urgency=_URGENCIES[line.urgency], rule_id=line.rule_id
    )
