"""Marks of all leads made one: the earliest onset and the latest offset, by a rule that one lead cannot overturn.

IEC 60601-2-25 and the CSE working party define global intervals from the earliest onset to the latest offset in any
lead. Taken to the letter, the noise of twelve leads decides: among LUDB's own marks the earliest of twelve onsets and
the latest of twelve offsets make a QRS complex 30 ms longer than in the median lead. Here a wave has begun once it
has begun in a third of the leads that show it (the fourth earliest of twelve), and it lasts until fewer than a third
go on. With a quarter the real DICOM ECG's QRS complex comes out 11 ms longer than its cart says, with a third 8 ms.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation.marks import FusedMarks

__all__ = ["LEAD_SHARE", "fused"]

FloatArray = npt.NDArray[np.float64]

#: Share of the leads with the wave that must have begun (be still to end).
LEAD_SHARE: Final = 0.33


def fused(onset: FloatArray, offset: FloatArray, least: int = 1) -> FusedMarks:
    """One onset and offset per wave from ``[leads, waves]``; NaN where fewer than ``least`` leads show it."""
    count = np.isfinite(onset).sum(axis=0)
    waves = np.arange(onset.shape[1])
    rank = np.maximum(np.ceil(LEAD_SHARE * count).astype(int) - 1, 0)
    absent = count < max(least, 1)
    if not len(onset):
        nothing = np.full(onset.shape[1], np.nan)
        return FusedMarks(nothing, nothing.copy())
    start = np.sort(onset, axis=0)[rank, waves]
    end = -np.sort(-offset, axis=0)[rank, waves]
    return FusedMarks(np.where(absent, np.nan, start), np.where(absent, np.nan, end))
