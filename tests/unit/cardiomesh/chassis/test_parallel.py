"""Items side by side: as they are ready, never too many, each with its own fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.chassis.parallel import in_parallel, outcome_of
from cardiomesh.errors import FieldViolation, UnfitRecording
from cardiomesh.rpc.status import error_from_item


class Source:
    """Numbers, and how many of them were read."""

    def __init__(self, count: int) -> None:
        self.count, self.read = count, 0

    async def __aiter__(self) -> AsyncIterator[int]:
        while self.read < self.count:
            self.read += 1
            yield self.read


async def test_answers_come_as_they_are_ready() -> None:
    last_is_done = asyncio.Event()

    async def work(item: int) -> int:
        if item == 1:
            await last_is_done.wait()
        if item == 3:
            last_is_done.set()
        return item

    found = [answer async for answer in in_parallel(aiter(Source(3)), work, 3)]
    assert sorted(found) == [1, 2, 3]
    assert found[0] != 1


async def test_who_takes_slowly_is_read_slowly() -> None:
    source = Source(1000)

    async def work(item: int) -> int:
        return item

    answers = in_parallel(aiter(source), work, 4)
    for taken in range(1, 20):
        await anext(answers)
        for _ in range(50):
            await asyncio.sleep(0)
        assert source.read <= taken + 4
    await answers.aclose()


async def test_what_is_under_way_is_cancelled_with_its_stream() -> None:
    cancelled = []

    async def work(item: int) -> int:
        if item == 1:
            return item
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    answers = in_parallel(aiter(Source(9)), work, 3)
    assert await anext(answers) == 1
    await asyncio.sleep(0)
    await answers.aclose()
    assert set(cancelled) <= {2, 3, 4}
    assert cancelled


async def outcome(work: object, seconds: float = 5.0, item_id: str = "a") -> types_pb2.ItemError:
    enter_budget(Budget.of(60))
    found = await outcome_of(item_id, work, seconds)  # type: ignore[arg-type]
    assert isinstance(found, types_pb2.ItemError)
    return found


async def test_a_typed_error_stays_the_item_s_own() -> None:
    async def work() -> int:
        raise UnfitRecording("3.00 s", [FieldViolation("recording.duration", "3.00 s", "TOO_SHORT")])

    error = error_from_item(await outcome(work))
    assert isinstance(error, UnfitRecording)
    assert [(v.field, v.reason) for v in error.violations] == [("recording.duration", "TOO_SHORT")]


async def test_a_late_item_and_an_unexpected_error_are_items_too(caplog: pytest.LogCaptureFixture) -> None:
    async def late() -> int:
        await asyncio.Event().wait()
        return 0

    async def broken() -> int:
        raise ZeroDivisionError("secret")

    assert (await outcome(late, seconds=0.01)).status == "DEADLINE_EXCEEDED"
    error = await outcome(broken)
    assert error.status == "INTERNAL"
    assert "secret" not in error.message


async def test_a_name_has_a_limit() -> None:
    async def work() -> int:
        return 1

    assert (await outcome(work, item_id="x" * 129)).violations[0].field == "item_id"
