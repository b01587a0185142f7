"""How many calls may be worked on at once: found from how much slower they are than when they are alone.

A gradient limiter: Netflix's *concurrency-limits* (Gradient2) for the step, Envoy's adaptive concurrency filter for the
probes that keep the comparison honest under lasting load. One change, because the work here is mixed (a ten-millisecond
model beside an ensemble, one window beside sixty-four): each call is compared with what its own kind takes when it is
nearly alone, and the limit follows the ratio, which means the same for all of them.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

__all__ = ["AdaptiveLimit"]

#: "Nearly alone": so many in flight, the call itself among them.
_ALONE: Final = 2
#: Calls of a kind that must have been seen alone before its latencies mean anything.
_SEEN: Final = 3
#: The alone-latency of a kind follows faster downwards: noise only ever makes a call slower.
_DOWN, _UP = 0.25, 0.02
_MOST_KINDS: Final = 256
#: One step needs this many calls, and lasts at least this long.
_WINDOW_CALLS: Final = 16
_WINDOW_S: Final = 0.1
_SMOOTHING: Final = 0.2
#: Under load that leaves nobody alone, so often and with so many calls the limit steps aside to look.
_PROBE_EVERY_S: Final = 30.0
_PROBE_CALLS: Final = 10


class _Kind:
    """What is known of one kind of call: seconds when nearly alone, and as of late."""

    __slots__ = ("alone", "recent", "seen")

    def __init__(self, seconds: float) -> None:
        self.alone = seconds
        self.recent = seconds
        self.seen = 0

    def learn(self, seconds: float, alone: bool) -> None:
        self.recent += 0.1 * (seconds - self.recent)
        if alone:
            self.seen += 1
        if seconds < self.alone:
            self.alone += _DOWN * (seconds - self.alone)
        elif alone:
            self.alone += _UP * (seconds - self.alone)


class AdaptiveLimit:
    """``least`` ≤ limit ≤ ``most``. The same number for both holds it still.

    ``tolerance`` is how many times slower than alone calls may get before the limit gives way.
    """

    def __init__(
        self,
        *,
        least: int = 4,
        most: int = 256,
        start: int = 8,
        tolerance: float = 1.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._least = least
        self._most = most
        self._tolerance = tolerance
        self._clock = clock
        self._limit = float(min(max(start, least), most))
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()
        self._ratios: list[float] = []
        self._busiest = 0
        self._window_since = clock()
        self._seconds = 0.0
        self._alone_at = -math.inf
        self._probing = 0

    @property
    def value(self) -> int:
        """Calls that may be in flight now."""
        return min(_ALONE, self._least) if self._probing else int(self._limit)

    def expected(self, kind: Hashable) -> float:
        """Seconds that a call of this kind takes at present; 0 where nothing is known of it."""
        known = self._kinds.get(kind)
        return known.recent if known else 0.0

    def wait(self, calls: int) -> float:
        """Seconds until ``calls`` calls have been taken from a queue, as things are (Little's law)."""
        return calls * self._seconds / max(1.0, self._limit)

    def learn(self, kind: Hashable, seconds: float, in_flight: int) -> None:
        """A call took so long, and there were so many in flight, itself among them, when it began."""
        now = self._clock()
        alone = in_flight <= _ALONE
        known = self._kind(kind, seconds)
        known.learn(seconds, alone)
        self._seconds += (seconds - self._seconds) * (0.1 if self._seconds else 1.0)
        self._busiest = max(self._busiest, in_flight)
        if alone:
            self._alone_at = now
            self._probing = max(0, self._probing - 1)
        elif not self._probing and self._least < self._most and now - self._alone_at > _PROBE_EVERY_S:
            self._probing = _PROBE_CALLS
        if known.seen >= _SEEN:
            self._ratios.append(seconds / known.alone)
        if len(self._ratios) >= _WINDOW_CALLS and now - self._window_since >= _WINDOW_S:
            self._step()
            self._ratios.clear()
            self._busiest = 0
            self._window_since = now

    def _kind(self, kind: Hashable, seconds: float) -> _Kind:
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = _Kind(seconds)
            if len(self._kinds) > _MOST_KINDS:
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(kind)
        return known

    def _step(self) -> None:
        gradient = min(1.0, max(0.5, self._tolerance / statistics.median(self._ratios)))
        target = self._limit * gradient + math.sqrt(self._limit)
        if target > self._limit and self._busiest < self._limit / 2:
            return  # a limit that nobody reaches has not been tried
        self._limit += _SMOOTHING * (target - self._limit)
        self._limit = min(float(self._most), max(float(self._least), self._limit))
