"""The parent's side: take a long recording in, hand it to a child of its own, pass on what the child says."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import DeadlineExceeded, InvalidRequest, Overloaded, TooLarge
from cardiomesh.rpc.status import error_from_item
from preprocessor.decoding.isolation import child_environment
from preprocessor.frames import ERROR, received
from preprocessor.long.source import FIELD

__all__ = ["Limits", "LongDesk"]

_DEFAULT_STRIDE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What long recordings may take; times in seconds."""

    #: Folder of the spool files; None: the system's.
    folder: Path | None
    file_bytes: int
    #: Taken in or worked on at once; others are refused.
    recordings: int
    #: Longest wait for the next chunk from the caller.
    chunk_seconds: float
    #: Longest wait for the next windows from the child.
    part_seconds: float
    memory_mib: int


class LongDesk:
    """Prepares long recordings, a few at a time.

    What was sent lies in an unnamed temporary file, readable by nobody else: it is gone with its last descriptor, also
    when this process is killed.
    """

    def __init__(self, limits: Limits, reject_below: float) -> None:
        self._limits = limits
        self._reject_below = reject_below
        self._taken = 0
        self._children: set[asyncio.subprocess.Process] = set()

    async def prepare(
        self, requests: AsyncIterator[preprocessor_pb2.PrepareLongRequest]
    ) -> AsyncGenerator[preprocessor_pb2.PrepareLongResponse, None]:
        """Take the recording in, then give its parts as they are ready."""
        if self._taken >= self._limits.recordings:
            raise Overloaded(f"{self._taken} long recordings are being worked on; try again later")
        self._taken += 1
        try:
            with tempfile.TemporaryFile(dir=self._limits.folder, prefix="cardiomesh-") as file:
                stride, digest = await self._spool(requests, file)
                async with aclosing(self._parts(file, stride)) as parts:
                    async for part in parts:
                        if part.HasField("recording"):
                            part.recording.content_hash = digest
                        yield part
        finally:
            self._taken -= 1

    async def _spool(
        self, requests: AsyncIterator[preprocessor_pb2.PrepareLongRequest], file: BinaryIO
    ) -> tuple[float, str]:
        """The stride asked for, and the sha256 of what lies in the file now."""
        stride: float | None = None
        digest, left = hashlib.sha256(), self._limits.file_bytes
        while True:
            try:
                async with asyncio.timeout(self._limits.chunk_seconds):
                    request = await anext(requests)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise DeadlineExceeded(f"no chunk of the recording came for {self._limits.chunk_seconds:g} s") from None
            part = request.WhichOneof("part")
            if (part == "start") == (stride is not None):
                raise InvalidRequest.field("part", "send the start first and once, then chunks", "OUT_OF_ORDER")
            if stride is None:
                stride = request.start.stride or _DEFAULT_STRIDE
                continue
            left -= len(request.chunk)
            if left < 0:
                raise TooLarge(f"more than {self._limits.file_bytes // 2**20} MiB were sent")
            digest.update(request.chunk)
            await asyncio.to_thread(file.write, request.chunk)
        if stride is None:
            raise InvalidRequest.field("part", "send the start first and once, then chunks", "OUT_OF_ORDER")
        if left == self._limits.file_bytes:
            raise InvalidRequest.field(FIELD, "the file is empty", "EMPTY")
        await asyncio.to_thread(file.flush)
        return stride, digest.hexdigest()

    async def _parts(self, file: BinaryIO, stride: float) -> AsyncGenerator[preprocessor_pb2.PrepareLongResponse, None]:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "preprocessor.long.worker",
            str(file.fileno()),
            repr(stride),
            repr(self._reject_below),
            str(self._limits.memory_mib),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a library's message may quote the file
            pass_fds=[file.fileno()],
            env=child_environment(),
        )
        assert child.stdout is not None  # noqa: S101  stated for the type checker; it was asked for
        self._children.add(child)
        try:
            while (frame := await self._frame(child.stdout)) is not None:
                kind, body = frame
                if kind == ERROR:
                    raise error_from_item(types_pb2.ItemError.FromString(body))
                yield preprocessor_pb2.PrepareLongResponse.FromString(body)
            if await child.wait():
                raise InvalidRequest.field(
                    FIELD, "decoding it takes more memory than allowed or breaks its reader", "UNREADABLE"
                )
        finally:
            await self._end(child)

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        _kill(child)
        if child.stdout is not None:
            await child.stdout.read()  # a pipe that still holds something is never closed
        await child.wait()
        self._children.discard(child)

    async def close(self) -> None:
        """End what still runs; those who read from it find it ended."""
        for child in list(self._children):
            _kill(child)
            await child.wait()

    async def _frame(self, stream: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
        """The next frame; None where the stream has ended."""
        try:
            async with asyncio.timeout(self._limits.part_seconds):
                return await received(stream)
        except asyncio.IncompleteReadError:
            return None
        except TimeoutError:
            raise InvalidRequest.field(
                FIELD, f"its next part takes longer than {self._limits.part_seconds:g} s", "TOO_SLOW"
            ) from None


def _kill(child: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()
