"""The parent's side: one request at a time goes through a child of its own."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress

from cardiomesh._proto.preprocessor.v1 import preprocessor_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import Unavailable
from cardiomesh.rpc.status import error_from_item
from preprocessor.decoding.isolation import child_environment
from preprocessor.frames import ERROR, framed, received
from preprocessor.slow.worker import REQUEST

__all__ = ["SlowLane"]


class SlowLane:
    """Prepares one recording after the other. The child is started by the first one and lives on."""

    def __init__(self, quality_threshold: float, *, decode_seconds: float, decode_memory_mib: int) -> None:
        self._arguments = (repr(quality_threshold), repr(decode_seconds), str(decode_memory_mib))
        self._turn = asyncio.Lock()
        self._child: Process | None = None

    async def prepare(self, request: preprocessor_pb2.PrepareRequest) -> preprocessor_pb2.PrepareResponse:
        """The answer, or the error that the child met; Unavailable when the child was lost."""
        await self._turn.acquire()
        # What the child has begun is finished, also for a caller who has gone: the next answer must be the next one's.
        under_way = asyncio.create_task(self._asked(request.SerializeToString()))
        under_way.add_done_callback(self._free)
        kind, body = await asyncio.shield(under_way)
        if kind == ERROR:
            raise error_from_item(types_pb2.ItemError.FromString(body))
        return preprocessor_pb2.PrepareResponse.FromString(body)

    def _free(self, done: asyncio.Task[tuple[bytes, bytes]]) -> None:
        self._turn.release()
        if not done.cancelled():
            done.exception()  # it may have no caller any more who would look

    async def _asked(self, request: bytes) -> tuple[bytes, bytes]:
        child = self._child = self._child or await self._start()
        assert child.stdin is not None  # noqa: S101  stated for the type checker; both were asked for
        assert child.stdout is not None  # noqa: S101
        try:
            child.stdin.write(framed(REQUEST, request))
            await child.stdin.drain()
            return await received(child.stdout)
        except (OSError, asyncio.IncompleteReadError):
            await self.close()
            raise Unavailable("the process that prepares for explanations was lost") from None

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "preprocessor.slow.worker",
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,  # a library's message may quote the file
            env=child_environment(),
        )

    async def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
