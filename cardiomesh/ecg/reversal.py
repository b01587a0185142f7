"""Are the electrodes where their names say? Suspicion of swapped cables, reported and never corrected.

How the eight independent leads vary together is much the same in all hearts. ``_PRECISION`` is the inverse of that
covariance (Tyler's estimate over PTB-XL folds 1–8, each record counting alike); the misfit of a recording is
``log tr(P·C)`` of its own covariance C. Each way of swapping two cables is a linear map of the leads: when undoing
one of them makes the misfit much smaller, that swap is suspected. ``benchmarks/lead_reversal.py`` fits the matrix and
prints what is found and what is falsely suspected.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import INDEPENDENT_LEADS, STANDARD_LEADS

__all__ = ["Suspicion", "misfits", "suspect_reversal", "swaps"]

FloatArray = npt.NDArray[np.float64]

_PRECISION: Final = (
    (11.082, 1.246, 6.457, -2.732, -0.737, 1.037, -1.116, -4.385),
    (1.246, 9.122, 0.744, 0.468, -1.254, -0.607, 0.770, -6.143),
    (6.457, 0.744, 11.254, -4.804, -0.079, 0.521, -0.618, 1.007),
    (-2.732, 0.468, -4.804, 5.207, -3.933, 1.475, -0.372, 0.616),
    (-0.737, -1.254, -0.079, -3.933, 8.340, -7.264, 3.090, 0.549),
    (1.037, -0.607, 0.521, 1.475, -7.264, 14.351, -14.087, 5.152),
    (-1.116, 0.770, -0.618, -0.372, 3.090, -14.087, 29.057, -21.207),
    (-4.385, -6.143, 1.007, 0.616, 0.549, 5.152, -21.207, 28.737),
)  # fmt: skip
#: The misfit must shrink by this much (natural logarithm) before a swap is suspected.
LIMB_GAIN: Final = 0.3
CHEST_GAIN: Final = 0.85
_EDGE: Final = 50  # samples at 100 Hz: what the filter's start and end do is not the heart's
_ROWS: Final = [STANDARD_LEADS.index(lead) for lead in INDEPENDENT_LEADS]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A swap that would explain the recording better, and by how much (natural logarithm of the misfit)."""

    code: str
    swap: str
    gain: float

    @property
    def message(self) -> str:
        """In words."""
        return f"the leads look as if {self.swap} were swapped"


#: I and II after a swap of limb cables, from I and II before it: with RA, LA and LL as potentials, I = LA − RA.
_LIMB: Final = {
    "RA and LA": ((-1.0, 0.0), (-1.0, 1.0)),
    "RA and LL": ((1.0, -1.0), (0.0, -1.0)),
    "LA and LL": ((0.0, 1.0), (1.0, 0.0)),
    "all limb cables (RA to LA to LL)": ((0.0, -1.0), (1.0, -1.0)),
    "all limb cables (RA to LL to LA)": ((-1.0, 1.0), (-1.0, 0.0)),
}


@lru_cache(maxsize=1)
def swaps() -> dict[str, FloatArray]:
    """Each swap as a map ``[8, 8]`` of the independent leads."""
    maps = {}
    for name, block in _LIMB.items():
        maps[name] = np.eye(8)
        maps[name][:2, :2] = block
    for a, b in combinations(range(2, 8), 2):
        order = list(range(8))
        order[a], order[b] = b, a
        maps[f"{INDEPENDENT_LEADS[a]} and {INDEPENDENT_LEADS[b]}"] = np.eye(8)[order]
    return maps


@lru_cache(maxsize=1)
def _hypotheses() -> tuple[tuple[str, ...], FloatArray]:
    """Names, and the precision as each hypothesis sees it ``[1 + swaps, 8, 8]``; the first is "as named"."""
    precision = np.array(_PRECISION)
    undo = [np.eye(8), *(np.linalg.inv(m) for m in swaps().values())]
    return tuple(swaps()), np.stack([u.T @ precision @ u for u in undo])


def misfits(conditioned: npt.NDArray[np.floating]) -> FloatArray:
    """Misfit of ``[12, n]`` conditioned millivolts at 100 Hz: as named, then with each swap undone."""
    x = np.asarray(conditioned[_ROWS, _EDGE:-_EDGE], dtype=np.float64)
    covariance = x @ x.T
    traces = np.einsum("hab,ab->h", _hypotheses()[1], covariance)
    return np.asarray(np.log(np.maximum(traces, 1e-12)))


def suspect_reversal(conditioned: npt.NDArray[np.floating]) -> tuple[Suspicion, ...]:
    """The most likely limb and chest swaps of a conditioned recording ``[12, n]`` at 100 Hz, where any is likely."""
    values = misfits(conditioned)
    gains = values[0] - values[1:]
    names, limbs = _hypotheses()[0], len(_LIMB)
    found = []
    best = int(np.argmax(gains))
    if best < limbs and gains[best] > LIMB_GAIN:
        found.append(Suspicion("LIMB_REVERSAL_SUSPECTED", names[best], float(gains[best])))
    elif best >= limbs and gains[best] > CHEST_GAIN:
        found.append(Suspicion("CHEST_MISPLACEMENT_SUSPECTED", names[best], float(gains[best])))
    return tuple(found)
