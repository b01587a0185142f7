"""What a request carries: a JSON message, lines of them, or a file, bare or in a form. Every read has a bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

from aiohttp import BodyPartReader, ClientPayloadError, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from google.protobuf.message import Message

from cardiomesh.errors import Cancelled, DeadlineExceeded, InvalidRequest, TooLarge, WrongMediaType
from gateway.http.bindings import Binding
from gateway.http.messages import from_json, from_pairs, set_bytes

__all__ = ["IDLE_S", "JSON", "LINES", "chunks", "read_lines", "read_message"]

M = TypeVar("M", bound=Message)
JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
_FORM: Final = "multipart/form-data"
#: aiohttp's word for "nothing was said".
_UNSAID: Final = "application/octet-stream"
#: Longest that a stream waits for a caller who neither sends nor takes, in seconds.
IDLE_S: Final = 60.0
_MOST_PARTS: Final = 32
_LARGEST_VALUE: Final = 4096


async def read_message(request: web.Request, binding: Binding, into: M) -> M:
    """The request of a call that has one: from its body, its query and its path."""
    try:
        return await _read(request, binding, into)
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large(request) from error
    except (ClientPayloadError, web.RequestPayloadError) as error:
        raise InvalidRequest.field("body", "broke off, or is not encoded as its headers say", "MALFORMED") from error


async def _read(request: web.Request, binding: Binding, into: M) -> M:
    query = list(request.query.items())
    if binding.verb == "GET":
        from_pairs(query, into)
    elif request.content_type == JSON:
        if query:
            raise InvalidRequest.field("query", "must be empty: the JSON body holds everything", "UNKNOWN")
        from_json(await request.read(), into)
    elif not binding.file:
        raise _expected(JSON)
    else:
        content = await _form(request, query) if request.content_type == _FORM else await request.read()
        from_pairs(query, into)
        if not content:
            raise InvalidRequest.field("file", "is empty", "EMPTY")
        set_bytes(into, binding.file, content)
    return from_pairs(request.match_info.items(), into, "path")


async def _form(request: web.Request, values: list[tuple[str, str]]) -> bytes:
    """The part ``file``; every other part is a value, as in the query. Names of files are not looked at."""
    content = b""
    left = request.client_max_size
    try:
        parts = 0
        async for part in await request.multipart():
            parts += 1
            if parts > _MOST_PARTS or not isinstance(part, BodyPartReader):
                raise InvalidRequest.field("body", f"has more than {_MOST_PARTS} parts, or nested ones", "MALFORMED")
            if part.name == "file":
                content = await _bounded(request, part, left)
                left -= len(content)
            else:
                value = await _bounded(request, part, _LARGEST_VALUE)
                values.append((part.name or "", value.decode("utf-8", "replace")))
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError) as error:
        raise InvalidRequest.field("body", "is not a readable multipart form", "MALFORMED") from error
    return content


async def _bounded(request: web.Request, part: BodyPartReader, limit: int) -> bytes:
    """A form part, read up to a limit: ``client_max_size`` does not cover multipart bodies."""
    content = bytearray()
    while chunk := await part.read_chunk():
        content += chunk
        if len(content) > limit:
            raise _too_large(request)
    return bytes(content)


async def read_lines(request: web.Request, kind: type[M]) -> AsyncIterator[M]:
    """One message a line, as they come; empty lines are nothing."""
    if request.content_type not in (LINES, "application/jsonl"):
        raise _expected(LINES)
    if request.query:
        raise InvalidRequest.field("query", "must be empty: the lines hold everything", "UNKNOWN")
    number = 0
    async for line in _lines(request):
        number += 1
        if line.strip():
            yield from_json(line, kind(), f"line {number}")


async def _lines(request: web.Request) -> AsyncIterator[bytes]:
    pieces: list[bytes] = []
    held = 0
    async for chunk in chunks(request.content):
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            yield b"".join([*pieces, piece])
            pieces, held = [], 0
        pieces.append(rest)
        held += len(rest)
        if held > request.client_max_size:
            raise _too_large(request, "a line")
    yield b"".join(pieces)


async def chunks(content: StreamReader) -> AsyncIterator[bytes]:
    """The body as it arrives; a caller who sends nothing for a minute is let go."""
    try:
        while True:
            async with asyncio.timeout(IDLE_S):
                chunk = await content.readany()
            if not chunk:
                return
            yield chunk
    except TimeoutError as error:
        raise DeadlineExceeded(f"nothing was sent for {IDLE_S:g} s") from error
    except ClientPayloadError as error:
        raise Cancelled("the body broke off") from error


def _too_large(request: web.Request, what: str = "the body") -> TooLarge:
    return TooLarge(f"{what} is larger than {request.client_max_size} bytes")


def _expected(media_type: str) -> WrongMediaType:
    # The caller's own word is not repeated: it is a header like any other.
    return WrongMediaType.field("Content-Type", f"must be {media_type}", "UNSUPPORTED")
