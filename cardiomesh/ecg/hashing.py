"""Names for signals: the same ECG has the same hash whatever container it came in."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["MILLIVOLTS_PER_COUNT", "canonical", "signal_hash", "tensor_hash"]

_DOMAIN: Final = b"cardiomesh.signal.v1\0"
_COUNTS_PER_MILLIVOLT: Final = 10_000.0  # 0.1 µV, below the resolution of every ECG device
#: Half a count would put the rounding boundary exactly on values that devices write (1.25 µV steps are 12.5
#: counts), where the last bit of a float decides. 1.37 nV beside it, no decimal or binary step falls there and
#: float32 millivolts (error below 0.5 nV up to 16 mV) still land on the same side.
_ROUNDING: Final = 0.5137
MILLIVOLTS_PER_COUNT: Final = 1 / _COUNTS_PER_MILLIVOLT


def canonical(millivolts: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """A finite millivolt signal as whole counts of 0.1 µV, the same from every container."""
    counts = millivolts * _COUNTS_PER_MILLIVOLT
    counts += _ROUNDING
    return np.floor(counts, out=counts).clip(-(2**31), 2**31 - 1).astype("<i4")


def signal_hash(counts: npt.NDArray[np.int32], sampling_rate: float) -> str:
    """sha256 (hex) of canonical counts ``[12, n]`` in standard lead order, and their rate in Hz."""
    digest = hashlib.sha256(_DOMAIN)
    digest.update(f"{sampling_rate:.6f}|{counts.shape[0]}x{counts.shape[1]}|".encode())
    digest.update(np.ascontiguousarray(counts, dtype="<i4").data)
    return digest.hexdigest()


def tensor_hash(tensor: bytes) -> str:
    """sha256 (hex) of the tensor bytes exactly as a model receives them."""
    return hashlib.sha256(tensor).hexdigest()
