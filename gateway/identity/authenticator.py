"""From what a call brings to the caller it belongs to: bearer token, API key or client certificate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from cardiomesh.chassis.interceptor import Peer
from cardiomesh.errors import Unauthenticated
from gateway.identity.caller import Caller, Role
from gateway.identity.directory import IdentityFile
from gateway.identity.tokens import TokenVerifier

__all__ = ["Authenticator", "anonymous"]

_BEARER: Final = "bearer "


class Authenticator:
    """Closed unless something opens it: no file, no key set and no anonymous role means that nobody may call."""

    def __init__(
        self,
        identities: IdentityFile | None = None,
        tokens: TokenVerifier | None = None,
        anonymous: Caller | None = None,
    ) -> None:
        self._identities = identities
        self._tokens = tokens
        self._anonymous = anonymous

    @property
    def closed(self) -> bool:
        """Whether nobody at all can be authenticated."""
        return self._identities is None and self._tokens is None and self._anonymous is None

    async def caller(self, metadata: Mapping[str, str], peer: Peer) -> Caller:
        """The caller, by ``authorization: Bearer …`` or ``x-api-key``, else by certificate; or Unauthenticated.

        A credential that is shown and wrong is refused, even where anonymous callers are welcome.
        """
        authorization = metadata.get("authorization", "")
        shown = metadata.get("x-api-key", "")
        if authorization:
            if not authorization[: len(_BEARER)].lower() == _BEARER:
                raise Unauthenticated("only bearer tokens are accepted")
            shown = authorization[len(_BEARER) :].strip()
        if shown:
            return await self._by_secret(shown)
        if self._identities is not None:
            found = self._identities.by_certificate(_subjects(peer()))
            if found is not None:
                return found
        if self._anonymous is not None:
            return self._anonymous
        raise Unauthenticated("send an API key or a bearer token, or come with a known client certificate")

    async def _by_secret(self, secret: str) -> Caller:
        if secret.count(".") == 2 and self._tokens is not None:
            return await self._tokens.caller(secret)
        found = self._identities.by_key(secret, datetime.now(UTC)) if self._identities is not None else None
        if found is None:
            raise Unauthenticated("the key is unknown or has expired")
        return found


def _subjects(peer: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    """Names in the client certificate that TLS verified: subject alternative names, or else the common name."""
    names = peer.get("x509_subject_alternative_name") or peer.get("x509_common_name") or ()
    return tuple(name.decode("utf-8", "replace") for name in names)


def anonymous(roles: Iterable[Role], tenant: str) -> Caller | None:
    """The caller that unauthenticated calls count as; None where there are no such roles."""
    allowed = frozenset(roles)
    return Caller("anonymous", tenant, allowed, "anonymous") if allowed else None
