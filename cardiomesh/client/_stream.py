"""Live recordings: samples are sent while answers come, and a broken connection is taken up again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import grpc
import numpy.typing as npt

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.client._closing import AsyncCloses, Closes
from cardiomesh.client._live import LiveEnd, LivePart, LiveSkipped, LiveWindow, live_part_of
from cardiomesh.client._outbox import Outbox, resumable
from cardiomesh.errors import CardioMeshError, DeadlineExceeded, InvalidRequest, Overloaded
from cardiomesh.rpc.status import error_from_rpc

__all__ = ["AsyncLiveStream", "LiveStream"]

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0


class _Patience:
    """How long to go on trying: pauses grow, and start over with every answer."""

    def __init__(self, seconds: float, endless: bool) -> None:
        self._seconds = seconds
        #: No deadline was given: the mesh's own, a day, is no end of the recording.
        self._endless = endless
        self._idle = False
        self.progressed()

    def is_end_of_call(self, message: gateway_pb2.AnalyzeStreamResponse) -> bool:
        """Whether it only announces the status that follows."""
        self._idle |= message.end.reason == gateway_pb2.END_REASON_IDLE
        return self._idle or message.end.reason == gateway_pb2.END_REASON_DRAINING

    def progressed(self) -> None:
        self._pause = _FIRST_PAUSE_S
        self._since: float | None = None

    def pause_after(self, error: CardioMeshError, outbox: Outbox) -> float:
        """Seconds to wait before the next try; raises the error where there is none."""
        now = time.monotonic()
        self._since = self._since or now
        expired = isinstance(error, DeadlineExceeded) and self._endless and not self._idle
        if not outbox.started or not (resumable(error) or expired) or now - self._since > self._seconds:
            raise error
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE_S)
        return max(pause, error.retry_after_s) if isinstance(error, Overloaded) else pause


def _is_progress(part: LivePart) -> bool:
    return isinstance(part, LiveWindow | LiveSkipped | LiveEnd)


class LiveStream(Closes):
    """A live recording on a blocking client. Send from one thread and iterate in another; each by one thread only.

    ::

        with client.stream(500, unit="uV", sample_type="int16", stride=5) as stream:
            threading.Thread(target=feed, args=[stream]).start()    # stream.send(chunk) …, stream.finish()
            for part in stream:
                ...
    """

    def __init__(self, opener: Callable[[Any], Any], outbox: Outbox, reconnect: float, *, endless: bool) -> None:
        self._opener = opener
        self._outbox = outbox
        self._patience = _Patience(reconnect, endless)
        self._changed = threading.Condition()
        self._connection = 0
        self._finished = self._closed = False
        self._failure: CardioMeshError | None = None
        self._call = self._connect()

    def send(self, chunk: npt.ArrayLike) -> None:
        """Send the next ``[leads, n]`` samples; waits while too many are unsent. Raises what has ended the stream."""
        with self._changed:
            self._changed.wait_for(lambda: not self._outbox.full or self._finished or self._failure)
            if self._failure is not None:
                raise self._failure
            if self._finished:
                raise InvalidRequest.field("chunk", "the recording is finished", "OUT_OF_ORDER")
            self._outbox.put(chunk)
            self._changed.notify_all()

    def finish(self) -> None:
        """No samples follow; the remaining answers still come."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[LivePart]:
        """The answers; raises what ends the stream, unless it could be taken up again."""
        try:
            while True:
                try:
                    for message in self._call:
                        with self._changed:
                            self._outbox.answered(message)
                            self._changed.notify_all()
                        if self._patience.is_end_of_call(message):
                            continue
                        part = live_part_of(message)
                        if _is_progress(part):
                            self._patience.progressed()
                        yield part
                    return
                except grpc.RpcError as error:
                    if self._closed:
                        return
                    time.sleep(self._patience.pause_after(error_from_rpc(error), self._outbox))
                self._call = self._connect()
        except CardioMeshError as error:
            with self._changed:
                self._failure = error
                self._connection += 1
                self._changed.notify_all()
            raise

    def _connect(self) -> Any:
        with self._changed:
            self._connection += 1
            self._changed.notify_all()
            return self._opener(self._requests(self._connection, self._outbox.opening()))

    def _requests(
        self, connection: int, opening: gateway_pb2.AnalyzeStreamRequest
    ) -> Iterator[gateway_pb2.AnalyzeStreamRequest]:
        """What gRPC sends on one connection; it asks from a thread of its own."""
        yield opening
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox.unsent or self._finished or self._connection != connection)
                if self._connection != connection:
                    return
                request = self._outbox.next()
                self._changed.notify_all()
            if request is None:
                return
            yield request

    def close(self) -> None:
        """End it at once, answered or not."""
        with self._changed:
            self._connection += 1
            self._finished = self._closed = True
            self._changed.notify_all()
        self._call.cancel()


