"""A TLS channel whose certificates may be rotated: when the files change, the next call takes a new connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc

from cardiomesh.errors import InvalidRequest

__all__ = ["RenewedChannel", "stamp_of"]

log = logging.getLogger("cardiomesh.rpc")
#: Seconds between two looks at the files.
LOOK_EVERY_S: Final = 1.0
#: What is under way on the old connection may end there; no stream lasts longer.
_GRACE_S: Final = 86_400.0


def stamp_of(files: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    """Differs when a file was written or replaced; OSError when one cannot be seen."""
    return tuple((stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in files))


class RenewedChannel(grpc.aio.Channel):
    """``dial`` makes a channel from what the files hold now. Files that cannot be used leave the old one in place."""

    def __init__(self, dial: Callable[[], grpc.aio.Channel], files: Sequence[Path]) -> None:
        self._dial = dial
        self._files = files
        self._looked = time.monotonic()
        self._channel = dial()
        self._stamp = stamp_of(files)
        self._leaving: set[asyncio.Task[None]] = set()

    def _current(self) -> grpc.aio.Channel:
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._looked = time.monotonic()
            try:
                stamp = stamp_of(self._files)
                if stamp != self._stamp:
                    fresh = self._dial()
                    self._leave(self._channel)
                    self._channel, self._stamp = fresh, stamp
                    log.info("certificates read again")
            except (OSError, InvalidRequest):
                log.exception("certificate files cannot be read; keeping the old ones")
        return self._channel

    def _leave(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.ensure_future(channel.close(_GRACE_S))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _renewed(self, kind: str, *arguments: Any, **options: Any) -> Any:
        """A multicallable that belongs to whichever channel is the current one."""
        made_on: grpc.aio.Channel | None = None
        method: Any = None

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal made_on, method
            channel = self._current()
            if channel is not made_on:
                made_on, method = channel, getattr(channel, kind)(*arguments, **options)
            return method(*args, **kwargs)

        return call

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._renewed("unary_unary", *arguments, **options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._renewed("unary_stream", *arguments, **options)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._renewed("stream_unary", *arguments, **options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._renewed("stream_stream", *arguments, **options)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Of the current connection."""
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Of the current connection."""
        await self._current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return when the current connection is up."""
        await self._current().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Close it, and what is left of earlier ones."""
        for task in list(self._leaving):
            task.cancel()
        await asyncio.gather(*self._leaving, self._channel.close(grace), return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
