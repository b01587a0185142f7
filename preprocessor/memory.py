"""Memory of a process that prepares thousands of recordings: what comes and goes, and what stays."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

__all__ = ["settle"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
#: Ten seconds of twelve leads at 1000 Hz are 0.9 MiB; larger pieces come from the kernel and go back to it.
_PIECE: Final = 4 * 2**20
_KEPT: Final = 16 * 2**20


def _keep_freed_memory() -> bool:
    """Have glibc keep up to 16 MiB of freed memory per arena; False where there is no glibc to be told.

    By default it gives memory back at once, and each signal's pages are faulted in again: for a DICOM file up to a
    third of the time of its preparation (``make bench-preprocess``).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _PIECE)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))


def settle() -> None:
    """Call once all modules are loaded: they are not garbage, and the collector need not look at them again."""
    _keep_freed_memory()
    gc.collect()
    gc.freeze()
