"""Q, R, S, R' and S' of each lead: the deflections between the ends of the QRS complex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Deflection", "QrsShape", "notches", "qrs_shape"]

FloatArray = npt.NDArray[np.float64]

#: A deflection lower or shorter than this is no wave (IEC 60601-2-25: 20 µV for 6 ms).
_LEAST_MILLIVOLTS: Final = 0.02
_LEAST_SECONDS: Final = 0.006
#: Beside the largest deflection of its lead a wave counts from this share on: the ends of the global QRS complex
#: reach into what is already baseline in this lead.
_LEAST_SHARE: Final = 0.03
#: A notch is at least this deep (mV), and this share of the complex from its highest to its lowest point.
_NOTCH_MILLIVOLTS: Final = 0.03
_NOTCH_SHARE: Final = 0.04


@dataclass(frozen=True, slots=True)
class Deflection:
    """A stretch on one side of the zero level: amplitude (mV, signed), duration (ms), sample of its peak."""

    amplitude: float
    duration: float
    peak: int


@dataclass(frozen=True, slots=True)
class QrsShape:
    """The named deflections of one lead; None where there is none. ``qs``: no positive one, ``q`` is all there is."""

    q: Deflection | None = None
    r: Deflection | None = None
    s: Deflection | None = None
    r_prime: Deflection | None = None
    s_prime: Deflection | None = None
    qs: bool = False


def _deflections(y: FloatArray, rate: float) -> list[Deflection]:
    """Alternating deflections of the stretch ``y`` (mV, zero level removed), too small ones left out."""
    edges = np.flatnonzero(np.diff(np.signbit(y))) + 1
    starts = np.concatenate([[0], edges])
    ends = np.concatenate([edges, [len(y)]])
    least = max(_LEAST_MILLIVOLTS, _LEAST_SHARE * float(np.abs(y).max()))
    found: list[Deflection] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        peak = start + int(np.abs(y[start:end]).argmax())
        height = float(y[peak])
        if abs(height) < least or end - start < _LEAST_SECONDS * rate:
            continue
        wave = Deflection(height, (end - start) / rate * 1000, peak)
        if found and (found[-1].amplitude > 0) == (height > 0):
            # What lay between was too small to count: one deflection.
            larger = max(found[-1], wave, key=lambda d: abs(d.amplitude))
            found[-1] = Deflection(larger.amplitude, found[-1].duration + wave.duration, larger.peak)
        else:
            found.append(wave)
    return found


def qrs_shape(y: FloatArray, rate: float) -> QrsShape:
    """Name the deflections of one lead between the ends of its QRS complex."""
    found = _deflections(y, rate)
    positive = [k for k, d in enumerate(found) if d.amplitude > 0]
    if not positive:
        return QrsShape(q=found[0], qs=True) if found else QrsShape()
    first = positive[0]
    q = found[first - 1] if first else None
    rest = [*found[first:], None, None, None, None]
    return QrsShape(q=q, r=rest[0], s=rest[1], r_prime=rest[2], s_prime=rest[3])


def notches(y: FloatArray) -> int:
    """How often a positive deflection dips and rises again without reaching zero; ``y`` as for ``qrs_shape``."""
    least = max(_NOTCH_MILLIVOLTS, _NOTCH_SHARE * float(np.ptp(y)))
    step = np.diff(y)
    turns = y[np.flatnonzero(step[1:] * step[:-1] < 0) + 1]
    count, rising, extreme = 0, True, float(y[0])
    for value in (*turns.tolist(), float(y[-1])):
        if (value >= extreme) == rising:
            extreme = value
        elif abs(value - extreme) >= least:
            count += not rising and extreme > 0
            rising, extreme = not rising, value
    return count
