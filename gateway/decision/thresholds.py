"""A card's thresholds under a policy: moved by its rules, bounded, and every move accounted for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.cards import Statement
from gateway.decision.policy import Policy, Shift, Words

__all__ = ["Moved", "moved"]

_CAPPED: Final = "capped"
_CAPPED_TEXT: Final = Words(en="cut to the policy's bound", pt="limitado ao máximo da política")


@dataclass(frozen=True, slots=True)
class Moved:
    """The threshold that is used, and the shifts that lead to it from the card's: their sum in logit, exactly."""

    threshold: float
    shifts: tuple[types_pb2.ThresholdShift, ...] = ()


def moved(statement: Statement, policy: Policy, applying: tuple[Shift, ...]) -> Moved:
    """The threshold of one statement where these rules apply; the card's own where none is about it."""
    shifts = [_said(s.id, s.log_odds, s.text) for s in applying if s.of.covers(statement)]
    base = statement.threshold
    if not shifts or not 0.0 < base < 1.0:
        return Moved(base)
    total, bound = math.fsum(shift.log_odds for shift in shifts), math.log(policy.bound)
    if abs(total) > bound:
        kept = math.copysign(bound, total)
        shifts.append(_said(_CAPPED, kept - total, _CAPPED_TEXT))
        total = kept
    odds = base / (1.0 - base) * math.exp(total)
    return Moved(odds / (1.0 + odds), tuple(shifts))


def _said(rule: str, log_odds: float, text: Words) -> types_pb2.ThresholdShift:
    return types_pb2.ThresholdShift(rule=rule, log_odds=log_odds, text=text.en, text_pt=text.pt)
