"""A circuit breaker: after a failure a backend is left alone for a while, then tried with one call."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Closed until a failure; open for ``cool_down_s`` seconds; then one trial decides (Nygard, *Release It!*)."""

    def __init__(self, cool_down_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._open_until: float | None = None
        self._trial = False

    @property
    def closed(self) -> bool:
        """Whether the last that was heard of the backend is good."""
        return self._open_until is None

    def allows(self) -> bool:
        """Whether to call now; True to at most one caller while a trial is due."""
        if self._open_until is None:
            return True
        if self._trial or self._clock() < self._open_until:
            return False
        self._trial = True
        return True

    def succeeded(self) -> None:
        """The backend answered."""
        self._open_until, self._trial = None, False

    def failed(self) -> None:
        """The backend did not answer."""
        self._open_until, self._trial = self._clock() + self._cool_down_s, False
