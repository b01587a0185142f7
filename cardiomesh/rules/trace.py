"""What evaluation leaves behind: every criterion with value, cut-off, margin, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cardiomesh.rules.logic import State
from cardiomesh.rules.schema import Relation, Rule, Text

__all__ = ["Outcome", "Trace"]


class Trace(NamedTuple):
    """One node of the criteria as it came out; a tuple, because several hundred are made per request.

    ``margin`` is how far the value lies on the met side of the cut-off, negative on the other; ``cutoff`` is None
    where an unknown age or sex leaves several.
    """

    kind: str
    state: State
    text: Text
    parts: tuple[Trace, ...] = ()
    lead: str = ""
    measurement: str = ""
    value: float | None = None
    relation: Relation | None = None
    cutoff: float | None = None
    unit: str = ""
    margin: float | None = None
    reason: Text | None = None
    #: What was compared, without the cut-off.
    subject: Text | None = None

    def leaves(self) -> Iterator[Trace]:
        """The nodes without parts, in order."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One rule as it came out; ``reason`` says why it is not evaluable."""

    rule: Rule
    state: State
    criteria: Trace
    exclusions: tuple[Trace, ...] = ()
    reason: Text | None = field(default=None)
