"""Samples on their way to the mesh, kept until no window can need them again. No transport, no waiting."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh._proto.types.v1 import types_pb2
from cardiomesh.errors import Cancelled, CardioMeshError, InvalidRequest, Overloaded, Unavailable

__all__ = ["Outbox", "resumable"]

_CHUNK_BYTES: Final = 256 * 1024
_DTYPES: Final = {types_pb2.SAMPLE_TYPE_INT16: "<i2", types_pb2.SAMPLE_TYPE_FLOAT32: "<f4"}


@dataclass(frozen=True, slots=True)
class _Block:
    first: int
    #: ``[n, leads]``, as they travel.
    samples: npt.NDArray[Any]

    @property
    def after(self) -> int:
        return self.first + len(self.samples)


class Outbox:
    """What one live recording has to send: the start, with the token of the last answer, and the samples after it."""

    def __init__(self, start: gateway_pb2.AnalyzeStreamStart, unsent_seconds: float) -> None:
        self._start = start
        self._dtype = _DTYPES[start.sample_type]
        self._skips = start.when_behind == gateway_pb2.WHEN_BEHIND_SKIP
        self._most = round(unsent_seconds * start.sampling_rate)
        self._blocks: deque[_Block] = deque()
        self._position = self._next_needed = 0
        #: Number of the sample after the last that was put in.
        self.end = 0

    @property
    def unsent(self) -> int:
        """Samples that wait to be sent."""
        return self.end - self._position

    @property
    def full(self) -> bool:
        """Whether the sender should wait. A source that cannot wait never has to: old samples are given up instead."""
        return not self._skips and self.unsent >= self._most

    @property
    def started(self) -> bool:
        """Whether there is something to take up again."""
        return bool(self._start.resumption_token)

    def put(self, chunk: npt.ArrayLike) -> None:
        """Add ``[leads, n]`` samples; InvalidRequest where that is not what was announced."""
        array = np.asarray(chunk)
        leads = len(self._start.leads)
        if array.ndim != 2 or array.shape[0] != leads:
            raise InvalidRequest.field("chunk", f"has shape {list(array.shape)}, expected [{leads}, n]", "SHAPE")
        if not np.can_cast(array.dtype, self._dtype, "same_kind") or array.dtype == np.bool_:
            raise InvalidRequest.field("chunk", f"holds {array.dtype}, expected {np.dtype(self._dtype)}", "DTYPE")
        if array.shape[1]:
            samples = np.array(array.T, self._dtype, order="C")
            if self._dtype == "<i2" and (samples != array.T).any():
                raise InvalidRequest.field("chunk", "holds numbers that int16 cannot hold", "OUT_OF_RANGE")
            self._blocks.append(_Block(self.end, samples))
            self.end += array.shape[1]
        if self._skips and self.unsent > self._most:
            self._give_up(self.end - self._most)

    def _give_up(self, before: int) -> None:
        """Leave a gap where the connection is too slow, or away for too long; the mesh names the windows in it."""
        kept = [b for b in self._blocks if b.after <= self._position or b.after > before]
        self._position = max(self._position, before)
        self._blocks = deque(kept)

    def opening(self) -> gateway_pb2.AnalyzeStreamRequest:
        """The first request of a connection; what may have been lost with the last one is sent again."""
        self._position = self._next_needed
        return gateway_pb2.AnalyzeStreamRequest(start=self._start)

    def next(self) -> gateway_pb2.AnalyzeStreamRequest | None:
        """The next chunk; None where there is none now."""
        first, size, parts = 0, 0, list[npt.NDArray[Any]]()
        for block in self._blocks:
            if block.after <= self._position:
                continue
            begin = max(block.first, self._position)
            if parts and (begin != self._position or size >= _CHUNK_BYTES):
                break
            first = first if parts else begin
            parts.append(block.samples[begin - block.first :])
            size += parts[-1].nbytes
            self._position = block.after
        if not parts:
            return None
        samples = np.concatenate(parts).tobytes()
        return gateway_pb2.AnalyzeStreamRequest(
            chunk=gateway_pb2.AnalyzeStreamChunk(first_sample=first, samples=samples)
        )

    def answered(self, message: gateway_pb2.AnalyzeStreamResponse) -> None:
        """Keep the token, and let go of what no window needs any more."""
        self._start.resumption_token = message.resumption_token
        self._next_needed = message.next_sample
        self._position = max(self._position, self._next_needed)
        while self._blocks and self._blocks[0].after <= self._next_needed:
            self._blocks.popleft()


def resumable(error: CardioMeshError) -> bool:
    """Whether it broke a connection and not the recording: the server went away, or has no room at the moment."""
    # A proxy or a killed server ends streams with INTERNAL or UNKNOWN, and without our details.
    return isinstance(error, Unavailable | Overloaded | Cancelled) or type(error) is CardioMeshError
