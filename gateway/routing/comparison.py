"""Two versions on the same recordings: where they agree, how far probabilities move, whether calibration drifts."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cardiomesh._proto.types.v1 import types_pb2

__all__ = ["Comparison", "StatementPair"]

#: Edges of the classes of probability. Most statements are rare: equal widths would put all of them into one class.
_EDGES: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
#: Below, chance alone moves the index: its mean is (classes - 1) (1/n + 1/n) for equal distributions, here 0.2.
_LEAST_FOR_INDEX: Final = 100


def _classes() -> list[int]:
    return [0] * (len(_EDGES) + 1)


@dataclass(slots=True)
class StatementPair:
    """One statement under both versions."""

    compared: int = 0
    became_present: int = 0
    became_absent: int = 0
    change: float = 0.0
    reference: float = 0.0
    candidate: float = 0.0
    _reference_classes: list[int] = field(default_factory=_classes)
    _candidate_classes: list[int] = field(default_factory=_classes)

    def add(self, reference: types_pb2.Finding, candidate: types_pb2.Finding) -> bool:
        """One recording; whether both call it alike."""
        self.compared += 1
        self.change += abs(candidate.probability - reference.probability)
        self.reference += reference.probability
        self.candidate += candidate.probability
        self._reference_classes[bisect_right(_EDGES, reference.probability)] += 1
        self._candidate_classes[bisect_right(_EDGES, candidate.probability)] += 1
        if reference.present == candidate.present:
            return True
        if candidate.present:
            self.became_present += 1
        else:
            self.became_absent += 1
        return False

    @property
    def agreement(self) -> float:
        """Share of recordings that both call alike."""
        return 1.0 - (self.became_present + self.became_absent) / self.compared

    @property
    def stability_index(self) -> float | None:
        """Population stability index of the probabilities (Yurdakul & Naranjo, *J. Risk Model Validation* 2020).

        None while chance alone could make it large. Half a recording is added to each class, for those that are empty.
        """
        if self.compared < _LEAST_FOR_INDEX:
            return None
        total = self.compared + 0.5 * len(self._reference_classes)
        pairs = [
            ((new + 0.5) / total, (old + 0.5) / total)
            for old, new in zip(self._reference_classes, self._candidate_classes, strict=True)
        ]
        return math.fsum((new - old) * math.log(new / old) for new, old in pairs)


class Comparison:
    """Every statement that both know."""

    def __init__(self) -> None:
        self.compared = 0
        self.dropped = 0
        self.statements: dict[str, StatementPair] = {}

    def add(self, reference: Iterable[types_pb2.Finding], candidate: Iterable[types_pb2.Finding]) -> float:
        """One recording; the share of statements that the two call otherwise."""
        theirs: Mapping[str, types_pb2.Finding] = {finding.code: finding for finding in candidate}
        self.compared += 1
        alike = [
            self.statements.setdefault(finding.code, StatementPair()).add(finding, theirs[finding.code])
            for finding in reference
            if finding.code in theirs
        ]
        return 1.0 - sum(alike) / len(alike) if alike else 1.0

    @property
    def agreement(self) -> float:
        """Mean over statements; NaN before the first recording."""
        return self._mean([pair.agreement for pair in self.statements.values()])

    @property
    def change(self) -> float:
        """Mean absolute change of a probability; NaN before the first recording."""
        return self._mean([pair.change / pair.compared for pair in self.statements.values()])

    @property
    def drift(self) -> float:
        """The largest stability index of any statement; NaN while none can be told."""
        told = [index for pair in self.statements.values() if (index := pair.stability_index) is not None]
        return max(told, default=math.nan)

    @staticmethod
    def _mean(values: list[float]) -> float:
        return math.fsum(values) / len(values) if values else math.nan
