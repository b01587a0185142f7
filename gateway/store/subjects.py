"""Pseudonyms that can be forgotten.

A subject reference is never stored. Its keyed hash finds a random secret, and the pseudonym is a keyed hash under that
secret. Deleting the secret (LGPD art. 18, GDPR art. 17) leaves pseudonyms that nobody can lead back to a person, not
even with the master key, while the audit trail that holds them stays whole.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import subjects

__all__ = ["Pseudonyms"]


class Pseudonyms:
    """Makes look-ups and pseudonyms under one master key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def lookup(self, tenant: str, subject_ref: str) -> str:
        """What stands for a subject until its pseudonym is known; empty for no subject."""
        if not subject_ref:
            return ""
        return hmac.new(self._key, f"{tenant}\0{subject_ref}".encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def pseudonym(secret: bytes, lookup: str) -> str:
        """The name in studies and in the audit trail."""
        return hmac.new(secret, lookup.encode(), hashlib.sha256).hexdigest()

    async def resolve(self, connection: AsyncConnection, wanted: Collection[tuple[str, str]]) -> dict[str, str]:
        """Look-up → pseudonym for all ``(tenant, lookup)``, inside the caller's transaction; new subjects are made.

        Nothing is remembered between transactions: a subject erased by another process must not live on here.
        """
        lookups = {lookup: tenant for tenant, lookup in wanted if lookup}
        if not lookups:
            return {}
        rows = await connection.execute(
            select(subjects.c.lookup, subjects.c.secret).where(subjects.c.lookup.in_(list(lookups)))
        )
        found: dict[str, bytes] = {row.lookup: row.secret for row in rows}
        fresh = {lookup: secrets.token_bytes(32) for lookup in lookups if lookup not in found}
        if fresh:
            await connection.execute(
                insert(subjects),
                [{"lookup": lookup, "tenant": lookups[lookup], "secret": secret} for lookup, secret in fresh.items()],
            )
        return {lookup: self.pseudonym(secret, lookup) for lookup, secret in (found | fresh).items()}
