"""Are the channels in the order of their names? The limb leads tell: III, aVR, aVL and aVF follow from I and II.

A swap of cables keeps those relations (``cardiomesh.ecg.reversal`` suspects it); a swap of channels breaks them. A
recording that breaks them as named, and keeps them exactly under other names, is misnamed beyond doubt. One that keeps
them under no names (leads scaled or filtered one by one, as LUDB's headers do) is left to others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Final

import numpy as np
import numpy.typing as npt

from cardiomesh.ecg.leads import STANDARD_LEADS

__all__ = ["misnamed"]

FloatArray = npt.NDArray[np.float64]

#: III, aVR, aVL and aVF as multiples of I and II (Einthoven, Goldberger).
_RELATIONS: Final = np.array([[-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]])
_DERIVED: Final = (2, 3, 4, 5)
#: Power of what is left of the four derived leads, as a share of the power of I and II: rounding and the filters of
#: real recorders stay below the first (``benchmarks/lead_order.py``); the true names must leave less than the second.
_BROKEN: Final = 0.02
_KEPT: Final = 0.01


def _left(gram: FloatArray, one: int, two: int) -> FloatArray:
    """Power of each channel minus each of the four relations of channels ``one`` and ``two``: [4, channels]."""
    pair = [one, two]
    predicted = np.einsum("ra,ab,rb->r", _RELATIONS, gram[np.ix_(pair, pair)], _RELATIONS)
    return np.asarray(gram.diagonal()[None, :] - 2 * _RELATIONS @ gram[pair] + predicted[:, None])


def misnamed(millivolts: FloatArray, leads: Sequence[str]) -> dict[str, str] | None:
    """For ``[12, n]`` finite millivolts in standard order: which channel holds which limb lead, if not its own.

    None where the names are right, where it cannot be told, or where leads are missing.
    """
    if tuple(leads) != STANDARD_LEADS:
        return None
    x = millivolts - millivolts.mean(axis=1, keepdims=True)
    power = float(np.sum(x[:2] ** 2))
    named = sum(float(np.sum((x[k] - r @ x[:2]) ** 2)) for k, r in zip(_DERIVED, _RELATIONS, strict=True))
    if power <= 0 or named <= _BROKEN * power:
        return None
    gram = x @ x.T
    best: tuple[float, tuple[int, ...]] | None = None
    for one, two in permutations(range(len(leads)), 2):
        scale = float(gram[one, one] + gram[two, two])
        left = _left(gram, one, two)
        left[:, [one, two]] = np.inf
        found = tuple(int(k) for k in left.argmin(axis=1))
        rest = float(left.min(axis=1).sum())
        if scale > 0 and len(set(found)) == len(found) and rest <= _KEPT * scale and (best is None or rest < best[0]):
            best = rest, (one, two, *found)
    if best is None:
        return None
    limbs = STANDARD_LEADS[: len(best[1])]
    return {leads[k]: lead for lead, k in zip(limbs, best[1], strict=True) if leads[k] != lead} or None
