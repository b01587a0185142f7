"""What one cache key led to: where a preparation is remembered, its result's key is known before it has been read.

So both are asked for at once. It is a guess that is checked: the key is made again from the preparation that came, and
a guess that was wrong costs a second round trip, as having none does.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gateway.analysis.cache import CacheKey

__all__ = ["Leads"]

_MOST: Final = 4096


class Leads:
    """Keys by what led to them; the least recently used leave first."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: OrderedDict[str, CacheKey] = OrderedDict()

    def get(self, lead: str) -> CacheKey | None:
        """Where it led the last time."""
        key = self._known.get(lead)
        if key is not None:
            self._known.move_to_end(lead)
        return key

    def put(self, lead: str, key: CacheKey) -> None:
        """Remember where it led."""
        self._known[lead] = key
        self._known.move_to_end(lead)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
