"""A circuit breaker: after failures a backend is left alone for a while, then tried with one call at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Closed until ``failures`` in a row; then open, with one trial every ``cool_down_s`` until one is answered.

    After Nygard, *Release It!*. A trial that nobody reports on (its caller went away) holds up nothing: the next is due
    one cool-down later.
    """

    def __init__(self, cool_down_s: float, *, failures: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._cool_down_s = cool_down_s
        self._threshold = failures
        self._clock = clock
        self._failures = 0
        self._next_trial = 0.0

    @property
    def closed(self) -> bool:
        """Whether calls go through."""
        return self._failures < self._threshold

    def allows(self) -> bool:
        """Whether to call now; while open, True to one caller each cool-down."""
        if self.closed:
            return True
        if self._clock() < self._next_trial:
            return False
        self._next_trial = self._clock() + self._cool_down_s
        return True

    def succeeded(self) -> None:
        """The backend answered."""
        self._failures = 0

    def failed(self) -> None:
        """The backend did not answer."""
        self._failures += 1
        self._next_trial = self._clock() + self._cool_down_s
