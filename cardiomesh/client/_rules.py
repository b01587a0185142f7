"""The rules' part of an explanation, as frozen values made from the wire messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from cardiomesh._proto.explainer.v1 import explainer_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.language import Language

__all__ = ["Criterion", "FindingAgreement", "ReportLine", "Rule", "RuleEvaluation", "Words", "rules_of"]


@dataclass(frozen=True, slots=True)
class Words:
    """The same words in English and Brazilian Portuguese."""

    en: str
    pt: str

    def __getitem__(self, language: Language) -> str:
        return self.en if language == "en" else self.pt


@dataclass(frozen=True, slots=True)
class Criterion:
    """One node of a rule's criteria: what was asked, of which value, with which cut-off and margin.

    ``state`` is "met", "not_met" or "not_evaluable". ``margin`` is positive on the met side of the cut-off.
    """

    kind: str
    state: str
    text: Words
    measurement: str
    lead: str
    value: float | None
    relation: str
    cutoff: float | None
    unit: str
    margin: float | None
    reason: Words
    parts: tuple[Criterion, ...]

    def leaves(self) -> Iterator[Criterion]:
        """The nodes without parts, in order."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with its trace and its source; ``state`` as in ``Criterion``."""

    id: str
    statements: tuple[str, ...]
    snomed_ct: str
    name: Words
    state: str
    reason: Words
    criteria: Criterion
    exclusions: tuple[Criterion, ...]
    urgency: str
    evidence: str
    source: str
    checked: str
    consider: bool


@dataclass(frozen=True, slots=True)
class FindingAgreement:
    """Whether the rules say of a finding what the model says: "supports", "contradicts" or "silent"."""

    finding_code: str
    present: bool
    agreement: str
    supporting: tuple[str, ...]
    contradicting: tuple[str, ...]
    text: Words


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One sentence of the report: a "finding", "contradiction", "consider", "not_evaluable" or "note"."""

    kind: str
    text: Words
    urgency: str
    rule_id: str


@dataclass(frozen=True, slots=True)
class RuleEvaluation:
    """Every rule on one recording, what it says to the findings, and the report, the most urgent first."""

    rules_digest: str
    rules: tuple[Rule, ...] = field(repr=False)
    agreements: tuple[FindingAgreement, ...]
    report: tuple[ReportLine, ...]
    compute_milliseconds: float

    def rule(self, rule_id: str) -> Rule:
        """One rule by its id; KeyError when there is none."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)

    @property
    def met(self) -> tuple[Rule, ...]:
        """The rules that are met."""
        return tuple(rule for rule in self.rules if rule.state == "met")

    def to_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON types."""
        return {"method": "rules", **asdict(self)}


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _words(text: explainer_pb2.Text) -> Words:
    return Words(text.en, text.pt)


def _state(value: explainer_pb2.RuleState.ValueType) -> str:
    return _word(explainer_pb2.RuleState.Name(value), "RULE_STATE_")


def _urgency(value: types_pb2.Urgency.ValueType) -> str:
    return _word(types_pb2.Urgency.Name(value), "URGENCY_")


def _criterion(node: explainer_pb2.Criterion) -> Criterion:
    return Criterion(
        kind=node.kind,
        state=_state(node.state),
        text=_words(node.text),
        measurement=node.measurement,
        lead=node.lead,
        value=node.value if node.HasField("value") else None,
        relation=node.relation,
        cutoff=node.cutoff if node.HasField("cutoff") else None,
        unit=node.unit,
        margin=node.margin if node.HasField("margin") else None,
        reason=_words(node.reason),
        parts=tuple(map(_criterion, node.parts)),
    )


def _rule(rule: explainer_pb2.Rule) -> Rule:
    return Rule(
        id=rule.id,
        statements=tuple(rule.statements),
        snomed_ct=rule.snomed_ct,
        name=_words(rule.name),
        state=_state(rule.state),
        reason=_words(rule.reason),
        criteria=_criterion(rule.criteria),
        exclusions=tuple(map(_criterion, rule.exclusions)),
        urgency=_urgency(rule.urgency),
        evidence=rule.evidence,
        source=rule.source,
        checked=rule.checked,
        consider=rule.consider,
    )


def rules_of(part: explainer_pb2.ExplainResponse) -> RuleEvaluation:
    """From the wire."""
    found = part.rules
    return RuleEvaluation(
        rules_digest=found.rules_digest,
        rules=tuple(map(_rule, found.rules)),
        agreements=tuple(
            FindingAgreement(
                finding_code=held.finding_code,
                present=held.present,
                agreement=_word(explainer_pb2.Agreement.Name(held.agreement), "AGREEMENT_"),
                supporting=tuple(held.supporting),
                contradicting=tuple(held.contradicting),
                text=_words(held.text),
            )
            for held in found.agreements
        ),
        report=tuple(
            ReportLine(line.kind, _words(line.text), _urgency(line.urgency), line.rule_id) for line in found.report
        ),
        compute_milliseconds=part.compute_milliseconds,
    )
