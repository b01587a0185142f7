"""What cannot wait: critical statements of the model, and published criteria where the recording was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.rules import Evaluation, Facts, RuleBook, State
from gateway.findings import URGENCY

__all__ = ["Criteria", "asked", "of_model"]

Critical = gateway_pb2.CriticalFinding


@dataclass(frozen=True, slots=True)
class Criteria:
    """The criteria that are met, in the policy's order, and those that this recording does not tell."""

    met: tuple[Critical, ...]
    not_evaluable: tuple[str, ...]


def of_model(findings: Iterable[types_pb2.Finding]) -> list[Critical]:
    """The model's own critical statements that are called present."""
    return [
        Critical(
            code=f.code,
            name=f.name,
            name_pt=f.name_pt,
            urgency=f.urgency,
            consider=f.outcome == types_pb2.OUTCOME_UNCERTAIN,
        )
        for f in findings
        if f.present and f.urgency == types_pb2.URGENCY_CRITICAL
    ]


def asked(book: RuleBook, rule_ids: Iterable[str], facts: Facts) -> Criteria:
    """These rules of the book on one recording; under a millisecond."""
    run = Evaluation(book, facts)
    met, untold = [], []
    for rule_id in rule_ids:
        rule, state = book[rule_id], run.outcome(rule_id).state
        if state is State.MET:
            met.append(
                Critical(
                    code=rule_id,
                    name=rule.name.en,
                    name_pt=rule.name.pt,
                    urgency=URGENCY[rule.urgency],
                    by_criterion=True,
                    consider=rule.consider,
                )
            )
        elif state is State.NOT_EVALUABLE:
            untold.append(rule_id)
    return Criteria(tuple(met), tuple(untold))
