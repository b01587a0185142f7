"""How much of the time explanations may take while predictions are asked for.

A prediction beside a busy processor is slower whatever the priorities: caches, memory and, on shared machines, the
cores themselves are shared. So an explanation stands back between two requests to Triton, as long as it must to have
computed for no more than a share of the time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["Pace"]

#: So many predictions of others in so many seconds are company. Fewer are none: whoever asks why has just asked what.
_COMPANY: Final = 4
_WINDOW_S: Final = 2.0
#: What was seen before that says nothing of now.
_STALE_S: Final = 10.0
#: Fewer than before by this many: a Triton that has started anew.
_LAG: Final = 64
#: Looking costs, too.
_LOOK_S: Final = 0.1
#: A request that hung is not paid for at length.
_LONGEST_S: Final = 5.0


class Pace:
    """What all explanations of this process have spent, and the pause that they owe for it."""

    def __init__(
        self,
        share: float,
        clock: Callable[[], float] = time.monotonic,
        own: Callable[[], float] = time.process_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._share = share
        self._clock, self._own, self._sleep = clock, own, sleep
        self._asked = 0.0
        self._own_before = own()
        #: When somebody looked, and how many predictions others had asked for by then: the window, and one look before.
        self._seen: deque[tuple[float, int]] = deque()

    @property
    def due(self) -> bool:
        """Whether it is time to look again for what others have asked."""
        return not self._seen or self._clock() - self._seen[-1][0] >= _LOOK_S

    def saw(self, predictions: int) -> None:
        """Tell how many predictions others have asked for so far.

        Somewhat fewer than before is no news: what this process has asked for is subtracted before Triton has
        counted it.
        """
        now, seen = self._clock(), self._seen
        if seen and (seen[-1][0] < now - _STALE_S or predictions < seen[-1][1] - _LAG):
            seen.clear()
        seen.append((now, max(predictions, seen[-1][1]) if seen else predictions))
        while len(seen) > 2 and seen[1][0] <= now - _WINDOW_S:
            seen.popleft()

    @property
    def alone(self) -> bool:
        """Whether others hardly ask for predictions."""
        if not self._seen:
            return True
        (first, before), (last, now) = self._seen[0], self._seen[-1]
        return now - before < _COMPANY * max(1.0, (last - first) / _WINDOW_S)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Surrounds what others compute for an explanation."""
        started = self._clock()
        try:
            yield
        finally:
            self._asked += self._clock() - started

    async def stand_back(self) -> None:
        """Pause for what was spent since the last pause, if others ask for predictions."""
        own = self._own()
        spent = self._asked + own - self._own_before
        self._asked, self._own_before = 0.0, own
        if not self.alone and self._share < 1:
            await self._sleep(min(spent * (1 / self._share - 1), _LONGEST_S))
