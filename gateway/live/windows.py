"""Which windows are complete, which wait, and which have had their say. Counts only; holds no sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

__all__ = ["Settled", "Span", "Windows"]

#: Window numbers, first and one past the last.
Span: TypeAlias = tuple[int, int]


class Settled:
    """A set of window numbers that fills from below: all below ``low``, and the spans ``above``."""

    def __init__(self, low: int = 0, above: Iterable[Span] = ()) -> None:
        self.low = low
        self.above: list[Span] = sorted(above)

    def add(self, first: int, after: int) -> None:
        """Put in the windows from ``first`` up to, but not including, ``after``."""
        merged: list[Span] = []
        for begin, end in sorted([*self.above, (first, after)]):
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        if merged and merged[0][0] <= self.low:
            self.low = max(self.low, merged.pop(0)[1])
        self.above = merged

    def __contains__(self, index: int) -> bool:
        return index < self.low or any(first <= index < after for first, after in self.above)

    def missing(self, first: int, after: int) -> Iterator[Span]:
        """The parts of a span that are not in the set."""
        begin = max(first, self.low)
        for taken, end in self.above:
            if begin < min(taken, after):
                yield begin, min(taken, after)
            begin = max(begin, end)
        if begin < after:
            yield begin, after


class Windows:
    """Windows of ``length`` samples every ``step``, complete as samples come; settled ones never come again."""

    def __init__(self, length: int, step: int, settled: Settled) -> None:
        self._length, self._step = length, step
        self._settled = Settled(settled.low, settled.above)
        #: The first window that is not complete.
        self._next = settled.low
        self._waiting: list[int] = []
        #: One past the last sample that was received, or that is known to be lost.
        self.end = settled.low * step

    @property
    def waiting(self) -> int:
        """How many are complete and not taken."""
        return len(self._waiting)

    @property
    def needed(self) -> int:
        """The first sample that a window still needs."""
        return (self._waiting[0] if self._waiting else self._next) * self._step

    @property
    def unused(self) -> int:
        """Samples at the end that are in no complete window."""
        covered = (self._next - 1) * self._step + self._length if self._next else 0
        return max(0, self.end - covered)

    def received(self, count: int) -> list[int]:
        """So many more samples came, without a gap; the windows that are complete with them."""
        self.end += count
        complete = []
        while self._next * self._step + self._length <= self.end:
            if self._next not in self._settled:
                complete.append(self._next)
            self._next += 1
        self._waiting += complete
        return complete

    def lost(self, until: int) -> list[Span]:
        """No sample before ``until`` will come; the windows that are lost with them."""
        first = self._next
        self._next = max(first, -(-until // self._step))
        self.end = until
        return list(self._settled.missing(first, self._next))

    def take(self, newest: bool) -> int:
        """The window to answer now."""
        return self._waiting.pop(-1 if newest else 0)
