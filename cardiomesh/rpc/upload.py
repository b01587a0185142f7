"""Streams of requests with asyncio: what the server says of a call stands, also when it says so mid-upload."""

from __future__ import annotations

import asyncio
from typing import Any, Final

__all__ = ["status_kept"]

#: How long a failed write waits for the status that explains it. It is on its way, or will never come.
_GRACE_S: Final = 2.0


class _StatusKept:
    """Stands before a call's core and holds back what grpc says of a failed write.

    A write fails when the server has ended the call meanwhile. grpc.aio then sets INTERNAL, "Internal error from Core",
    over the status that the server sent or is about to send (grpc/grpc#36066, open in 1.85). Here it is set only where
    no status comes, so that nobody waits for ever.
    """

    def __init__(self, core: Any) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def set_internal_error(self, text: str) -> None:
        """Called by grpc.aio when a write has failed."""
        asyncio.get_running_loop().call_later(_GRACE_S, self._set, text)

    def _set(self, text: str) -> None:
        if not self._core.done():
            self._core.set_internal_error(text)


def status_kept(call: Any) -> Any:
    """The call of a stream of requests, whose error will be the server's own; to be wrapped before it has run."""
    if hasattr(call, "_cython_call"):
        call._cython_call = _StatusKept(call._cython_call)
    return call
