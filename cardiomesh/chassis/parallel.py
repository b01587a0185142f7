"""A stream of items worked off side by side: never more at once than allowed, no item's fault another's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.deadline import Budget, current_budget, enter_budget
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, InvalidRequest
from cardiomesh.rpc.status import item_error

__all__ = ["in_parallel", "outcome_of"]

log = logging.getLogger("cardiomesh.parallel")
MAX_ITEM_ID: Final = 128
Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def in_parallel(
    items: AsyncIterator[Item], work: Callable[[Item], Awaitable[Answer]], limit: int
) -> AsyncGenerator[Answer, None]:
    """``work`` on each item, up to ``limit`` at once; the answers as they are ready.

    An item counts from being read until its answer is taken: whoever takes slowly is read slowly, and memory stays
    bounded. What is under way is cancelled when the answers are no longer wanted.
    """
    running: set[asyncio.Task[Answer]] = set()
    reading: asyncio.Future[Item] | None = None
    more = True
    try:
        while more or running:
            if more and reading is None and len(running) < limit:
                reading = asyncio.ensure_future(anext(items))
            waiting: set[asyncio.Future[Item] | asyncio.Task[Answer]] = {*running, *([reading] if reading else ())}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading.done():
                try:
                    running.add(asyncio.ensure_future(_as_coroutine(work, reading.result())))
                except StopAsyncIteration:
                    more = False
                reading = None
            for task in [task for task in running if task.done()]:
                running.discard(task)
                yield task.result()
    finally:
        left = [*running, *([reading] if reading is not None else ())]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _as_coroutine(work: Callable[[Item], Awaitable[Answer]], item: Item) -> Answer:
    return await work(item)


async def outcome_of(
    item_id: str, work: Callable[[], Awaitable[Answer]], seconds: float
) -> Answer | types_pb2.ItemError:
    """The answer to one item, or the error that it would have had as a call of its own with a deadline of ``seconds``.

    Runs in the item's own task: the rest of the stream's deadline, where that is shorter, is the item's.
    """
    budget = Budget.of(min(seconds, current_budget().remaining()))
    enter_budget(budget)
    try:
        if len(item_id) > MAX_ITEM_ID:
            raise InvalidRequest.field("item_id", f"longer than {MAX_ITEM_ID} characters", "TOO_LONG")
        async with asyncio.timeout(budget.remaining()):
            return await work()
    except CardioMeshError as error:
        return item_error(error)
    except TimeoutError:
        return item_error(DeadlineExceeded("the item's deadline has passed"))
    except Exception:
        log.exception("unexpected error", extra={"method": "batch"})
        return item_error(CardioMeshError("an unexpected error; its trace is in this service's log"))
