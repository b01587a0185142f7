"""Flutter waves: an oscillation between the QRS complexes, as regular as a clock and faster than any sinus rhythm.

Between the complexes the signal of a sinus rhythm has its strength at many multiples of the heart rate, that of
fibrillation everywhere from 4 to 9 Hz. That of flutter has it at one rate between 240 and 340 a minute and at twice it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.delineation import Delineation

__all__ = ["LEADS", "LEAST_SECONDS", "Oscillation", "is_flutter", "oscillation"]

FloatArray = npt.NDArray[np.float64]

#: Where flutter waves are seen best.
LEADS: Final = ("II", "III", "aVF", "V1")
#: A shorter recording has too coarse a spectrum.
LEAST_SECONDS: Final = 5.0
#: The signal is thinned out to about this rate (Hz).
_RATE: Final = 50.0
#: Stretches from so long before the QRS onset to so long after its offset are bridged (s).
_BEFORE, _AFTER = 0.02, 0.04
#: Strength is counted in this band (Hz), the oscillation looked for in that one.
_BAND: Final = (2.5, 10.0)
_SOUGHT: Final = (3.7, 5.9)
#: What belongs to a rate: this far around it and around its double (Hz).
_AROUND, _AROUND_DOUBLE = 0.25, 0.3
_POINTS: Final = 2048
#: Flutter: rate (1/min), share of the strength and size (mV, standard deviation), chosen on PTB-XL.
_LEAST_RATE, _MOST_RATE = 235.0, 345.0
_LEAST_SHARE: Final = 0.7
_LEAST_SIZE: Final = 0.04


@dataclass(frozen=True, slots=True)
class Oscillation:
    """The strongest one of any lead: rate (1/min), its share of the strength, size (mV, standard deviation)."""

    rate: float
    share: float
    size: float


def oscillation(millivolts: FloatArray, d: Delineation) -> Oscillation:
    """The most concentrated oscillation of ``[leads, n]`` between the QRS complexes of ``d``."""
    step = max(1, round(d.sampling_rate / _RATE))
    rate = d.sampling_rate / step
    count = millivolts.shape[1] // step
    x = millivolts[:, : count * step].reshape(len(millivolts), count, step) @ np.full(step, 1 / step)
    at = np.arange(count)
    free = np.ones(count, dtype=bool)
    for onset, offset in zip(d.fused_qrs.onset / step, d.fused_qrs.offset / step, strict=True):
        if np.isfinite(onset + offset):
            free[max(0, int(onset - _BEFORE * rate)) : int(offset + _AFTER * rate) + 1] = False
    if free.sum() < count / 4:
        return Oscillation(0.0, 0.0, 0.0)
    bridged = np.stack([np.interp(at, at[free], lead[free]) for lead in x])
    bridged -= bridged.mean(axis=1, keepdims=True)
    window = np.hanning(count)
    power = np.abs(np.fft.rfft(bridged * window, max(_POINTS, count), axis=1)) ** 2
    hertz = np.fft.rfftfreq(max(_POINTS, count), 1 / rate)
    band = (hertz > _BAND[0]) & (hertz < _BAND[1])
    sought = np.flatnonzero((hertz > _SOUGHT[0]) & (hertz < _SOUGHT[1]))
    total = power[:, band].sum(axis=1)
    peak = hertz[sought[power[:, sought].argmax(axis=1)]]
    own = np.abs(hertz - peak[:, None]) < _AROUND
    double = np.abs(hertz - 2 * peak[:, None]) < _AROUND_DOUBLE
    share = (power * ((own | double) & band)).sum(axis=1) / np.maximum(total, 1e-12)
    lead = int(share.argmax())
    # Parseval: both halves of the spectrum, the window's mean square, one value per sample.
    size = np.sqrt(2 * total[lead] / (max(_POINTS, count) * (window**2).sum()))
    return Oscillation(60 * float(peak[lead]), float(share[lead]), float(size))


def is_flutter(found: Oscillation) -> bool:
    """Whether it is fast, regular and large enough."""
    return _LEAST_RATE <= found.rate <= _MOST_RATE and found.share >= _LEAST_SHARE and found.size >= _LEAST_SIZE
