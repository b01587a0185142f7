"""One stream: bounded on both sides, and what gives way is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import CardioMeshError, InvalidRequest
from gateway.live.stream import Outcome, Skipped, Windowed
from tests.unit.gateway.live.harness import RATE, answer_naming, chunk, chunks, form, hash_of, hashes, numbers, stream

Request = gateway_pb2.AnalyzeStreamRequest


class Source:
    """Chunks of a second that count how many were asked for; ends after ``seconds``, or goes on and on."""

    def __init__(self, seconds: int) -> None:
        self.given = 0
        self._x = numbers(seconds * RATE)

    def __aiter__(self) -> AsyncIterator[Request]:
        return self

    async def __anext__(self) -> Request:
        first = self.given * RATE
        if first >= self._x.shape[1]:
            raise StopAsyncIteration
        self.given += 1
        return chunk(first, self._x[:, first : first + RATE])


async def settle() -> None:
    """Let every task run until none can go on."""
    for _ in range(300):
        await asyncio.sleep(0)


async def test_a_reader_who_takes_nothing_stops_the_sender() -> None:
    source = Source(600)
    live = stream(form(), behind=200)
    items = live.run(source)
    first = await anext(items)
    await settle()
    stopped = source.given
    await settle()
    assert source.given == stopped < 60
    assert live.held <= 300
    assert isinstance(first, Windowed)
    rest = [item async for item in items]
    assert [item.index for item in [first, *rest] if isinstance(item, Windowed)] == list(range(591))
    assert source.given == 600


async def test_a_source_that_cannot_wait_is_read_on_and_what_is_skipped_is_said() -> None:
    source = Source(600)
    live = stream(form(when_behind=gateway_pb2.WHEN_BEHIND_SKIP), behind=200)
    items = live.run(source)
    taken = [await anext(items)]
    while source.given < 600:
        await asyncio.sleep(0)
        assert live.held <= 300
    taken += [item async for item in items]
    answered = [item.index for item in taken if isinstance(item, Windowed)]
    skipped = [k for item in taken if isinstance(item, Skipped) for k in range(item.first, item.after)]
    assert sorted([*answered, *skipped]) == list(range(591))
    assert {item.reason for item in taken if isinstance(item, Skipped)} == {gateway_pb2.SKIP_REASON_BEHIND}
    assert len(skipped) > 500
    assert 590 in answered  # the newest are the ones that are kept
    assert sum(isinstance(item, Skipped) for item in taken) < 5  # one span, however long


async def test_the_newest_window_is_answered_first_when_old_ones_give_way() -> None:
    order: list[int] = []

    async def noting(recording: types_pb2.Recording) -> Outcome:
        order.append(int(np.frombuffer(recording.signal.samples, "<i2")[0]) // 12 // RATE)
        return await answer_naming(recording)

    live = stream(form(when_behind=gateway_pb2.WHEN_BEHIND_SKIP), noting, behind=200)
    assert sorted(hashes([item async for item in live.run(Source(14))])) == [0, 1, 2, 3, 4]
    assert order == [4, 3, 2, 1, 0]


async def test_what_is_critical_is_handed_out_first() -> None:
    asked, held = 0, asyncio.Event()

    async def answer(recording: types_pb2.Recording) -> Outcome:
        nonlocal asked
        asked += 1
        if asked == 6:
            held.set()
        await held.wait()  # all are answered at the same time
        made = await answer_naming(recording)
        index = int(np.frombuffer(recording.signal.samples, "<i2")[0]) // 12 // RATE
        if index == 3:
            assert isinstance(made, gateway_pb2.AnalyzeResponse)
            made.findings.add(code="VF", present=True, urgency=types_pb2.URGENCY_CRITICAL)
        return made

    live = stream(form(), answer, at_once=6)
    order = [item.index async for item in live.run(Source(15)) if isinstance(item, Windowed)]
    assert order == [3, 0, 1, 2, 4, 5]


async def test_a_gap_is_said_and_the_windows_keep_their_places() -> None:
    x = numbers(500)

    async def sent() -> AsyncIterator[Request]:
        yield chunk(0, x[:, :150])
        yield chunk(203, x[:, 203:420])

    items = [item async for item in stream(form()).run(sent())]
    gaps = [(item.first, item.after) for item in items if isinstance(item, Skipped)]
    assert gaps == [(6, 21)]
    whole = [*range(6), *range(21, 33)]
    assert hashes(items) == {k: hash_of(x[:, k * RATE : k * RATE + 100]) for k in whole}


async def test_what_comes_twice_is_left_out_and_counted() -> None:
    x = numbers(140)

    async def sent() -> AsyncIterator[Request]:
        for first, last in ((0, 60), (0, 60), (40, 120), (119, 140)):
            yield chunk(first, x[:, first:last])

    live = stream(form())
    assert hashes([item async for item in live.run(sent())]) == {
        k: hash_of(x[:, k * RATE : k * RATE + 100]) for k in range(5)
    }
    assert live.duplicates == 60 + 20 + 1


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request(), "part"),
        (Request(start=gateway_pb2.AnalyzeStreamStart()), "part"),
        (chunk(-1, numbers(5)), "chunk.first_sample"),
        (chunk(2**60, numbers(5)), "chunk.first_sample"),
        (Request(chunk=gateway_pb2.AnalyzeStreamChunk(first_sample=110, samples=b"123")), "chunk.samples"),
        (Request(chunk=gateway_pb2.AnalyzeStreamChunk(first_sample=110)), "chunk.samples"),
    ],
)
async def test_a_malformed_chunk_ends_the_stream_after_what_was_complete(request_: Request, field: str) -> None:
    async def sent() -> AsyncIterator[Request]:
        yield chunk(0, numbers(110))
        yield request_
        raise AssertionError("read on after a malformed chunk")

    live = stream(form())
    assert sorted(hashes([item async for item in live.run(sent())])) == [0, 1]
    assert isinstance(live.why, InvalidRequest)
    assert [violation.field for violation in live.why.violations] == [field]


async def test_a_silent_sender_ends_the_stream() -> None:
    async def sent() -> AsyncIterator[Request]:
        yield chunk(0, numbers(100))
        await asyncio.Event().wait()

    live = stream(form(), idle_s=0.01)
    assert sorted(hashes([item async for item in live.run(sent())])) == [0]
    assert live.why == gateway_pb2.END_REASON_IDLE


async def test_draining_finishes_what_is_in_work_and_takes_up_nothing_else() -> None:
    asked, held = asyncio.Event(), asyncio.Event()

    async def slow(recording: types_pb2.Recording) -> Outcome:
        asked.set()
        await held.wait()
        return await answer_naming(recording)

    live = stream(form(), slow, behind=500)
    running = asyncio.ensure_future(_all(live.run(Source(40))))
    await asked.wait()
    await live.drain()
    held.set()
    assert list(hashes(await running)) == [0]
    assert live.why == gateway_pb2.END_REASON_DRAINING


async def test_a_fault_of_ours_ends_the_stream_instead_of_leaving_it_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(recording: types_pb2.Recording) -> Outcome:
        raise ZeroDivisionError

    live = stream(form(), broken)
    assert [item async for item in live.run(chunks(numbers(300), [10] * 30))] == []
    assert type(live.why) is CardioMeshError
    assert "ZeroDivisionError" in caplog.text


async def test_lead_major_and_interleaved_mean_the_same() -> None:
    x = numbers(100)

    async def sent() -> AsyncIterator[Request]:
        for first in range(0, 100, 25):
            yield chunk(first, x[:, first : first + 25], lead_major=True)

    live = stream(form(order=gateway_pb2.SAMPLE_ORDER_LEAD_MAJOR))
    assert hashes([item async for item in live.run(sent())]) == {0: hash_of(x)}


async def _all(items: AsyncIterator[Windowed | Skipped]) -> list[Windowed | Skipped]:
    return [item async for item in items]
