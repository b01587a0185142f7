"""How alike two fingerprints are. A few dozen integers; no numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["ALIKE", "similarity"]

#: From here on the same recording; chosen in docs/decisions/near-duplicates.md.
ALIKE: Final = 0.5
#: Beats that both must have in a row.
_LEAST: Final = 3
#: What re-sampling may do to an interval (ms).
_TOLERANCE_MS: Final = 6
_BITS: Final = 48
_MASK: Final = (1 << _BITS) - 1


def similarity(one: Sequence[int], other: Sequence[int]) -> float:
    """0 to 1: that of the stretch in which the two agree best, when one is laid along the other.

    The share of intervals that agree, times how far the signs of what changes from beat to beat agree beyond chance.
    """
    most = 0.0
    if min(len(one), len(other)) < _LEAST:
        return most
    for shift in range(_LEAST - len(other), len(one) - _LEAST + 1):
        start, end = max(0, shift), min(len(one), shift + len(other))
        kept = agreed = 0
        for k in range(start, end):
            a, b = one[k], other[k - shift]
            if abs((a >> _BITS) - (b >> _BITS)) <= _TOLERANCE_MS:
                kept += 1
            agreed += _BITS - ((a ^ b) & _MASK).bit_count()
        count = end - start
        beyond = 2 * agreed / (_BITS * count) - 1
        if beyond > 0:
            most = max(most, kept / count * beyond)
    return most
