"""What goes back: one JSON message, or a stream of them as lines or as server-sent events."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from aiohttp import web
from google.protobuf.message import Message

from cardiomesh.chassis.http import problem_of
from cardiomesh.errors import Cancelled, CardioMeshError, DeadlineExceeded
from gateway.http.bodies import IDLE_S, JSON, LINES
from gateway.http.messages import to_json

__all__ = ["STREAM", "AnswerStream", "whole"]

EVENTS: Final = "text/event-stream"


def _dumped(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def whole(answer: Message, field: str) -> web.Response:
    """An answer, or that field of it, as the body; a bytes field is a JSON document of its own."""
    content = getattr(answer, field) if field else answer
    body = content if isinstance(content, bytes) else _dumped(to_json(content))
    return web.Response(body=body, content_type=JSON)


class AnswerStream:
    """A stream of answers. The status line leaves with the first of them: an error before that has its own."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._events = EVENTS in request.headers.get("Accept", "")
        self.response = web.StreamResponse()
        self.response.content_type = EVENTS if self._events else LINES
        self.response.headers["Cache-Control"] = "no-store"
        self.response.headers["X-Accel-Buffering"] = "no"

    async def give(self, answer: Message) -> None:
        """The next answer; waits until the caller takes it."""
        await self._write("part", to_json(answer))

    async def open(self) -> None:
        """Send the status line, if nothing has yet."""
        if not self.response.prepared:
            await self.response.prepare(self._request)

    async def broken(self, error: CardioMeshError) -> web.StreamResponse:
        """The last line: why there are no more answers."""
        try:
            await self._write("problem", {"problem": problem_of(error)[0]})
        except (Cancelled, DeadlineExceeded):
            self.response.force_close()
        return self.response

    async def _write(self, event: str, content: Any) -> None:
        line = _dumped(content)
        framed = b"event: %s\ndata: %s\n\n" % (event.encode(), line) if self._events else line + b"\n"
        try:
            async with asyncio.timeout(IDLE_S):
                await self.open()
                await self.response.write(framed)
        except TimeoutError as error:
            raise DeadlineExceeded(f"nothing was taken for {IDLE_S:g} s") from error
        except ConnectionError as error:
            raise Cancelled("the caller went away") from error


#: Where a request keeps the stream that answers it.
STREAM: Final = web.RequestKey("stream", AnswerStream)
