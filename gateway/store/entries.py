"""What one call leaves behind: an audit record, and the answer if there was one."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

__all__ = ["AuditRecord", "Claim", "Entry", "StoredAnswer"]

#: Made once: each record is encoded while its caller waits.
_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _record_id() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what, when, about whom, with what outcome. Never a waveform, a name or a subject reference."""

    caller: str
    tenant: str
    proof: str
    method: str
    #: "OK", or the reason of the error.
    outcome: str
    #: Keyed hash of tenant and subject reference; the ledger puts the subject's pseudonym in its place.
    subject: str = ""
    model: str = ""
    model_version: int = 0
    card_digest: str = ""
    result_id: str = ""
    from_cache: bool = False
    #: What was decided about a model, and why; what an explanation told; empty for everything else.
    detail: str = ""
    at: str = field(default_factory=_now)
    record_id: str = field(default_factory=_record_id)

    def body(self, subject: str) -> str:
        """The text that the chain protects, with ``subject`` as pseudonym."""
        return _encode(self.values() | {"subject": subject})

    def values(self) -> dict[str, Any]:
        """Its fields; what came later is left out where it is empty, so that an older gateway can read the others."""
        values = _values(self, _OF_RECORD)
        if not self.detail:
            del values["detail"]
        return values


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer to keep: a serialised AnalyzeResponse without signal."""

    result_id: str
    signal_hash: str
    model: str
    model_version: int
    computed_at: str
    answer: bytes


def _names(cls: type[AuditRecord] | type[StoredAnswer]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


def _values(of: AuditRecord | StoredAnswer, names: tuple[str, ...]) -> dict[str, Any]:
    """Its fields by name, without the deep copy that ``dataclasses.asdict`` makes of each."""
    return dict(zip(names, attrgetter(*names)(of), strict=True))


_OF_RECORD: Final = _names(AuditRecord)
_OF_ANSWER: Final = _names(StoredAnswer)


@dataclass(frozen=True, slots=True)
class Claim:
    """That an answer is the only one to a request: keyed hash of the idempotency key, hash of the request."""

    key: str
    request: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and its answer: both become durable together, or neither does."""

    record: AuditRecord
    answer: StoredAnswer | None = None
    #: Decided by the database alone: an entry with a claim never goes to the journal.
    claim: Claim | None = None

    def to_json(self) -> str:
        """One line for the journal."""
        values = {"record": self.record.values()}
        if self.answer is not None:
            values["answer"] = _values(self.answer, _OF_ANSWER) | {"answer": self.answer.answer.hex()}
        return _encode(values)

    @classmethod
    def from_json(cls, line: str) -> Entry:
        """The inverse of ``to_json``."""
        values: Mapping[str, Any] = json.loads(line)
        answer = values.get("answer")
        stored = StoredAnswer(**(answer | {"answer": bytes.fromhex(answer["answer"])})) if answer else None
        return cls(AuditRecord(**values["record"]), stored)
