"""What the page of reasons shows, as plain typed data in the sheet's language."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from cardiomesh.cards import Urgency

__all__ = ["Asked", "ReportRow", "RuleState", "RulesPanel", "TracedRule"]


class RuleState(StrEnum):
    """What came of a criterion; the same three as in the contract."""

    MET = "met"
    NOT_MET = "not_met"
    NOT_EVALUABLE = "not_evaluable"


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One sentence of the report, already in the sheet's language."""

    text: str
    urgency: Urgency
    #: Not a finding: what could not be told, or a note.
    aside: bool = False
    #: Rules and model disagree.
    contradiction: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """One criterion: what was asked, what the value was, and what came of it."""

    text: str
    value: str
    state: RuleState
    depth: int = 0


@dataclass(frozen=True, slots=True)
class TracedRule:
    """One rule on the explained finding, with its criteria and the short form of its source."""

    name: str
    state: RuleState
    criteria: tuple[Asked, ...]
    source: str = ""
    #: Why it is not evaluable.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RulesPanel:
    """What the rules say: the report on the whole recording, and the trace on the explained finding."""

    report: tuple[ReportRow, ...]
    #: Code of the finding, and its name.
    finding: str
    name: str
    #: Of rules and model; nothing where the prediction is not known.
    agreement: Literal["", "supports", "contradicts", "silent"]
    traced: tuple[TracedRule, ...]
