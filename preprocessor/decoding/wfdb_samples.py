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


def _format_310(data: bytes, count: int) -> npt.NDArray[np.integer]:
    """Three 10-bit samples in two 16-bit words: bits 1 to 10 of each, and the upper five bits of both."""
    groups = -(-count // 3)
    words = np.frombuffer(data[: 4 * groups].ljust(4 * groups, b"\0"), dtype="<u2").reshape(-1, 2).astype(np.int32)
    third = words[:, 0] >> 11 | (words[:, 1] >> 11) << 5
    return _signed_10(np.stack([words[:, 0] >> 1, words[:, 1] >> 1, third], axis=1), count)


def _format_311(data: bytes, count: int) -> npt.NDArray[np.integer]:
    """Three 10-bit samples in the lower bits of a 32-bit word."""
    groups = -(-count // 3)
    words = np.frombuffer(data[: 4 * groups].ljust(4 * groups, b"\0"), dtype="<u4").astype(np.int64)
    return _signed_10(np.stack([words, words >> 10, words >> 20], axis=1), count)


def _signed_10(samples: npt.NDArray[np.integer], count: int) -> npt.NDArray[np.integer]:
    return ((samples.reshape(-1)[:count] & 0x3FF ^ 0x200) - 0x200).astype(np.int32)


#: Format → how to unpack, the sample that means "invalid", and bits per sample.
FORMATS: Final[Mapping[str, tuple[Callable[[bytes, int], npt.NDArray[np.integer]], int, float]]] = {
    "16": (_plain("<i2"), -(2**15), 16),
    "61": (_plain(">i2"), -(2**15), 16),
    "160": (_plain("<u2", 2**15), -(2**15), 16),
    "80": (_plain("u1", 128), -128, 8),
    "32": (_plain("<i4"), -(2**31), 32),
    "24": (_format_24, -(2**23), 24),
    "212": (_format_212, -(2**11), 12),
    "310": (_format_310, -(2**9), 32 / 3),
    "311": (_format_311, -(2**9), 32 / 3),
}


def bytes_for(name: str, count: int) -> int:
    """Bytes that ``count`` samples take in a format."""
    if name in ("310", "311"):  # the last samples may be written without the bytes that nothing is in
        return count // 3 * 4 + (0, 2, 4)[count % 3]
    return int(-(-count * FORMATS[name][2] // 8))


def unpack(name: str, data: bytes, count: int) -> tuple[npt.NDArray[np.integer], int]:
    """``count`` samples from the start of ``data``, and the value that stands for an invalid one."""
    read, invalid, _ = FORMATS[name]
    return read(data, count), invalid
