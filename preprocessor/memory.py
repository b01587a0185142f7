"""Keep what was freed: signals come and go by the half megabyte, and the kernel must not clear each one anew."""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
#: Ten seconds of twelve leads at 1000 Hz are 0.9 MiB; larger pieces come from the kernel and go back to it.
_PIECE: Final = 4 * 2**20
_KEPT: Final = 16 * 2**20


def keep_freed_memory() -> bool:
    """Have glibc keep up to 16 MiB of freed memory per arena; False where there is no glibc to be told.

    By default it gives memory back at once, and each signal's pages are faulted in again: for a DICOM file up to a
    third of the time of its preparation (``make bench-preprocess``).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _PIECE)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
