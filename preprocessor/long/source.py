"""A long recording as it lies in a file: what it is, and its samples block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.errors import InvalidRequest
from preprocessor.decoding.assemble import Metadata

__all__ = ["BLOCK_SECONDS", "FIELD", "Block", "Source", "block_sizes", "refused"]

FIELD: Final = "recording.file.content"
#: Read at once: enough to be quick, little enough to be forgotten soon.
BLOCK_SECONDS: Final = 20.0

Block = npt.NDArray[np.float64]


def refused(description: str, reason: str) -> InvalidRequest:
    """An error about the file's content."""
    return InvalidRequest.field(FIELD, description, reason)


@dataclass(frozen=True, slots=True)
class Source:
    """One recording. ``blocks`` reads it once from start to end, ``[channels, n]`` in mV, NaN where missing."""

    format: str
    labels: tuple[str, ...]
    voltage: tuple[bool, ...]
    rate: float
    samples: int
    blocks: Callable[[], Iterator[Block]]
    metadata: Metadata = field(default_factory=Metadata)
    remarks: tuple[str, ...] = ()


def block_sizes(samples: int, rate: float) -> Iterator[tuple[int, int]]:
    """First sample and number of samples of each block; always an even number, but for the last."""
    size = 2 * max(1, round(BLOCK_SECONDS * rate / 2))
    for first in range(0, samples, size):
        yield first, min(size, samples - first)
