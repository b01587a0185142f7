"""One call to another part of the mesh: trace context, the rest of the deadline, typed errors, its time."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Generic, TypeVar

import grpc
from opentelemetry.trace import SpanKind

from cardiomesh.chassis.deadline import current_budget
from cardiomesh.chassis.telemetry import Telemetry, inject
from cardiomesh.errors import CardioMeshError, Unavailable
from cardiomesh.rpc.status import error_from_rpc
from cardiomesh.rpc.upload import status_kept

__all__ = ["Hop", "Metadata"]

Request = TypeVar("Request")
Response = TypeVar("Response")
Metadata = Iterable[tuple[str, str]]


class Hop(Generic[Request, Response]):
    """A method of a backend, called with everything a call in the mesh carries.

    ``name`` is the part of the mesh (``triton``), ``method`` a stub's multicallable; ``metadata`` goes with each call,
    and so does the trace, unless the other end would write the request's own words into it.
    """

    def __init__(
        self,
        name: str,
        method: Callable[..., Any],
        telemetry: Telemetry,
        metadata: Metadata = (),
        *,
        traced: bool = True,
    ) -> None:
        self._name = name
        self._method = method
        self._telemetry = telemetry
        self._metadata = tuple(metadata)
        self._traced = traced

    async def __call__(self, request: Request) -> Response:
        """The answer; raises the typed error that the backend raised, Unavailable when it cannot be reached."""
        started = time.perf_counter()
        status = grpc.StatusCode.OK
        with self._telemetry.span("rpc.client", {"cardiomesh.hop": self._name}, kind=SpanKind.CLIENT):
            try:
                answer: Response = await self._method(
                    request, timeout=current_budget().for_hop(), metadata=self._onward()
                )
            except grpc.RpcError as error:
                status = error.code()
                raise self._translate(error) from error
            finally:
                self._observe(started, status)
        return answer

    async def stream(self, request: Request) -> AsyncGenerator[Response, None]:
        """The parts of the answer, likewise."""
        started = time.perf_counter()
        status = grpc.StatusCode.OK
        with self._telemetry.span("rpc.client", {"cardiomesh.hop": self._name}, kind=SpanKind.CLIENT):
            # A backend that refuses in the middle of a stream of requests is heard, and not grpc's failed write.
            call = status_kept(self._method(request, timeout=current_budget().for_hop(), metadata=self._onward()))
            try:
                async for part in call:
                    yield part
            except grpc.RpcError as error:
                status = error.code()
                raise self._translate(error) from error
            finally:
                call.cancel()
                self._observe(started, status)

    def _onward(self) -> tuple[tuple[str, str], ...]:
        return (*inject().items(), *self._metadata) if self._traced else self._metadata

    def _observe(self, started: float, status: grpc.StatusCode) -> None:
        milliseconds = (time.perf_counter() - started) * 1e3
        self._telemetry.observe(
            "hop_duration", milliseconds, {"cardiomesh.hop": self._name, "rpc.grpc.status_code": status.value[0]}
        )

    def _translate(self, error: grpc.RpcError) -> CardioMeshError:
        typed = error_from_rpc(error)
        if isinstance(typed, Unavailable):
            # grpc's own text holds addresses and socket errors; the caller needs to know which part is away.
            return Unavailable(f"{self._name} cannot be reached")
        return typed
