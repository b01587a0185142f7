"""The packed sample formats of WFDB signal files (WFDB Applications Guide, signal(5))."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["FORMATS", "bytes_for", "unpack"]

Counts = npt.NDArray[np.int64]


def _plain(dtype: str, offset: int = 0) -> Callable[[bytes, int], npt.NDArray[np.integer]]:
    def read(data: bytes, count: int) -> npt.NDArray[np.integer]:
        raw = np.frombuffer(data, dtype=dtype, count=count)
        return raw.astype(np.int64) - offset if offset else raw

    return read


def _format_24(data: bytes, count: int) -> npt.NDArray[np.integer]:
    triples = np.frombuffer(data, dtype=np.uint8, count=3 * count).reshape(-1, 3).astype(np.int32)
    values = triples[:, 0] | triples[:, 1] << 8 | triples[:, 2] << 16
    return (values ^ 0x800000) - 0x800000


def _format_212(data: bytes, count: int) -> npt.NDArray[np.integer]:
    """Pairs of 12-bit samples in three bytes."""
    pairs = -(-count // 2)
    raw = np.frombuffer(data[: 3 * pairs].ljust(3 * pairs, b"\0"), dtype=np.uint8).reshape(-1, 3).astype(np.int32)
    values = np.empty((pairs, 2), dtype=np.int32)
    values[:, 0] = raw[:, 0] | (raw[:, 1] & 0x0F) << 8
    values[:, 1] = raw[:, 2] | (raw[:, 1] & 0xF0) << 4
    return ((values.reshape(-1)[:count] ^ 0x800) - 0x800).astype(np.int32)


#: Format → how to unpack, the sample that means "invalid", and bits per sample.
FORMATS: Final[Mapping[str, tuple[Callable[[bytes, int], npt.NDArray[np.integer]], int, int]]] = {
    "16": (_plain("<i2"), -(2**15), 16),
    "61": (_plain(">i2"), -(2**15), 16),
    "160": (_plain("<u2", 2**15), -(2**15), 16),
    "80": (_plain("u1", 128), -128, 8),
    "32": (_plain("<i4"), -(2**31), 32),
    "24": (_format_24, -(2**23), 24),
    "212": (_format_212, -(2**11), 12),
}


def bytes_for(name: str, count: int) -> int:
    """Bytes that ``count`` samples take in a format."""
    return -(-count * FORMATS[name][2] // 8)


def unpack(name: str, data: bytes, count: int) -> tuple[npt.NDArray[np.integer], int]:
    """``count`` samples from the start of ``data``, and the value that stands for an invalid one."""
    read, invalid, _ = FORMATS[name]
    return read(data, count), invalid
