"""How much of the time explanations may take while predictions are asked for.

A prediction beside a busy processor is slower whatever the priorities: caches, memory and, on shared machines, the
cores themselves are shared. So an explanation stands back between two requests to Triton, as long as it must to have
computed for no more than a share of the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["Pace"]

#: Predictions seen this lately are still being asked for.
_HOLD_S: Final = 2.0
_LAG: Final = 64
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
        self._predictions: int | None = None
        self._moved = -_HOLD_S

    def saw(self, predictions: int) -> None:
        """Tell how many predictions others have asked for so far.

        Somewhat fewer than before is no news: what this process has asked for is subtracted before Triton has counted
        it. Many fewer is a Triton that has started anew.
        """
        before = self._predictions
        if before is None or predictions > before or predictions < before - _LAG:
            self._predictions, self._moved = predictions, self._clock()

    @property
    def alone(self) -> bool:
        """Whether nobody else has asked for a prediction lately."""
        return self._clock() - self._moved >= _HOLD_S

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Surrounds what others compute for an explanation."""
        started = self._clock()
        try:
            yield
        finally:
            self._asked += self._clock() - started

    async def stand_back(self) -> None:
        """Pause for what was spent since the last pause, if anybody else asks for predictions."""
        own = self._own()
        spent = self._asked + own - self._own_before
        self._asked, self._own_before = 0.0, own
        if not self.alone and self._share < 1:
            await self._sleep(min(spent * (1 / self._share - 1), _LONGEST_S))
