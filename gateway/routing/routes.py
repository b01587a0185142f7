"""What the routing table says: for each public name what answers, what is on trial, and with what share."""

from __future__ import annotations

import hashlib
import time
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from cardiomesh._proto.types.v1 import types_pb2

__all__ = ["MODES", "Route", "Target", "Trial", "falls_into"]

#: Names beside those of models: what the modes of a request stand for.
MODES: Final = ("fast", "accurate")


class _Value(BaseModel):
    #: A newer gateway may have written more.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Target(_Value):
    """One version of one model; version 0 is what that model's own route says."""

    model: str
    version: int = 0

    @property
    def ref(self) -> types_pb2.ModelRef:
        """As answers name it; the card is not known."""
        return types_pb2.ModelRef(name=self.model, version=self.version)

    def __str__(self) -> str:
        return f"{self.model}:{self.version}" if self.version else self.model


class Trial(_Value):
    """A target and the share of recordings that it sees."""

    target: Target
    share: Annotated[float, Field(gt=0, le=1)]
    #: Unix time.
    since: float = Field(default_factory=time.time)


class Route(_Value):
    """Where the requests of one name go. ``revision`` counts changes; 0 is a route that nobody has set."""

    name: str
    stable: Target | None = None
    canary: Trial | None = None
    shadow: Trial | None = None
    previous: Target | None = None
    #: What was rolled back: it answers nothing but requests that name it, until it is tried or promoted again.
    withdrawn: frozenset[Target] = frozenset()
    revision: int = 0

    def with_canary(self, target: Target, share: float, stable: Target) -> Route:
        """``target`` answers ``share`` of all recordings, ``stable`` the rest."""
        trial = Trial(target=target, share=share)
        return self._next(canary=trial, stable=stable, withdrawn=self.withdrawn - {target})

    def with_shadow(self, target: Target, share: float) -> Route:
        """``target`` sees copies of ``share`` of all recordings."""
        return self._next(shadow=Trial(target=target, share=share))

    def without(self, trial: Literal["canary", "shadow"]) -> Route:
        """The trial ends, with no verdict."""
        return self._next(**{trial: None})

    def promoted(self, target: Target, instead_of: Target | None) -> Route:
        """``target`` answers everything; trials end."""
        gone = self.withdrawn - {target}
        return self._next(stable=target, previous=instead_of, canary=None, shadow=None, withdrawn=gone)

    def rolled_back(self) -> Route:
        """Without the canary; where there is none, what answered before the last promotion."""
        if self.canary is not None:
            return self._next(canary=None, withdrawn=self.withdrawn | {self.canary.target})
        gone = {self.stable} if self.stable is not None else set()
        return self._next(stable=self.previous, previous=None, withdrawn=self.withdrawn | gone)

    def _next(self, **changes: object) -> Route:
        return self.model_copy(update={**changes, "revision": self.revision + 1})


def falls_into(share: float, *parts: str) -> bool:
    """Whether what ``parts`` name belongs to a share: always the same answer, and a larger share keeps the smaller's.

    The parts include what is on trial, so that it is not the same recordings that are tried upon each time.
    """
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64
