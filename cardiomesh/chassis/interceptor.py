"""gRPC's side of every call: its metadata and deadline into ``Calls``, its errors onto the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError

from cardiomesh.chassis.calls import OPEN_STREAM_S, Calls
from cardiomesh.chassis.deadline import Budget
from cardiomesh.errors import CardioMeshError, InvalidRequest
from cardiomesh.rpc.status import DETAILS_KEY, code_of, status_details

__all__ = ["CallInterceptor", "Door", "Knock", "Peer", "anybody_in", "open_door"]

T = TypeVar("T")
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
#: The transport's authentication context; asked for where it matters, since it costs something to put together.
Peer: TypeAlias = Callable[[], Mapping[str, Iterable[bytes]]]
#: Full method name, metadata, and who is at the other end → what surrounds the call: it may refuse on entering, and on
#: leaving it may hold the answer back until something is done.
Door: TypeAlias = Callable[[str, Mapping[str, str], Peer], AbstractAsyncContextManager[None]]
#: Full method name and metadata → nothing, or Overloaded: what is refused before anything is spent on it.
Knock: TypeAlias = Callable[[str, Mapping[str, str]], None]
#: They answer under any load, and count as nobody's call.
_UNTOUCHED: Final = ("/grpc.health.", "/grpc.reflection.")


def open_door(method: str, metadata: Mapping[str, str], peer: Peer) -> AbstractAsyncContextManager[None]:
    """The door of a service inside the mesh, whose callers the network has already chosen."""
    return nullcontext()


def anybody_in(method: str, metadata: Mapping[str, str]) -> None:
    """A service that refuses nobody at the door."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every service but health and reflection."""

    def __init__(self, calls: Calls, door: Door = open_door, knock: Knock = anybody_in) -> None:
        self._calls = calls
        self._door = door
        self._knock = knock
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler that was found for the method; a method's handler is the same for every call."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or method.startswith(_UNTOUCHED):
                return handler
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Handler) -> Handler:
        codec = {
            "request_deserializer": handler.request_deserializer and _or_refusal(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), **codec)
        # Streaming behaviours are typed for blocking servers only.
        answers: Any = handler.unary_stream or handler.stream_stream
        if answers is None:
            raise NotImplementedError(f"{method}: a stream of requests with one answer is not offered by this chassis")
        make = grpc.unary_stream_rpc_method_handler if handler.unary_stream else grpc.stream_stream_rpc_method_handler
        default_s = self._calls.default_deadline_s if handler.unary_stream else OPEN_STREAM_S
        read = _read if handler.unary_stream else _read_each
        return make(self._stream(method, lambda request, context: answers(read(request), context), default_s), **codec)

    def _unary(self, method: str, behaviour: Callable[[Any, Any], Awaitable[T]]) -> Callable[[Any, Any], Awaitable[T]]:
        around = self._around(method, self._calls.default_deadline_s)

        async def call(request: Any, context: Context) -> T:
            failure: CardioMeshError
            metadata = metadata_of(context)
            try:
                with around(context, metadata) as budget:
                    async with asyncio.timeout(budget.remaining()), self._door(method, metadata, context.auth_context):
                        return await behaviour(_read(request), context)
            except CardioMeshError as error:
                failure = error
            return await _abort(context, failure)

        return call

    def _stream(
        self, method: str, behaviour: Callable[[Any, Any], AsyncIterator[T]], default_s: float
    ) -> Callable[[Any, Any], AsyncIterator[T]]:
        around = self._around(method, default_s)

        async def call(request: Any, context: Context) -> AsyncIterator[T]:
            failure: CardioMeshError | None = None
            metadata = metadata_of(context)
            try:
                with around(context, metadata) as budget:
                    async with (
                        asyncio.timeout(budget.remaining()),
                        self._door(method, metadata, context.auth_context),
                        _closing(behaviour(request, context)) as parts,
                    ):
                        async for part in parts:
                            yield part
            except CardioMeshError as error:
                failure = error
            if failure is not None:
                await _abort(context, failure)

        return call

    def _around(
        self, method: str, default_s: float
    ) -> Callable[[Context, Mapping[str, str]], AbstractContextManager[Budget]]:
        """What surrounds each call of ``method``, unary or not."""
        service, _, name = method.strip("/").partition("/")
        facts = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}

        def around(context: Context, metadata: Mapping[str, str]) -> AbstractContextManager[Budget]:
            try:
                self._knock(method, metadata)
            except CardioMeshError as error:
                self._calls.refused(name, error)
                raise
            left: float | None = context.time_remaining()
            return self._calls.around(name, "rpc.server", facts, metadata, default_s if left is None else left)

        return around


def _or_refusal(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """What is no message becomes its own refusal: grpc would answer an exception here with UNKNOWN, unseen by us."""

    def read(message: bytes) -> Any:
        try:
            return deserialize(message)
        except DecodeError:
            return InvalidRequest.field("request", "is not a message of this method", "MALFORMED")

    return read


def _read(request: Any) -> Any:
    if isinstance(request, InvalidRequest):
        raise request
    return request


async def _read_each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _read(request)


@asynccontextmanager
async def _closing(parts: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Ends a generator with its call: what it holds (a child process, a backend's stream) is let go at once."""
    try:
        yield parts
    finally:
        if isinstance(parts, AsyncGenerator):
            await parts.aclose()


def metadata_of(context: Context) -> dict[str, str]:
    """The call's metadata but for what is binary; grpc says None where there is none."""
    pairs: Iterable[tuple[str, str | bytes]] | None = context.invocation_metadata()
    return {key: value for key, value in pairs or () if isinstance(value, str)}


async def _abort(context: Context, error: CardioMeshError) -> NoReturn:
    await context.abort(code_of(error), str(error), ((DETAILS_KEY, status_details(error)),))
    raise AssertionError("abort always raises")