class AsyncLiveStream(AsyncCloses):
    """The same for asyncio: send in one task, iterate in another."""

    def __init__(self, opener: Callable[[Any], Any], outbox: Outbox, reconnect: float, *, endless: bool) -> None:
        self._opener = opener
        self._outbox = outbox
        self._patience = _Patience(reconnect, endless)
        self._changed = asyncio.Condition()
        self._connection = 0
        self._finished = self._closed = False
        self._failure: CardioMeshError | None = None
        self._call = self._connect()

    async def send(self, chunk: npt.ArrayLike) -> None:
        """Send the next ``[leads, n]`` samples; waits while too many are unsent. Raises what has ended the stream."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._outbox.full or self._finished or self._failure)
            if self._failure is not None:
                raise self._failure
            if self._finished:
                raise InvalidRequest.field("chunk", "the recording is finished", "OUT_OF_ORDER")
            self._outbox.put(chunk)
            self._changed.notify_all()

    async def finish(self) -> None:
        """No samples follow; the remaining answers still come."""
        async with self._changed:
            self._finished = True
            self._changed.notify_all()

    async def __aiter__(self) -> AsyncIterator[LivePart]:
        """The answers; raises what ends the stream, unless it could be taken up again."""
        try:
            while True:
                try:
                    async for message in self._call:
                        async with self._changed:
                            self._outbox.answered(message)
                            self._changed.notify_all()
                        if self._patience.is_end_of_call(message):
                            continue
                        part = live_part_of(message)
                        if _is_progress(part):
                            self._patience.progressed()
                        yield part
                    return
                except grpc.RpcError as error:
                    await asyncio.sleep(self._patience.pause_after(error_from_rpc(error), self._outbox))
                except asyncio.CancelledError:
                    # grpc.aio cancels whoever reads from a call that is cancelled; here that is our own doing.
                    task = asyncio.current_task()
                    if self._closed and task is not None and not task.cancelling():
                        return
                    raise
                async with self._changed:
                    self._call = self._connect()
                    self._changed.notify_all()
        except CardioMeshError as error:
            async with self._changed:
                self._failure = error
                self._connection += 1
                self._changed.notify_all()
            raise

    def _connect(self) -> Any:
        self._connection += 1
        return self._opener(self._requests(self._connection, self._outbox.opening()))

    async def _requests(
        self, connection: int, opening: gateway_pb2.AnalyzeStreamRequest
    ) -> AsyncIterator[gateway_pb2.AnalyzeStreamRequest]:
        yield opening
        while True:
            async with self._changed:
                # A call that has ended does not end what feeds it: that must not take samples from the next call.
                await self._changed.wait_for(
                    lambda: self._outbox.unsent or self._finished or self._connection != connection
                )
                if self._connection != connection:
                    return
                request = self._outbox.next()
                self._changed.notify_all()
            if request is None:
                return
            yield request

    async def close(self) -> None:
        """End it at once, answered or not."""
        async with self._changed:
            self._connection += 1
            self._finished = self._closed = True
            self._changed.notify_all()
        self._call.cancel()
