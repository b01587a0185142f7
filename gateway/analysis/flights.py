"""Single flight: while an answer is being computed, others who ask for the same wait for it instead of computing it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from cardiomesh.chassis.deadline import current_budget
from cardiomesh.errors import Cancelled, DeadlineExceeded

__all__ = ["Flights"]

T = TypeVar("T")


class Flights(Generic[T]):
    """Computations under way, by key."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[T]] = {}

    async def share(self, key: str, compute: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The value, and whether this caller is the one it was computed for.

        The computation has the deadline of whoever started it. When that one runs out of time or goes away,
        those who waited start over with what is left of their own.
        """
        while (task := self._under_way.get(key)) is not None:
            try:
                return await asyncio.shield(task), False
            except (DeadlineExceeded, Cancelled, TimeoutError):
                self._forget(key, task)
                current_budget().for_hop()
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if not task.cancelled() or (me is not None and me.cancelling()):  # it is this caller who was cancelled
                    raise
                self._forget(key, task)
        task = asyncio.ensure_future(_as_coroutine(compute))
        self._under_way[key] = task
        try:
            return await task, True
        finally:
            self._forget(key, task)

    def _forget(self, key: str, task: asyncio.Task[T]) -> None:
        """Whoever sees the end does it: waiting again for what has ended would let nobody else run, its owner least."""
        if self._under_way.get(key) is task:
            del self._under_way[key]


async def _as_coroutine(compute: Callable[[], Awaitable[T]]) -> T:
    return await compute()
