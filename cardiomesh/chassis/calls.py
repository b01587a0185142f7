"""What surrounds every call, whichever transport brought it: trace, deadline, count, typed errors, metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import grpc
from opentelemetry.trace import SpanKind

from cardiomesh.chassis.deadline import Budget, enter_budget
from cardiomesh.chassis.telemetry import Telemetry, Value, extract
from cardiomesh.errors import Cancelled, CardioMeshError, DeadlineExceeded, Overloaded
from cardiomesh.rpc.status import code_of

__all__ = ["OPEN_STREAM_S", "Calls"]

log = logging.getLogger("cardiomesh.rpc")
#: A stream of requests lasts as long as its caller likes, within a day.
OPEN_STREAM_S = 86_400.0


class Calls:
    """The calls of one service."""

    def __init__(self, telemetry: Telemetry, *, default_deadline_s: float, max_concurrent_calls: int) -> None:
        self._telemetry = telemetry
        self.default_deadline_s = default_deadline_s
        self._max_calls = max_concurrent_calls
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        telemetry.gauge("rpc_in_flight", lambda: self._in_flight)

    @property
    def in_flight(self) -> int:
        """Calls being served now."""
        return self._in_flight

    async def wait_idle(self) -> None:
        """Return when no call is in flight."""
        await self._idle.wait()

    @contextmanager
    def around(
        self, name: str, span: str, facts: Mapping[str, Value], metadata: Mapping[str, str], seconds: float
    ) -> Iterator[Budget]:
        """Surround one call of the RPC ``name`` that may take ``seconds``.

        ``span`` and ``facts`` are what its server's span is called and says. Whatever goes wrong inside leaves as a
        CardioMeshError, except that whoever was cancelled stays cancelled.
        """
        started = time.perf_counter()
        self._enter()
        status = grpc.StatusCode.OK
        try:
            with self._telemetry.span(span, facts, kind=SpanKind.SERVER, parent=extract(metadata)) as current:
                try:
                    if self._in_flight > self._max_calls:
                        raise Overloaded(f"{self._max_calls} calls are in flight; try again in a moment")
                    budget = Budget.of(seconds)
                    budget.for_hop()
                    enter_budget(budget)
                    yield budget
                except (CardioMeshError, TimeoutError, asyncio.CancelledError, GeneratorExit) as error:
                    typed = _typed(error)
                    status = code_of(typed)
                    self._telemetry.describe(current, {"rpc.grpc.status_code": status.value[0]})
                    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
                        raise
                    raise typed from error
                except Exception as error:
                    status = grpc.StatusCode.INTERNAL
                    log.exception("unexpected error", extra={"method": name})
                    raise CardioMeshError("an unexpected error; its trace is in this service's log") from error
        finally:
            milliseconds = (time.perf_counter() - started) * 1e3
            self._leave()
            self._telemetry.observe(
                "rpc_duration", milliseconds, {"rpc.method": name, "rpc.grpc.status_code": status.value[0]}
            )
            if status is not grpc.StatusCode.OK:
                log.info(
                    "call failed",
                    extra={"method": name, "status": status.name, "milliseconds": round(milliseconds, 3)},
                )

    def _enter(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()


def _typed(error: BaseException) -> CardioMeshError:
    if isinstance(error, CardioMeshError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("the call's deadline has passed")
    return Cancelled("the caller went away")
