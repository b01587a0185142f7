"""The file that names callers: hashed API keys and client certificates. Read again when it changes.

::

    {"keys": [{"name": "ward-3", "sha256": "9f86…", "tenant": "north", "roles": ["clinician"],
               "expires": "2027-06-30T00:00:00Z"}],
     "certificates": [{"name": "pacs", "subject": "pacs.north.example", "tenant": "north", "roles": ["clinician"]}]}

A key is 256 random bits, so one round of SHA-256 protects it: there is nothing to guess that a slow hash would slow.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from cardiomesh.errors import InvalidRequest
from gateway.identity.caller import TENANT_PATTERN, Caller, Proof, Role

__all__ = ["CertificateEntry", "Identities", "IdentityFile", "KeyEntry", "digest_of", "new_key", "read_identities"]

log = logging.getLogger("cardiomesh.identity")
_PREFIX: Final = "cmk_"
#: Seconds between two looks at the file.
_LOOK_EVERY_S: Final = 1.0


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, description="Who it is, for the audit trail.")
    tenant: str = Field(pattern=TENANT_PATTERN)
    roles: frozenset[Role] = Field(min_length=1)


class KeyEntry(_Entry):
    """One API key, by its hash."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the whole key, its prefix included.")
    expires: AwareDatetime | None = Field(default=None, description="From then on it is refused.")


class CertificateEntry(_Entry):
    """One client certificate, by a name that its authority has checked."""

    subject: str = Field(min_length=1, description="A subject alternative name or, without any, the common name.")


class Identities(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[KeyEntry, ...] = ()
    certificates: tuple[CertificateEntry, ...] = ()


def new_key() -> str:
    """A fresh API key; the prefix lets scanners of leaked secrets recognise it."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """What the file holds of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_identities(path: Path) -> Identities:
    """The file's content; InvalidRequest says in one line what is wrong with it."""
    try:
        return Identities.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise InvalidRequest.field("identities", f"{path}: {error.strerror}", "UNREADABLE") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest.field("identities", f"{path}: {where}: {first['msg']}", "MALFORMED") from error
    except ValueError as error:
        raise InvalidRequest.field("identities", f"{path}: is not JSON", "MALFORMED") from error


class IdentityFile:
    """Looks callers up. A file that became unreadable leaves the last good content in force, and a log line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stat()
        self._looked = time.monotonic()
        self._use(read_identities(path))

    def _stat(self) -> tuple[int, int]:
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_ino

    def _use(self, identities: Identities) -> None:
        self._keys = {entry.sha256: (_caller(entry, "api_key"), entry.expires) for entry in identities.keys}
        self._certificates = {entry.subject: _caller(entry, "certificate") for entry in identities.certificates}

    def refresh(self, *, now: bool = False) -> None:
        """Read the file again if it changed; looks at most once a second unless told ``now``."""
        if not now and time.monotonic() - self._looked < _LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        try:
            stamp = self._stat()
            if stamp == self._stamp:
                return
            self._use(read_identities(self._path))
            self._stamp = stamp
            log.info("identities read again")
        except (OSError, InvalidRequest):
            log.exception("identities cannot be read; keeping the old ones")

    def by_key(self, key: str, at: datetime) -> Caller | None:
        """The owner of a key that has not expired."""
        self.refresh()
        caller, expires = self._keys.get(digest_of(key), (None, None))
        return caller if expires is None or expires > at else None

    def by_certificate(self, subjects: tuple[str, ...]) -> Caller | None:
        """The owner of the first known name in a certificate that TLS has verified."""
        self.refresh()
        return next((self._certificates[name] for name in subjects if name in self._certificates), None)


def _caller(entry: _Entry, proof: Proof) -> Caller:
    return Caller(entry.name, entry.tenant, entry.roles, proof)
