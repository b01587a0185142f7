"""One end-to-end deadline: it arrives with the call, shrinks at each hop, and is never extended."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from cardiomesh.errors import DeadlineExceeded

__all__ = ["Budget", "current_budget"]

#: Kept back at each hop, so that an answer about a late backend still reaches the caller in time.
HOP_RESERVE_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Budget:
    """The time a call has left, as a point on the monotonic clock (seconds)."""

    expires_at: float

    @classmethod
    def of(cls, seconds: float) -> Budget:
        """A budget that starts now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left; negative when late."""
        return self.expires_at - time.monotonic()

    def for_hop(self) -> float:
        """The timeout to give the next hop, in seconds; DeadlineExceeded when none is left to give."""
        left = self.remaining() - HOP_RESERVE_S
        if left <= 0:
            raise DeadlineExceeded("the call's deadline has passed")
        return left


_current: ContextVar[Budget] = ContextVar("cardiomesh_budget")


def current_budget() -> Budget:
    """The budget of the call being served; LookupError outside of one."""
    return _current.get()


def enter_budget(budget: Budget) -> None:
    """Make it the budget of the current task."""
    _current.set(budget)
