"""Names for signals: the same ECG has the same hash whatever container it came in."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["signal_hash", "tensor_hash"]

_DOMAIN: Final = b"cardiomesh.signal.v1\0"
_COUNTS_PER_MILLIVOLT: Final = 10_000.0  # 0.1 µV, below the resolution of every ECG device
#: Half a count would put the rounding boundary exactly on values that devices write (1.25 µV steps are 12.5
#: counts), where the last bit of a float decides. 1.37 nV beside it, no decimal or binary step falls there and
#: float32 millivolts (error below 0.5 nV up to 16 mV) still land on the same side.
_ROUNDING: Final = 0.5137


def signal_hash(millivolts: npt.NDArray[np.float64], sampling_rate: float) -> str:
    """sha256 (hex) of a finite ``[12, n]`` millivolt signal in standard lead order at 0.1 µV, and its rate in Hz."""
    counts = np.floor(millivolts * _COUNTS_PER_MILLIVOLT + _ROUNDING)
    packed = np.ascontiguousarray(counts.clip(-(2**31), 2**31 - 1), dtype="<i4")
    digest = hashlib.sha256(_DOMAIN)
    digest.update(f"{sampling_rate:.6f}|{packed.shape[0]}x{packed.shape[1]}|".encode())
    digest.update(packed.data)
    return digest.hexdigest()


def tensor_hash(tensor: bytes) -> str:
    """sha256 (hex) of the tensor bytes exactly as a model receives them."""
    return hashlib.sha256(tensor).hexdigest()
