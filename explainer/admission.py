"""How many explanations run at once, and how many may wait: the rest are told to come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cardiomesh.errors import Overloaded

__all__ = ["Admission"]


class Admission:
    """A bounded queue in front of a few places."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._limit = at_once + waiting
        self._inside = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One place, when it is free; Overloaded at once when too many wait already."""
        if self._inside >= self._limit:
            raise Overloaded(f"{self._inside} explanations are under way or waiting; try again in a moment")
        self._inside += 1
        try:
            async with self._places:
                yield
        finally:
            self._inside -= 1
