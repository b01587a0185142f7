"""How urgent a call is, and what a client does when the mesh has no room for it."""

from __future__ import annotations

import time
from typing import Final, Literal

from cardiomesh.errors import CardioMeshError, Overloaded

__all__ = ["Patience", "Priority", "priority_metadata"]

#: "emergency" goes before everything; the default is "routine", and "batch" for archives and tapes.
Priority = Literal["emergency", "routine", "batch"]
_HEADER: Final = "x-cardiomesh-priority"


def priority_metadata(priority: Priority | None) -> tuple[tuple[str, str], ...]:
    """The metadata that says it; nothing leaves it to the mesh."""
    return ((_HEADER, priority),) if priority is not None else ()


class Patience:
    """One call's deadline, over all its attempts, and how often it may be sent again."""

    def __init__(self, seconds: float, retries: int) -> None:
        self._ends = time.monotonic() + seconds
        self._retries = retries

    @property
    def left(self) -> float:
        """Seconds that the next attempt may take."""
        return max(0.0, self._ends - time.monotonic())

    def pause(self, error: CardioMeshError) -> float:
        """Seconds until the call may be sent again, as the mesh asked; raises ``error`` where it may not be."""
        if not isinstance(error, Overloaded) or self._retries == 0 or error.retry_after_s >= self.left:
            raise error from None
        self._retries -= 1
        return error.retry_after_s
