"""Kleene's strong three-valued logic: what cannot be told stays untold unless the rest already decides.

Kleene, Introduction to Metamathematics, 1952, § 64.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

__all__ = ["State", "all_of", "at_least", "negated"]


class State(StrEnum):
    """What came of a criterion."""

    MET = "met"
    NOT_MET = "not met"
    NOT_EVALUABLE = "not evaluable"


def negated(state: State) -> State:
    """Met becomes not met and the reverse; not evaluable stays."""
    return {State.MET: State.NOT_MET, State.NOT_MET: State.MET}.get(state, state)


def all_of(states: Iterable[State]) -> State:
    """Not met as soon as one is not met; met only when all are."""
    found = set(states)
    if State.NOT_MET in found:
        return State.NOT_MET
    return State.NOT_EVALUABLE if State.NOT_EVALUABLE in found else State.MET


def at_least(count: int, states: Iterable[State]) -> State:
    """Met when so many are met; not met when even the unknown ones could not make up the number."""
    found = list(states)
    met, unknown = found.count(State.MET), found.count(State.NOT_EVALUABLE)
    if met >= count:
        return State.MET
    return State.NOT_EVALUABLE if met + unknown >= count else State.NOT_MET
