"""OIDC access tokens (RFC 9068, RFC 7519): signature by a published key set, audience, issuer, lifetime, roles.

The signature work is PyJWT's. Ours is which keys are trusted and for how long: the set is read again when it is old,
and once more when a token names a key that is not in it (rotation), but never more often than every few seconds, so
that a flood of forged key ids is no flood at the identity provider.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import jwt

from cardiomesh.errors import Unauthenticated, Unavailable
from gateway.identity.caller import TENANT_PATTERN, Caller, Role

__all__ = ["TokenRules", "TokenVerifier"]

log = logging.getLogger("cardiomesh.identity")
#: Asymmetric only: with a shared secret whoever can check a token can make one.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_FETCH_TIMEOUT_S: Final = 3.0
_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must be to be believed."""

    #: Where the JSON Web Key Set is: an ``https://`` URL or a file.
    jwks: str
    issuer: str
    audience: str
    #: Tolerated difference between the clocks, in seconds.
    leeway_s: float = 60.0
    roles_claim: str = "roles"
    tenant_claim: str = "tenant"
    #: Age from which the key set is read again, in seconds.
    refresh_s: float = 300.0
    #: Least time between two reads, in seconds.
    least_refresh_s: float = 5.0


class TokenVerifier:
    """Turns a bearer token into a caller."""

    def __init__(self, rules: TokenRules, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._known: dict[str, tuple[float, Caller]] = {}

    async def caller(self, token: str) -> Caller:
        """The token's owner; Unauthenticated says why not, Unavailable when no keys can be had."""
        known = self._known.get(token)
        if known is not None and known[0] > time.time():
            return known[1]
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise Unauthenticated("the bearer token is not a JWT") from error
        if header.get("alg") not in ALGORITHMS:
            raise Unauthenticated("the token's algorithm is not accepted")
        key = await self._key(header.get("kid"))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[header["alg"]],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(_REASONS.get(type(error), "the token is not valid")) from error
        caller = self._read(claims)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        # Believed until it expires or its key could have been withdrawn, whichever is first.
        self._known[token] = (min(float(claims["exp"]), time.time() + self._rules.refresh_s), caller)
        return caller

    def _read(self, claims: dict[str, Any]) -> Caller:
        tenant = claims.get(self._rules.tenant_claim)
        if not isinstance(tenant, str) or not re.fullmatch(TENANT_PATTERN, tenant):
            raise Unauthenticated(f"the token's claim {self._rules.tenant_claim!r} names no tenant")
        named = claims.get(self._rules.roles_claim, ())
        roles = frozenset(_roles(named.split() if isinstance(named, str) else named))
        return Caller(str(claims["sub"])[:64], tenant, roles, "jwt")

    async def _key(self, kid: str | None) -> jwt.PyJWK:
        age = self._clock() - self._read_at
        if age > self._rules.refresh_s or (kid not in self._keys and age > self._rules.least_refresh_s):
            async with self._reading:
                if self._clock() - self._read_at >= age:  # nobody read it while we waited
                    await self._read_keys()
        key = self._keys.get(kid)
        if key is None and kid is None and len(self._keys) == 1:
            key = next(iter(self._keys.values()))
        if key is None:
            if not self._keys:
                raise Unavailable("the identity provider's keys cannot be read")
            raise Unauthenticated("the token is signed with an unknown key")
        return key

    async def _read_keys(self) -> None:
        """Read the set; keep the old one, and try again soon, when that fails."""
        try:
            found = jwt.PyJWKSet.from_dict(json.loads(await self._fetch()))
        except (OSError, ValueError, httpx.HTTPError, jwt.PyJWTError):
            log.exception("the key set cannot be read; keeping the old one")
            self._read_at = max(self._read_at, self._clock() - self._rules.refresh_s + self._rules.least_refresh_s)
            return
        self._keys = {key.key_id: key for key in found.keys if key.public_key_use in (None, "sig")}
        self._known.clear()
        self._read_at = self._clock()

    async def _fetch(self) -> bytes:
        where = self._rules.jwks
        if not where.startswith(("https://", "http://")):
            return await asyncio.to_thread(Path(where).read_bytes)
        async with httpx.AsyncClient(timeout=_FETCH_TIMEOUT_S) as client:
            answer = await client.get(where)
            return answer.raise_for_status().content


def _roles(names: Iterable[object]) -> Iterable[Role]:
    """Those that are ours; an identity provider has others."""
    for name in names:
        if isinstance(name, str) and name in Role.__members__.values():
            yield Role(name)


_REASONS: Final[dict[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
    jwt.InvalidSignatureError: "the token's signature is wrong",
    jwt.MissingRequiredClaimError: "the token lacks a claim that is needed",
}
