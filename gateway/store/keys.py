"""The gateway's one secret: a file, and the keys derived from it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cardiomesh.errors import InvalidRequest

__all__ = ["LedgerKeys"]

_LEAST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class LedgerKeys:
    """What links the chain, makes pseudonyms, signs resumption tokens, and hides whose near-duplicates are kept."""

    chain: bytes
    pseudonyms: bytes
    tokens: bytes
    duplicates: bytes

    @classmethod
    def read(cls, path: Path) -> LedgerKeys:
        """From a file of at least 32 random bytes; InvalidRequest says what is wrong with it."""
        try:
            secret = path.read_bytes()
        except OSError as error:
            raise InvalidRequest.field("store_key", f"{path}: {error.strerror}", "UNREADABLE") from error
        if len(secret) < _LEAST_BYTES:
            raise InvalidRequest.field("store_key", f"{path}: holds less than {_LEAST_BYTES} bytes", "TOO_SHORT")
        return cls.of(secret)

    @classmethod
    def of(cls, secret: bytes) -> LedgerKeys:
        """All keys, so that who can verify the chain cannot make pseudonyms from it."""
        uses = (b"chain", b"pseudonyms", b"tokens", b"duplicates")
        return cls(*(hmac.new(secret, use, hashlib.sha256).digest() for use in uses))
