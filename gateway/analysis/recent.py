"""What was sent and prepared a moment ago, in this process's memory and nowhere else.

It spares whoever asks for an explanation from sending the recording again, and the mesh from preparing it again. The
shared cache is another thing: what lies there outlives the process, and others can read it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from gateway.analysis.cache import CacheKey

__all__ = ["Recent"]

M = TypeVar("M", bound=Message)


class Recent:
    """Messages by key, bounded in bytes and age; the least recently used leave first."""

    def __init__(self, most_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._room = most_bytes
        self._seconds = seconds
        self._clock = clock
        #: Key → message, its size, and when it expires.
        self._kept: OrderedDict[CacheKey, tuple[Message, int, float]] = OrderedDict()

    def put(self, key: CacheKey, message: Message) -> None:
        """Keep it as it is, not a copy, if it fits at all."""
        self._drop(key)
        size, now = message.ByteSize(), self._clock()
        self._kept[key] = (message, size, now + self._seconds)
        self._room -= size
        while self._kept and (self._room < 0 or next(iter(self._kept.values()))[2] <= now):
            self._drop(next(iter(self._kept)))

    def get(self, key: CacheKey, kind: type[M]) -> M | None:
        """What was kept under this key, not a copy: it must not be changed."""
        message, _, expires = self._kept.get(key, (None, 0, 0.0))
        if not isinstance(message, kind):
            return None
        if expires <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return message

    def _drop(self, key: CacheKey) -> None:
        _, size, _ = self._kept.pop(key, (None, 0, 0.0))
        self._room += size
