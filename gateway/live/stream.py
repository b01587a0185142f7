"""One stream: samples in, windows to whoever answers them, answers out; bounded on both sides."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import CardioMeshError, InvalidRequest
from gateway.live.alarms import Judgement
from gateway.live.form import Block, Form
from gateway.live.samples import Tail
from gateway.live.windows import Settled, Span, Windows

__all__ = ["LiveStream", "Outcome", "Skipped", "Windowed"]

log = logging.getLogger("cardiomesh.live")

Outcome: TypeAlias = "gateway_pb2.AnalyzeResponse | types_pb2.ItemError"
Why: TypeAlias = "gateway_pb2.EndReason.ValueType | CardioMeshError"
#: Answers of one stream that are in work or wait to be taken.
_MOST_ANSWERS: Final = 8
#: A source that was away for longer is another recording.
_LONGEST_GAP_S: Final = 86_400.0


@dataclass(slots=True)
class Skipped:
    """Windows in a row that get no answer."""

    reason: gateway_pb2.SkipReason.ValueType
    first: int
    after: int


@dataclass(frozen=True, slots=True)
class Windowed:
    """One window with what became of it, and when it was complete (monotonic seconds)."""

    index: int
    outcome: Outcome
    judgement: Judgement
    complete: float


class LiveStream:
    """Reads, has windows answered, and hands out the answers; those that show something critical first.

    Nothing is read while samples for ``capacity`` per lead wait, unless the form says that old windows give way. No
    window is taken up while ``_MOST_ANSWERS`` are in work or untaken. So a slow reader slows the work, and the work
    slows the sender, or skips.
    """

    def __init__(
        self,
        form: Form,
        settled: Settled,
        answer: Callable[[types_pb2.Recording], Awaitable[Outcome]],
        *,
        capacity: int,
        at_once: int,
        idle_s: float,
    ) -> None:
        self._form = form
        self._answer = answer
        self._capacity = max(capacity, form.length + 1)
        self._at_once = at_once
        self._idle_s = idle_s
        self._windows = Windows(form.length, form.step, settled)
        self._tail = Tail()
        self._complete_at: dict[int, float] = {}
        self._ready: list[Windowed] = []
        self._skipped: list[Skipped] = []
        self._in_work = 0
        self._broken = False
        self._changed = asyncio.Condition()
        #: Why nothing more is read; None while something is.
        self.why: Why | None = None
        #: Samples that had been received before.
        self.duplicates = 0

    @property
    def unused(self) -> int:
        """Samples at the end that are in no window."""
        return self._windows.unused

    @property
    def held(self) -> int:
        """Samples per lead that are held now."""
        return len(self._tail)

    async def drain(self) -> None:
        """Take up no further window; what is in work is still answered."""
        await self._stop(gateway_pb2.END_REASON_DRAINING)

    async def run(
        self, chunks: AsyncIterator[gateway_pb2.AnalyzeStreamRequest]
    ) -> AsyncGenerator[Windowed | Skipped, None]:
        """What becomes of the windows, until nothing more does; ``why`` then says why."""
        tasks = [asyncio.ensure_future(self._guarded(self._read(chunks)))]
        tasks += [asyncio.ensure_future(self._guarded(self._work())) for _ in range(self._at_once)]
        try:
            while (item := await self._take()) is not None:
                yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """A fault of ours ends the stream; it must not leave it waiting."""
        try:
            await work
        except Exception:
            log.exception("unexpected error", extra={"method": "AnalyzeStream"})
            self._broken = True
            await self._stop(CardioMeshError("an unexpected error; its trace is in this service's log"))

    async def _stop(self, why: Why) -> None:
        async with self._changed:
            if self.why is None or why == gateway_pb2.END_REASON_DRAINING:
                self.why = why
            self._changed.notify_all()

    # --- samples in

    async def _read(self, requests: AsyncIterator[gateway_pb2.AnalyzeStreamRequest]) -> None:
        try:
            while True:
                async with asyncio.timeout(self._idle_s):
                    request = await anext(requests)
                if request.WhichOneof("part") != "chunk":
                    raise InvalidRequest.field("part", "send the start first and once, then chunks", "OUT_OF_ORDER")
                await self._take_in(request.chunk.first_sample, self._form.block(request.chunk.samples))
        except StopAsyncIteration:
            await self._stop(gateway_pb2.END_REASON_COMPLETE)
        except TimeoutError:
            await self._stop(gateway_pb2.END_REASON_IDLE)
        except CardioMeshError as error:
            await self._stop(error)

    async def _take_in(self, first: int, block: Block) -> None:
        if not 0 <= first <= self._windows.end + _LONGEST_GAP_S * self._form.rate:
            raise InvalidRequest.field(
                "chunk.first_sample", f"is {first}, after {self._windows.end} samples; start anew", "OUT_OF_RANGE"
            )
        known = min(max(0, self._windows.end - first), block.shape[1])
        self.duplicates += known
        block, first = block[:, known:], first + known
        if not block.shape[1]:
            return
        if first > self._windows.end:
            async with self._changed:
                self._skip(gateway_pb2.SKIP_REASON_GAP, self._windows.lost(first))
                self._tail.drop_before(self._windows.needed)
                self._changed.notify_all()
        while block.shape[1]:
            async with self._changed:
                if self._form.skips:
                    self._make_room()
                else:
                    await self._changed.wait_for(lambda: len(self._tail) < self._capacity)
                taken = min(self._capacity - len(self._tail), block.shape[1])
                self._append(block[:, :taken])
                self._changed.notify_all()
            block = block[:, taken:]

    def _append(self, block: Block) -> None:
        self._tail.append(self._windows.end, block)
        now = time.monotonic()
        self._complete_at.update((index, now) for index in self._windows.received(block.shape[1]))
        self._tail.drop_before(self._windows.needed)

    def _make_room(self) -> None:
        """Give up the oldest windows that wait, until something can be taken in."""
        while len(self._tail) >= self._capacity:
            oldest = self._windows.take(newest=False)
            self._complete_at.pop(oldest)
            self._skip(gateway_pb2.SKIP_REASON_BEHIND, [(oldest, oldest + 1)])
            self._tail.drop_before(self._windows.needed)

    def _skip(self, reason: gateway_pb2.SkipReason.ValueType, spans: list[Span]) -> None:
        for first, after in spans:
            last = self._skipped[-1] if self._skipped else None
            if last is not None and last.reason == reason and last.after == first:
                last.after = after
            else:
                self._skipped.append(Skipped(reason, first, after))

    # --- windows to whoever answers them

    async def _work(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(self._may_begin)
                index = self._windows.take(newest=self._form.skips)
                window = self._tail.cut(index * self._form.step, self._form.length)
                self._tail.drop_before(self._windows.needed)
                self._in_work += 1
                self._changed.notify_all()
            # In a task of its own, because its deadline is.
            outcome = await asyncio.ensure_future(self._answer(self._form.recording(window)))
            judgement = self._judge(outcome)
            async with self._changed:
                self._in_work -= 1
                self._ready.append(Windowed(index, outcome, judgement, self._complete_at.pop(index)))
                self._changed.notify_all()

    def _may_begin(self) -> bool:
        return (
            self._windows.waiting > 0
            and self._in_work + len(self._ready) < _MOST_ANSWERS
            and self.why != gateway_pb2.END_REASON_DRAINING
        )

    def _judge(self, outcome: Outcome) -> Judgement:
        if isinstance(outcome, types_pb2.ItemError):
            return self._form.alarms.judge_error(outcome)
        return self._form.alarms.judge(outcome, self._form.length / self._form.rate)

    # --- answers out

    async def _take(self) -> Windowed | Skipped | None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ready or self._skipped or self._over())
            item = self._most_urgent()
            self._changed.notify_all()
        return item

    def _over(self) -> bool:
        if self._broken:
            return True
        if self.why is None or self._in_work:
            return False
        return not self._windows.waiting or self.why == gateway_pb2.END_REASON_DRAINING

    def _most_urgent(self) -> Windowed | Skipped | None:
        critical = [window for window in self._ready if window.judgement.shown]
        if not critical and self._skipped:
            return self._skipped.pop(0)
        pick = max if self._form.skips else min
        chosen = pick(critical or self._ready, key=lambda window: window.index, default=None)
        if chosen is not None:
            self._ready.remove(chosen)
        return chosen
