"""A clock that moves when the test says so."""

from __future__ import annotations

__all__ = ["Clock"]


class Clock:
    """Seconds, from zero."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
