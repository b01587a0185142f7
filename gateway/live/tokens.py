"""Resumption tokens: where a stream stands, for the client to keep. The gateway itself remembers nothing of it.

A token holds the model, window numbers and raised alarms: no sample, and nothing about the patient. It is good for the
tenant and the start that it was made for, because both are part of what is signed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Final

from cardiomesh.errors import InvalidRequest
from gateway.live.alarms import Raised
from gateway.live.windows import Span

__all__ = ["Standing", "TokenMint"]

_MAC_BYTES: Final = 32
_FIELD: Final = "start.resumption_token"


@dataclass(frozen=True, slots=True)
class Standing:
    """What was delivered so far: windows below ``low`` and those ``above``."""

    model: str
    model_version: int
    card_digest: str
    low: int = 0
    above: tuple[Span, ...] = ()
    alarms: tuple[Raised, ...] = ()


class TokenMint:
    """Makes tokens and takes them back, under one key that all replicas share."""

    def __init__(self, key: bytes, lifetime_s: float, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._lifetime_s = lifetime_s
        self._clock = clock

    def mint(self, standing: Standing, tenant: str, form: bytes) -> bytes:
        """A token for this tenant and the form with this digest."""
        content = [int(self._clock() + self._lifetime_s), *astuple(standing)]
        body = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
        return self._mac(body, tenant, form) + body

    def read(self, token: bytes, tenant: str, form: bytes) -> Standing:
        """Where the stream stood; InvalidRequest where the token is not ours, not theirs, or too old."""
        mac, body = token[:_MAC_BYTES], token[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body, tenant, form)):
            # One answer for all of it: nobody learns whether another tenant's token was genuine.
            raise InvalidRequest.field(_FIELD, "was not given for this start to this tenant", "INVALID_TOKEN")
        content: list[Any] = json.loads(body)
        expires, model, version, digest, low, above, alarms = content
        if self._clock() > expires:
            raise InvalidRequest.field(_FIELD, "has expired; start anew", "EXPIRED_TOKEN")
        spans = tuple((int(first), int(after)) for first, after in above)
        return Standing(model, version, digest, low, spans, tuple(Raised(*alarm) for alarm in alarms))

    def _mac(self, body: bytes, tenant: str, form: bytes) -> bytes:
        # A tenant's name cannot hold a NUL, and the digest has a fixed length: no two inputs look alike.
        return hmac.new(self._key, tenant.encode() + b"\0" + form + body, hashlib.sha256).digest()
