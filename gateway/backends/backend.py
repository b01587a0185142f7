"""How the gateway calls a backend: not at all while it is away, and once more where that is safe and cheap.

Retries are for what is idempotent, only on UNAVAILABLE, only while there is time, and only within a budget: a backend
in trouble must not be asked twice by everybody (*Site Reliability Engineering*, ch. 21; Finagle's ``RetryBudget``).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Final, TypeVar

import grpc

from cardiomesh.chassis.deadline import current_budget
from cardiomesh.chassis.hop import Hop, Metadata
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import Cancelled, CardioMeshError, DeadlineExceeded, Unavailable
from gateway.backends.breaker import Breaker

__all__ = ["Backend", "RetryBudget"]

Request = TypeVar("Request")
Response = TypeVar("Response")
#: Failures in a row that open a breaker: one lost connection fails every call that was on it, and is no outage yet.
_FAILURES: Final = 5
#: A backend that was given less time than this and did not answer has shown nothing: callers choose their deadlines.
_FAIR_TIME_S: Final = 0.5
_MOST_RETRIES: Final = 2
#: The first pause is up to this long, the second up to twice as long: another replica needs none, a reconnect 100 ms.
_PAUSE_S: Final = 0.05


class RetryBudget:
    """A share of the calls may be repeated, and a few in any case, so that a quiet gateway can retry at all."""

    def __init__(self, share: float = 0.1, most: float = 10.0) -> None:
        self._share = share
        self._most = most
        self._left = most

    def called(self) -> None:
        """A call was made that may be repeated."""
        self._left = min(self._most, self._left + self._share)

    def take(self) -> bool:
        """Whether one more retry can be afforded; it is then spent."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Backend:
    """One part of the mesh behind the gateway.

    ``target`` names what of it is called, a model of Triton's for one: each has a breaker of its own, so that a model
    that is gone does not take the others with it.
    """

    def __init__(
        self,
        name: str,
        channel: grpc.aio.Channel,
        telemetry: Telemetry,
        *,
        cool_down_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.channel = channel
        self._name = name
        self._telemetry = telemetry
        self._breakers: defaultdict[str, Breaker] = defaultdict(
            lambda: Breaker(cool_down_s, failures=_FAILURES, clock=clock)
        )
        self._budget = RetryBudget()
        telemetry.gauge(
            "breakers_open",
            lambda: sum(not breaker.closed for breaker in self._breakers.values()),
            {"cardiomesh.hop": name},
        )

    def hop(self, method: Callable[..., Any], metadata: Metadata = (), *, traced: bool = True) -> Hop[Any, Any]:
        """One of its methods, a multicallable of a stub on ``channel``."""
        return Hop(self._name, method, self._telemetry, metadata, traced=traced)

    @contextmanager
    def attempt(self, seconds: float, target: str = "") -> Iterator[None]:
        """Surround one attempt that is given ``seconds``: refuses it while the breaker is open, and learns from it."""
        breaker = self._asked(target)
        try:
            yield
        except CardioMeshError as error:
            self._heard(breaker, error, seconds)
            raise
        breaker.succeeded()

    async def once(self, hop: Hop[Request, Response], request: Request, target: str = "") -> Response:
        """One attempt; Unavailable at once while the breaker is open."""
        breaker = self._asked(target)
        given = current_budget().remaining()
        try:
            answer = await hop(request)
        except CardioMeshError as error:
            self._heard(breaker, error, given)
            raise
        breaker.succeeded()
        return answer

    async def idempotent(self, hop: Hop[Request, Response], request: Request, target: str = "") -> Response:
        """The same, tried again where it could not be reached."""
        self._budget.called()
        for attempt in range(1, _MOST_RETRIES + 1):
            try:
                return await self.once(hop, request, target)
            except Unavailable:
                pause = random.uniform(0, _PAUSE_S * attempt)  # noqa: S311 — spreads callers, keeps no secret
                breaker = self._breakers[target]
                if not breaker.closed or current_budget().remaining() <= pause or not self._budget.take():
                    raise
            self._telemetry.count("hop_retries", {"cardiomesh.hop": self._name})
            await asyncio.sleep(pause)
        return await self.once(hop, request, target)

    async def stream(
        self, hop: Hop[Request, Response], request: Request, target: str = ""
    ) -> AsyncGenerator[Response, None]:
        """A stream of answers, never repeated; its first part shows that the backend is there."""
        breaker = self._asked(target)
        # Whoever feeds a stream slowly runs out of time without the backend's doing.
        given = 0.0 if isinstance(request, AsyncIterator) else current_budget().remaining()
        answered = False
        try:
            async with aclosing(hop.stream(request)) as parts:
                async for part in parts:
                    if not answered:
                        answered = True
                        breaker.succeeded()
                    yield part
        except CardioMeshError as error:
            if not answered:
                self._heard(breaker, error, given)
            raise

    def _asked(self, target: str) -> Breaker:
        breaker = self._breakers[target]
        if not breaker.allows():
            raise Unavailable(f"{self._name} does not answer; it is being left alone for a moment")
        return breaker

    @staticmethod
    def _heard(breaker: Breaker, error: CardioMeshError, given: float) -> None:
        """What an error says of the backend: whoever refuses or fails in its own words is there."""
        if isinstance(error, Cancelled):
            return
        if isinstance(error, DeadlineExceeded):
            if given >= _FAIR_TIME_S:
                breaker.failed()
        elif isinstance(error, Unavailable):
            breaker.failed()
        else:
            breaker.succeeded()
