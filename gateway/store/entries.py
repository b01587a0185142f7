"""What one call leaves behind: an audit record, and the answer if there was one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

__all__ = ["AuditRecord", "Entry", "StoredAnswer"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


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
    at: str = field(default_factory=_now)
    record_id: str = field(default_factory=lambda: uuid4().hex)

    def body(self, subject: str) -> str:
        """The text that the chain protects, with ``subject`` as pseudonym."""
        values = asdict(self) | {"subject": subject}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer to keep: a serialised AnalyzeResponse without signal."""

    result_id: str
    signal_hash: str
    model: str
    model_version: int
    computed_at: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and its answer: both become durable together, or neither does."""

    record: AuditRecord
    answer: StoredAnswer | None = None

    def to_json(self) -> str:
        """One line for the journal."""
        values: dict[str, Any] = {"record": asdict(self.record)}
        if self.answer is not None:
            values["answer"] = asdict(self.answer) | {"answer": self.answer.answer.hex()}
        return json.dumps(values, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Entry:
        """The inverse of ``to_json``."""
        values: Mapping[str, Any] = json.loads(line)
        answer = values.get("answer")
        stored = StoredAnswer(**(answer | {"answer": bytes.fromhex(answer["answer"])})) if answer else None
        return cls(AuditRecord(**values["record"]), stored)
