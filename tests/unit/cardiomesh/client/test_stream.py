"""A live recording over connections that break again and again: every window once, whichever client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from cardiomesh._proto.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from cardiomesh.client import (
    AsyncClient,
    AsyncLiveStream,
    Client,
    LiveAlarm,
    LiveEnd,
    LivePart,
    LiveSkipped,
    LiveStarted,
    LiveStream,
    LiveWindow,
)
from cardiomesh.client._live import live_part_of
from cardiomesh.client._live_start import live_outbox
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, InvalidRequest, Unavailable
from cardiomesh.rpc.status import DETAILS_KEY, code_of, status_details
from tests.unit.gateway.live.harness import RATE, as_tenant, desk, hash_of, numbers

X = numbers(300) + 1
EXPECTED = {k: hash_of(X[:, k * RATE : k * RATE + 100]) for k in range(21)}
ARGUMENTS: Any = {"unit": "uV", "sample_type": "int16", "stride": 1}


class Breaking(gateway_pb2_grpc.CardioMeshServicer):
    """The gateway's own room behind a connection that breaks after so many answers, then after so many, …"""

    def __init__(self, breaks: Iterator[int], status: grpc.StatusCode, limits: dict[str, float]) -> None:
        self._breaks = breaks
        self._status = status
        self._limits = limits

    async def AnalyzeStream(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        as_tenant("north")
        left = next(self._breaks, -1)
        try:
            async for part in desk(**self._limits).stream(request_iterator):  # each time another replica
                if left == 0:
                    await context.abort(self._status, "gone")
                left -= 1
                yield part
        except CardioMeshError as error:
            await context.abort(code_of(error), str(error), ((DETAILS_KEY, status_details(error)),))


class Server:
    """It runs in this test's loop; ``address`` is where."""

    def __init__(
        self, breaks: list[int], status: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, **limits: float
    ) -> None:
        self._server = grpc.aio.server()
        gateway_pb2_grpc.add_CardioMeshServicer_to_server(Breaking(iter(breaks), status, limits), self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def __aenter__(self) -> str:
        await self._server.start()
        return self.address

    async def __aexit__(self, *exception: object) -> None:
        await self._server.stop(0)


def blocking(address: str, reconnect: float = 60.0) -> list[LivePart]:
    with Client(address) as client, client.stream(RATE, reconnect=reconnect, **ARGUMENTS) as stream:

        def feed() -> None:
            for first in range(0, 300, 17):
                stream.send(X[:, first : first + 17])
            stream.finish()

        sender = threading.Thread(target=feed)
        sender.start()
        try:
            return list(stream)
        finally:
            sender.join()


async def awaiting(address: str, reconnect: float = 60.0) -> list[LivePart]:
    async with AsyncClient(address) as client, client.stream(RATE, reconnect=reconnect, **ARGUMENTS) as stream:

        async def feed() -> None:
            for first in range(0, 300, 17):
                await stream.send(X[:, first : first + 17])
            await stream.finish()

        sender = asyncio.create_task(feed())
        parts = [part async for part in stream]
        await sender
        return parts


async def asked(kind: str, address: str, reconnect: float = 60.0) -> list[LivePart]:
    if kind == "blocking":
        return await asyncio.to_thread(blocking, address, reconnect)
    return await awaiting(address, reconnect)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cardiomesh.client._stream._FIRST_PAUSE_S", 0.0)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
@pytest.mark.parametrize("breaks", [[], [1, 1, 1, 2], [3, 9, 2], [22]])
async def test_every_window_comes_once_however_often_the_connection_breaks(kind: str, breaks: list[int]) -> None:
    async with Server(breaks) as address:
        parts = await asked(kind, address)
    windows = [part for part in parts if isinstance(part, LiveWindow)]
    assert [window.index for window in windows] == list(range(21))
    assert {w.index: w.analysis.signal_hash for w in windows if w.analysis} == EXPECTED
    assert [part.resumed for part in parts if isinstance(part, LiveStarted)] == [False] + [True] * len(breaks)
    assert isinstance(parts[-1], LiveEnd)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_a_mesh_that_stays_away_is_given_up(kind: str) -> None:
    async with Server([5, *[0] * 1000]) as address:
        with pytest.raises(Unavailable):
            await asked(kind, address, reconnect=0.05)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_what_never_began_is_not_tried_again(kind: str) -> None:
    async with Server([0]) as address:
        with pytest.raises(Unavailable):
            await asked(kind, address)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_a_day_is_no_end(kind: str) -> None:
    """The mesh's own deadline ends a call; the recording goes on in another."""
    async with Server([5, 7], grpc.StatusCode.DEADLINE_EXCEEDED) as address:
        parts = await asked(kind, address)
    assert [part.index for part in parts if isinstance(part, LiveWindow)] == list(range(21))


async def test_a_deadline_that_was_given_ends_it() -> None:
    async with (
        Server([5], grpc.StatusCode.DEADLINE_EXCEEDED) as address,
        AsyncClient(address) as client,
        client.stream(RATE, timeout=30.0, **ARGUMENTS) as stream,
    ):
        await stream.send(X)
        with pytest.raises(DeadlineExceeded):
            await _rest(aiter(stream))


async def test_silence_ends_it() -> None:
    async with (
        Server([], idle_s=0.05) as address,
        AsyncClient(address) as client,
        client.stream(RATE, **ARGUMENTS) as stream,
    ):
        await stream.send(X[:, :100])
        parts = aiter(stream)
        assert [type(await anext(parts)) for _ in range(2)] == [LiveStarted, LiveWindow]
        with pytest.raises(DeadlineExceeded, match="no samples"):
            await anext(parts)


async def test_a_closed_stream_ends_quietly_for_whoever_reads_it() -> None:
    async with Server([]) as address, AsyncClient(address) as client:
        stream = client.stream(RATE, **ARGUMENTS)
        parts = aiter(stream)
        assert isinstance(await anext(parts), LiveStarted)
        reading = asyncio.create_task(_rest(parts))
        await asyncio.sleep(0)
        await stream.close()
        assert await reading == []
        with pytest.raises(InvalidRequest):
            await stream.send(X[:, :5])


class Gone(grpc.RpcError):
    """What a broken connection raises."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE


class Calls:
    """Two calls: the first breaks after its start, the second completes. Keeps what was to feed them."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def open(self, requests: Any) -> Any:
        self.requests.append(requests)
        return self._answers(broken=len(self.requests) == 1)

    def open_async(self, requests: Any) -> Any:
        answers = self.open(requests)

        async def each() -> AsyncIterator[Any]:
            for answer in answers:
                yield answer

        return each()

    def _answers(self, broken: bool) -> Iterator[gateway_pb2.AnalyzeStreamResponse]:
        started = gateway_pb2.StreamStarted(resumed=not broken)
        yield gateway_pb2.AnalyzeStreamResponse(started=started, resumption_token=b"t")
        if broken:
            raise Gone
        end = gateway_pb2.StreamEnd(reason=gateway_pb2.END_REASON_COMPLETE)
        yield gateway_pb2.AnalyzeStreamResponse(end=end, resumption_token=b"t")


def kinds(requests: list[gateway_pb2.AnalyzeStreamRequest]) -> list[str | None]:
    return [request.WhichOneof("part") for request in requests]


def test_what_fed_a_broken_call_takes_no_samples_from_the_next() -> None:
    calls = Calls()
    stream = LiveStream(calls.open, live_outbox(RATE, ARGUMENTS, 60.0), 60.0, endless=True)
    stream.send(X[:, :5])
    stream.finish()
    assert [type(part) for part in stream] == [LiveStarted, LiveStarted, LiveEnd]
    broken, whole = (list(requests) for requests in calls.requests)
    assert kinds(broken) == ["start"]
    assert kinds(whole) == ["start", "chunk"]


async def test_nor_with_asyncio() -> None:
    calls = Calls()
    stream = AsyncLiveStream(calls.open_async, live_outbox(RATE, ARGUMENTS, 60.0), 60.0, endless=True)
    await stream.send(X[:, :5])
    await stream.finish()
    assert [type(part) async for part in stream] == [LiveStarted, LiveStarted, LiveEnd]
    assert kinds([request async for request in calls.requests[0]]) == ["start"]
    assert kinds([request async for request in calls.requests[1]]) == ["start", "chunk"]


async def _rest(parts: AsyncIterator[LivePart]) -> list[LivePart]:
    return [part async for part in parts]


async def test_a_sender_waits_while_nothing_is_taken_and_is_told_when_it_fails() -> None:
    async with Server([]) as address, AsyncClient(address) as client:
        stream = client.stream(RATE, **{**ARGUMENTS, "unit": "furlong"}, unsent=1.0)
        parts = aiter(stream)
        sender = asyncio.create_task(_flood(stream))
        with pytest.raises(InvalidRequest):
            await anext(parts)
        with pytest.raises(InvalidRequest, match="unit"):
            await sender
        await stream.close()


async def _flood(stream: Any) -> None:
    while True:
        await stream.send(np.ones((12, 100), np.int16))


def test_messages_become_values() -> None:
    alarm = gateway_pb2.StreamAlarm(code="flat_line", state=gateway_pb2.ALARM_STATE_CLEARED, onset=3.0)
    window = live_part_of(
        gateway_pb2.AnalyzeStreamResponse(
            window=gateway_pb2.StreamWindow(index=4, start=4.0, critical=True, alarms=[alarm], active_alarms=["VF"])
        )
    )
    assert isinstance(window, LiveWindow)
    assert window.alarms == (LiveAlarm("flat_line", "", "", "cleared", 3.0),)
    assert (window.critical, window.active_alarms, window.analysis) == (True, ("VF",), None)
    found = gateway_pb2.StreamSkipped(reason=gateway_pb2.SKIP_REASON_BEHIND, first_index=1, last_index=2, end=12)
    skipped = live_part_of(gateway_pb2.AnalyzeStreamResponse(skipped=found))
    assert skipped == LiveSkipped("behind", 1, 2, 0.0, 12.0)
