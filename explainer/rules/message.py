"""The rules' answer over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import Urgency
from cardiomesh.ecg.statements import taxonomy
from cardiomesh.rules.book import RuleBook
from cardiomesh.rules.evaluate import evaluate
from cardiomesh.rules.logic import State
from cardiomesh.rules.messages import facts_of
from cardiomesh.rules.schema import Rule, Text
from cardiomesh.rules.trace import Outcome, Trace
from cardiomesh.rules.words import both
from explainer.rules.agreement import Agreement, Stance, agreement
from explainer.rules.report import Line, disagreement, report

__all__ = ["rule_evaluation"]

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
_AGREES: Final = {
    Stance.SUPPORTS: {"en": "the rules agree", "pt": "as regras concordam"},
    Stance.SILENT: {"en": "no rule speaks to it", "pt": "nenhuma regra se pronuncia"},
}


def rule_evaluation(book: RuleBook, request: explainer_pb2.ExplainRequest) -> explainer_pb2.RuleEvaluation:
    """Every rule on the measurements of the request, held against its findings. Pure, and a few milliseconds."""
    facts = facts_of(request.measurements, request.quality, request.patient)
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
