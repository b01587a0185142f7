"""Who may stream, with what, and what is said of it: the room's front."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Final

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import (
    CardioMeshError,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    Unavailable,
)
from gateway.analysis.analysis import Analysis
from gateway.catalogue import Model
from gateway.door import current_call
from gateway.live.answering import Answering
from gateway.live.delivery import Delivery
from gateway.live.form import Form
from gateway.live.stream import LiveStream
from gateway.live.tokens import Standing, TokenMint
from gateway.live.windows import Settled

__all__ = ["LiveLimits", "LiveStreams"]

Request = gateway_pb2.AnalyzeStreamRequest
Part = gateway_pb2.AnalyzeStreamResponse
_OUT_OF_ORDER: Final = ("part", "send the start first and once, then chunks", "OUT_OF_ORDER")


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """What streams may take; times in seconds."""

    #: At once at this gateway.
    streams: int
    #: At once for one tenant at this gateway.
    tenant_streams: int
    #: Windows of one stream that are worked on at once.
    windows_at_once: int
    #: Signal beyond one window that is held for windows that wait.
    behind_s: float
    #: Longest wait for the next samples.
    idle_s: float
    #: A window's own deadline.
    window_s: float


class LiveStreams:
    """Answers AnalyzeStream. Remembers no stream: where one stands is in the token that its client holds."""

    def __init__(
        self,
        analysis: Analysis,
        resolve: Callable[[str, int], Model],
        mint: TokenMint,
        telemetry: Telemetry,
        limits: LiveLimits,
    ) -> None:
        self._resolve = resolve
        self._mint = mint
        self._telemetry = telemetry
        self._limits = limits
        self._answering = Answering(analysis, limits.window_s)
        self._open: Counter[str] = Counter()
        self._running: set[LiveStream] = set()
        self._draining = False
        telemetry.gauge("live_streams", self._open.total)

    async def drain(self) -> None:
        """Have every stream end where it can be taken up again; no new one begins."""
        self._draining = True
        await asyncio.gather(*(stream.drain() for stream in self._running))

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncGenerator[Part, None]:
        """Started, windows, end; raises what ended it where that was not the sender's own end."""
        with self._place(current_call().tenant):
            start = await self._start(requests)
            form = Form.of(start)
            standing = await self._standing(start, form)
            current_call().model = standing.model
            stream = LiveStream(
                form,
                Settled(standing.low, standing.above),
                self._answering.of(standing, start),
                capacity=form.length + round(self._limits.behind_s * form.rate),
                at_once=self._limits.windows_at_once,
                idle_s=self._limits.idle_s,
            )
            delivery = Delivery(form, standing, start.measure, self._mint, current_call().tenant, self._telemetry)
            yield delivery.started(resumed=bool(start.resumption_token))
            self._running.add(stream)
            try:
                if self._draining:  # began while the others were told
                    await stream.drain()
                async with aclosing(stream.run(requests)) as items:
                    async for item in items:
                        yield delivery.said(item)
            finally:
                self._running.discard(stream)
            if isinstance(stream.why, CardioMeshError):
                raise stream.why
            reason = stream.why or gateway_pb2.END_REASON_COMPLETE
            yield delivery.ended(reason, stream.duplicates, stream.unused)
            if reason == gateway_pb2.END_REASON_DRAINING:
                raise Unavailable("this replica is being stopped; resume with the last token")
            if reason == gateway_pb2.END_REASON_IDLE:
                raise DeadlineExceeded(f"no samples came for {self._limits.idle_s:g} s; resume with the last token")

    @contextmanager
    def _place(self, tenant: str) -> Iterator[None]:
        if self._draining:
            raise Unavailable("this replica is being stopped; try again")
        if self._open.total() >= self._limits.streams:
            raise Overloaded(f"{self._limits.streams} streams are open here; try again later")
        if self._open[tenant] >= self._limits.tenant_streams:
            raise Overloaded(f"{self._limits.tenant_streams} streams are open for this tenant; try again later")
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]

    async def _start(self, requests: AsyncIterator[Request]) -> gateway_pb2.AnalyzeStreamStart:
        try:
            async with asyncio.timeout(self._limits.idle_s):
                request = await anext(requests, Request())
        except TimeoutError:
            raise DeadlineExceeded(f"no start came for {self._limits.idle_s:g} s") from None
        if not request.HasField("start"):
            raise InvalidRequest.field(*_OUT_OF_ORDER)
        return request.start

    async def _standing(self, start: gateway_pb2.AnalyzeStreamStart, form: Form) -> Standing:
        """Where the recording stands: at its beginning, or where the token says."""
        if not start.resumption_token:
            card = self._resolve(start.model, start.model_version).card
            standing = Standing(card.name, card.version, card.digest)
            await self._answering.check(standing, start, form)
            return standing
        standing = self._mint.read(start.resumption_token, current_call().tenant, form.digest)
        card = self._resolve(standing.model, standing.model_version).card
        if card.digest != standing.card_digest:
            raise NotFound(f"{card.name} version {card.version} is no longer the one that answered; start anew")
        return standing
