"""What a delineation is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Delineation", "FusedMarks", "MedianBeat", "WaveMarks"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class WaveMarks:
    """Onset, peak and offset of one kind of wave, each ``[leads, waves]``; NaN where a lead does not show it.

    Positions are samples of the recording, with fractions. ``peak`` is where the wave is farthest from the line
    between its ends.
    """

    onset: FloatArray
    peak: FloatArray
    offset: FloatArray

    @property
    def present(self) -> BoolArray:
        """Whether a lead shows the wave, ``[leads, waves]``."""
        return np.isfinite(self.onset)


@dataclass(frozen=True, slots=True, eq=False)
class FusedMarks:
    """One onset and one offset for all leads, each ``[waves]``; NaN where the wave is absent."""

    onset: FloatArray
    offset: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class MedianBeat:
    """The typical beat: ``millivolts`` ``[leads, m]``, each lead zero just before its QRS complex.

    ``anchor`` is the sample of the beat position; every mark is in samples of this array. ``beats`` is how many
    beats it was made of.
    """

    millivolts: FloatArray
    anchor: int
    beats: int
    p: WaveMarks
    qrs: WaveMarks
    t: WaveMarks
    fused_p: FusedMarks
    fused_qrs: FusedMarks
    fused_t: FusedMarks


@dataclass(frozen=True, slots=True, eq=False)
class Delineation:
    """Every beat of a recording, its waves per lead and fused over the leads.

    ``beats`` ``[beats]`` are the beat positions in samples, ``p``, ``qrs`` and ``t`` the waves of each beat
    (``[leads, beats]``), ``blocked_p`` the P waves that no QRS complex follows (``[leads, blocked]``). ``dominant``
    marks the beats of the most common QRS shape, ``usable`` the leads that carry a signal. ``median`` is None when
    there is no beat to make it of.
    """

    sampling_rate: float
    samples: int
    usable: BoolArray
    beats: FloatArray
    dominant: BoolArray
    p: WaveMarks
    qrs: WaveMarks
    t: WaveMarks
    blocked_p: WaveMarks
    fused_p: FusedMarks
    fused_qrs: FusedMarks
    fused_t: FusedMarks
    median: MedianBeat | None
