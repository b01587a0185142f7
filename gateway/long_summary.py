"""All windows of a long recording in a few numbers, kept as they pass; its size does not grow with the recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.cards import ModelCard, Statement
from gateway.findings import URGENCY

__all__ = ["Summary"]

Window = gateway_pb2.LongWindow
Extreme = gateway_pb2.Extreme


@dataclass(slots=True)
class _Run:
    """Windows in a row."""

    windows: int = 0
    start: float = 0.0


@dataclass(slots=True)
class _Burden:
    """What is known of one statement so far."""

    statement: Statement
    windows: int = 0
    now: _Run | None = None
    longest: _Run | None = None
    highest: Extreme | None = None

    def add(self, start: float, probability: float, present: bool) -> None:
        if self.highest is None or probability > self.highest.value:
            self.highest = Extreme(value=probability, start=start)
        if not present:
            self.now = None
            return
        self.windows += 1
        self.now = self.now or _Run(0, start)
        self.now.windows += 1
        if self.longest is None or self.now.windows > self.longest.windows:
            self.longest = _Run(self.now.windows, self.now.start)


class Summary:
    """Add each window once, in order; ``message`` says what they come to."""

    def __init__(self, card: ModelCard) -> None:
        self._burdens = [_Burden(statement) for statement in card.statements]
        self._refusals: dict[str, gateway_pb2.RefusalCount] = {}
        self._analyzed = self._refused = 0
        self._worst: Extreme | None = None
        self._lowest: Extreme | None = None
        self._highest: Extreme | None = None
        self._rates, self._rate_sum = 0, 0.0

    def add(self, window: Window) -> None:
        """Count one window."""
        if window.HasField("quality") and (self._worst is None or window.quality.score < self._worst.value):
            self._worst = Extreme(value=window.quality.score, start=window.start)
        if window.HasField("refusal"):
            self._refused += 1
            reason = window.refusal.violations[0].reason if window.refusal.violations else window.refusal.reason
            count = self._refusals.setdefault(reason, gateway_pb2.RefusalCount(reason=reason, first_start=window.start))
            count.windows += 1
            for burden in self._burdens:
                burden.now = None
            return
        self._analyzed += 1
        present = set(window.present)
        for burden, probability in zip(self._burdens, window.probabilities, strict=True):
            burden.add(window.start, probability, burden.statement.code in present)
        if window.HasField("heart_rate"):
            self._add_rate(window.heart_rate, window.start)

    def _add_rate(self, rate: float, start: float) -> None:
        self._rates += 1
        self._rate_sum += rate
        if self._lowest is None or rate < self._lowest.value:
            self._lowest = Extreme(value=rate, start=start)
        if self._highest is None or rate > self._highest.value:
            self._highest = Extreme(value=rate, start=start)

    def message(self) -> gateway_pb2.LongSummary:
        """As the contract carries it."""
        return gateway_pb2.LongSummary(
            windows=self._analyzed + self._refused,
            analyzed=self._analyzed,
            refused=self._refused,
            refusals=sorted(self._refusals.values(), key=lambda count: -count.windows),
            findings=sorted(self._found(), key=lambda burden: -burden.windows),
            worst_quality=self._worst,
            lowest_heart_rate=self._lowest,
            highest_heart_rate=self._highest,
            mean_heart_rate=self._rate_sum / self._rates if self._rates else None,
        )

    def _found(self) -> Iterator[gateway_pb2.FindingBurden]:
        for burden in self._burdens:
            if burden.longest is None or burden.highest is None:
                continue
            statement = burden.statement
            yield gateway_pb2.FindingBurden(
                code=statement.code,
                name=statement.name,
                name_pt=statement.name_pt,
                kind=statement.kind.value,
                urgency=URGENCY[statement.urgency],
                windows=burden.windows,
                share=burden.windows / self._analyzed,
                longest_run=burden.longest.windows,
                longest_run_start=burden.longest.start,
                highest_probability=burden.highest.value,
                highest_start=burden.highest.start,
            )
