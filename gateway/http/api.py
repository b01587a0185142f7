"""Every RPC of the gateway as HTTP, by the table of bindings: request in, servicer, answer out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

from aiohttp import web
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.http.answers import STREAM, AnswerStream, whole
from gateway.http.bindings import BINDINGS, Binding, method_of
from gateway.http.bodies import chunks, read_lines, read_message
from gateway.http.messages import from_pairs, set_bytes

__all__ = ["HttpApi"]

#: Servicers take a gRPC context; what they may use of it, an HTTP request does not have.
_NO_CONTEXT: Final[Any] = None
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpApi:
    """The ``/v1`` routes; ``servicers`` by the name of their service."""

    def __init__(self, servicers: Mapping[str, object]) -> None:
        self._servicers = servicers

    def add_routes(self, app: web.Application) -> None:
        """Add them to the service's HTTP port."""
        for binding in BINDINGS:
            app.router.add_route(binding.verb, binding.path, self._handler(binding))

    def _handler(self, binding: Binding) -> _Handler:
        method = method_of(binding)
        kind = GetMessageClass(method.input_type)
        behaviour = getattr(self._servicers[method.containing_service.name], method.name)

        async def unary(request: web.Request) -> web.StreamResponse:
            answer = await behaviour(await read_message(request, binding, kind()), _NO_CONTEXT)
            return whole(answer, binding.answer)

        async def stream(request: web.Request) -> web.StreamResponse:
            asked: Message | AsyncIterator[Message]
            if not method.client_streaming:
                asked = await read_message(request, binding, kind())
            elif binding.file:
                asked = _upload(request, binding, kind)
            else:
                asked = read_lines(request, kind)
            stream = request[STREAM] = AnswerStream(request)
            async with aclosing(behaviour(asked, _NO_CONTEXT)) as answers:
                async for answer in answers:
                    await stream.give(answer)
            await stream.open()
            return stream.response

        return stream if method.server_streaming else unary


async def _upload(request: web.Request, binding: Binding, kind: type[Message]) -> AsyncIterator[Message]:
    """The query as the first request, the body's bytes as the others."""
    start = kind()
    first = getattr(start, binding.start)
    first.SetInParent()
    from_pairs(request.query.items(), first)
    yield start
    async for chunk in chunks(request.content):
        message = kind()
        set_bytes(message, binding.file, chunk)
        yield message
