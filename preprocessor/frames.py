"""How parent and worker processes speak: a four-byte length, one byte that says what follows, a message."""

from __future__ import annotations

import asyncio
import struct
from typing import BinaryIO, Final

from google.protobuf.message import Message

__all__ = ["ERROR", "framed", "received", "take", "write"]

#: An ItemError follows, in every dialogue.
ERROR: Final = b"e"
_HEAD: Final = struct.Struct("<Lc")


def framed(kind: bytes, payload: bytes) -> bytes:
    """One frame."""
    return _HEAD.pack(len(payload), kind) + payload


def write(sink: BinaryIO, kind: bytes, message: Message) -> None:
    """Send a message at once."""
    sink.write(framed(kind, message.SerializeToString()))
    sink.flush()


def take(source: BinaryIO) -> bytes | None:
    """The next frame's payload; None where the other side has closed."""
    head = source.read(_HEAD.size)
    return source.read(_HEAD.unpack(head)[0]) if head else None


async def received(stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Kind and payload of the next frame; IncompleteReadError where the other side has closed."""
    length, kind = _HEAD.unpack(await stream.readexactly(_HEAD.size))
    return kind, await stream.readexactly(length)
