"""What surrounds every call, whichever transport brought it: trace, deadline, count, typed errors, metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType

import grpc
from opentelemetry.trace import Span, SpanKind

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

    def refused(self, name: str, error: CardioMeshError) -> None:
        """Count a call of ``name`` that was refused before anything was spent on it, and do no more."""
        code: int = code_of(error).value[0]
        self._telemetry.observe("rpc_duration", 0.0, {"rpc.method": name, "rpc.grpc.status_code": code})

    def around(
        self, name: str, span: str, facts: Mapping[str, Value], metadata: Mapping[str, str], seconds: float
    ) -> AbstractContextManager[Budget]:
        """Surround one call of the RPC ``name`` that may take ``seconds``.

        ``span`` and ``facts`` are what its server's span is called and says. Whatever goes wrong inside leaves as a
        CardioMeshError, except that whoever was cancelled stays cancelled.
        """
        traced = self._telemetry.span(span, facts, kind=SpanKind.SERVER, parent=extract(metadata))
        return _Around(self, self._telemetry, name, traced, seconds)

    def enter(self) -> None:
        """Count one more; Overloaded when it is one too many, and it is to ``leave`` all the same."""
        self._in_flight += 1
        self._idle.clear()
        if self._in_flight > self._max_calls:
            raise Overloaded(f"{self._max_calls} calls are in flight; try again in a moment")

    def leave(self) -> None:
        """Count one less."""
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()


class _Around(AbstractContextManager[Budget]):
    """One call, from its first moment to its last."""

    __slots__ = ("_calls", "_name", "_seconds", "_span", "_started", "_telemetry", "_traced")

    def __init__(
        self, calls: Calls, telemetry: Telemetry, name: str, traced: AbstractContextManager[Span], seconds: float
    ) -> None:
        self._calls = calls
        self._telemetry = telemetry
        self._name = name
        self._traced = traced
        self._seconds = seconds

    def __enter__(self) -> Budget:
        self._started = time.perf_counter()
        self._span = self._traced.__enter__()
        try:
            self._calls.enter()
            budget = Budget.of(self._seconds)
            budget.for_hop()
        except CardioMeshError as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        enter_budget(budget)
        return budget

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calls.leave()
        typed = None if error is None else self._typed(error)
        status = grpc.StatusCode.OK if typed is None else code_of(typed)
        code: int = status.value[0]
        milliseconds = (time.perf_counter() - self._started) * 1e3
        self._telemetry.observe("rpc_duration", milliseconds, {"rpc.method": self._name, "rpc.grpc.status_code": code})
        if typed is None:
            self._traced.__exit__(None, None, None)
            return
        self._telemetry.describe(self._span, {"rpc.grpc.status_code": code})
        log.info(
            "call failed",
            extra={"method": self._name, "status": status.name, "milliseconds": round(milliseconds, 3)},
        )
        cancelled = isinstance(error, (asyncio.CancelledError, GeneratorExit))
        outward = error if cancelled and error is not None else typed
        self._traced.__exit__(type(outward), outward, traceback)
        if outward is not error:
            raise outward from error

    def _typed(self, error: BaseException) -> CardioMeshError:
        if isinstance(error, CardioMeshError):
            return error
        if isinstance(error, TimeoutError):
            return DeadlineExceeded("the call's deadline has passed")
        if isinstance(error, Exception):
            log.error("unexpected error", exc_info=error, extra={"method": self._name})
            return CardioMeshError("an unexpected error; its trace is in this service's log")
        return Cancelled("the caller went away")
