"""Whether the rules and the model say the same of a finding. Disagreement is an answer, never hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cardiomesh.ecg.statements import taxonomy
from cardiomesh.rules.logic import State
from cardiomesh.rules.schema import Rule
from cardiomesh.rules.trace import Outcome

__all__ = ["Agreement", "Stance", "agreement"]


class Stance(StrEnum):
    """What the rules say to a finding of the model."""

    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Agreement:
    """One finding of the model beside the rules; the ids of the rules for and against what the model says."""

    code: str
    present: bool
    stance: Stance
    supporting: tuple[str, ...]
    contradicting: tuple[str, ...]


def agreement(code: str, present: bool, outcomes: Sequence[Outcome]) -> Agreement:
    """Hold one finding against every rule that speaks to it.

    A rule that is met speaks for its statements and their superclasses, and against what it contradicts. A rule that
    is not met speaks against its statements only where it decides them. What is not evaluable says nothing, and what
    is only to be considered never contradicts.
    """
    asserted, denied = [], []
    for outcome in outcomes:
        rule = outcome.rule
        if outcome.state is State.MET:
            if code in _speaks_for(rule):
                asserted.append(outcome)
            elif code in _speaks_against(rule) and not rule.consider:
                denied.append(outcome)
        elif outcome.state is State.NOT_MET and rule.decides and code in rule.statements:
            denied.append(outcome)
    if not present:
        # A superclass or a sign that the model does not call is contradicted only by the statement itself.
        asserted = [o for o in asserted if code in o.rule.statements and not o.rule.consider]
    supporting, contradicting = (asserted, denied) if present else (denied, asserted)
    stance = Stance.CONTRADICTS if contradicting else Stance.SUPPORTS if supporting else Stance.SILENT
    return Agreement(
        code, present, stance, tuple(o.rule.id for o in supporting), tuple(o.rule.id for o in contradicting)
    )


def _speaks_for(rule: Rule) -> frozenset[str]:
    superclasses = {taxonomy()[code].superclass or code for code in rule.statements}
    return frozenset(rule.statements) | superclasses


def _speaks_against(rule: Rule) -> frozenset[str]:
    """What it names, and a normal ECG where it finds a diagnosis."""
    diagnoses = any(taxonomy()[code].superclass not in (None, "NORM") for code in rule.statements)
    return frozenset(rule.contradicts) | ({"NORM"} if diagnoses else set())
