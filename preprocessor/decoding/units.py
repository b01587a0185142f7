"""Units of voltage, by their UCUM codes, as millivolts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["millivolts_per"]

# Both micro signs (U+00B5 and Greek U+03BC) are in use; UCUM's own is "u". Case matters: "MV" is a megavolt.
_MILLIVOLTS: Final[Mapping[str, float]] = {
    "nV": 1e-6,
    "uV": 1e-3,
    "µV": 1e-3,
    "μV": 1e-3,
    "mV": 1.0,
    "V": 1e3,
}


def millivolts_per(unit: str) -> float | None:
    """Millivolts in one of ``unit``; None when it is not a unit of voltage that ECGs are stored in."""
    return _MILLIVOLTS.get(unit.strip())
