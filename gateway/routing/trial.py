"""One trial as this gateway has seen it: both sides' inferences, both sides' answers, and what may end it by itself."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cardiomesh._proto.types.v1 import types_pb2
from gateway.routing.choice import Arm
from gateway.routing.comparison import Comparison
from gateway.routing.evidence import Evidence

__all__ = ["Bounds", "Side", "TrialRecord"]

#: Newest inferences whose duration is kept, of each side.
_NEWEST: Final = 101
#: Below, the reference's median says too little to hold anybody against.
_LEAST_FOR_LATENCY: Final = 30
#: A few milliseconds more are no slowness, whatever their ratio: a small model takes two.
_SLACK_MS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Beyond which a canary is rolled back."""

    #: The canary's share of failures over the stable version's.
    errors: float
    #: The canary's median duration over the stable version's.
    latency: float
    #: Share of statements that the two call otherwise on the same recording.
    disagreement: float
    #: Values between two false alarms, in the mean.
    run_length: float


@dataclass(slots=True)
class Side:
    """Inferences of one side."""

    inferences: int = 0
    failures: int = 0
    newest: deque[float] = field(default_factory=lambda: deque(maxlen=_NEWEST))

    @property
    def median(self) -> float | None:
        """Of the newest durations, in ms."""
        return statistics.median(self.newest) if self.newest else None


class TrialRecord:
    """What was seen since the trial began with its present share."""

    def __init__(self, arm: Arm, bounds: Bounds) -> None:
        self.arm = arm
        self._bounds = bounds
        self.reference, self.candidate = Side(), Side()
        self.comparison = Comparison()
        self.tests: tuple[Evidence, ...] = ()
        if arm is Arm.CANARY:
            self._errors = Evidence("errors", bounds.errors / (1.0 + bounds.errors), bounds.run_length)
            self._latency = Evidence("latency", 0.5, bounds.run_length)
            self._disagreement = Evidence("disagreement", bounds.disagreement, bounds.run_length)
            self.tests = (self._errors, self._latency, self._disagreement)

    def answered(self, on_trial: bool, milliseconds: float) -> None:
        """One side has made an inference."""
        side = self.candidate if on_trial else self.reference
        side.inferences += 1
        if on_trial and self.tests and len(self.reference.newest) >= _LEAST_FOR_LATENCY:
            # More than half above what the other side's median may grow to: the median is above it.
            most = self._bounds.latency * (self.reference.median or 0.0) + _SLACK_MS
            self._latency.add(float(milliseconds > most))
        side.newest.append(milliseconds)

    def failed(self, on_trial: bool) -> None:
        """One side has failed to make one.

        Of failures that both sides suffer alike, the canary has its share of the traffic. What is tested is whether it
        has more, so that an outage of Triton, which hits both, does not look like the canary's fault.
        """
        if self.tests:
            share = (self.candidate.inferences + 1) / (self.candidate.inferences + self.reference.inferences + 2)
            odds = self._bounds.errors * share / (1.0 - share)
            self._errors.add(float(on_trial), odds / (1.0 + odds))
        side = self.candidate if on_trial else self.reference
        side.inferences += 1
        side.failures += 1

    def compared(self, reference: Iterable[types_pb2.Finding], candidate: Iterable[types_pb2.Finding]) -> None:
        """Both have answered on one recording."""
        otherwise = self.comparison.add(reference, candidate)
        if self.tests:
            self._disagreement.add(otherwise)

    @property
    def verdict(self) -> str:
        """Why the canary must go, in words; empty while it may stay."""
        for test in self.tests:
            if test.decided:
                return (
                    f"{test.name}: mean {test.mean:.3g} over {test.seen}, bound {test.bound:.3g}, "
                    f"evidence {test.value:.3g} of {test.limit:.3g}"
                )
        return ""
