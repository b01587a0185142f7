"""Where the time of one call goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from cardiomesh._proto.types.v1 import types_pb2

__all__ = ["Stopwatch"]


class Stopwatch:
    """Collects the time of each hop of one call."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._hops: list[types_pb2.HopTiming] = []

    @contextmanager
    def hop(self, name: str) -> Iterator[None]:
        """Time the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._hops.append(types_pb2.HopTiming(hop=name, milliseconds=(time.perf_counter() - started) * 1e3))

    def timing(self) -> types_pb2.Timing:
        """All of it, as answers hold it."""
        return types_pb2.Timing(total_milliseconds=(time.perf_counter() - self._started) * 1e3, hops=self._hops)
