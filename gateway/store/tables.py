"""The tables. Migrations make them (``migrations/``); a test proves that both say the same."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

__all__ = ["answers", "audit", "audit_ends", "claims", "metadata", "routes", "studies", "subjects"]

metadata = MetaData()
#: SQLite counts rows in its own kind of integer only.
_Big = BigInteger().with_variant(Integer(), "sqlite")

#: One secret a subject. Without the row nobody can say any more whose the pseudonym was: that is what erasure deletes.
subjects = Table(
    "subjects",
    metadata,
    Column("lookup", String(64), primary_key=True),  # keyed hash of tenant and subject reference
    Column("tenant", String(64), nullable=False),
    Column("secret", LargeBinary(32), nullable=False),
)

#: One recording of one subject. The same recording again is the same study.
studies = Table(
    "studies",
    metadata,
    Column("study_id", String(64), primary_key=True),  # hash of tenant, pseudonym and signal
    Column("tenant", String(64), nullable=False),
    Column("subject", String(64), nullable=False),  # pseudonym; empty where the caller named nobody
    Column("signal_hash", String(64), nullable=False),
    Column("first_seen", DateTime(timezone=True), nullable=False),
    Index("studies_by_subject", "tenant", "subject"),
)

#: One answer on one study: an AnalyzeResponse without signal.
answers = Table(
    "answers",
    metadata,
    Column("result_id", String(64), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("study_id", String(64), ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
    Column("model", String(128), nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("computed_at", DateTime(timezone=True), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Index("answers_by_study", "study_id"),
    Index("answers_by_age", "computed_at"),
)

#: Idempotency keys: the answer that a request got, as it was given. Gone with its study.
claims = Table(
    "claims",
    metadata,
    Column("key", String(64), primary_key=True),  # keyed hash of tenant and key
    Column("request", String(64), nullable=False),  # hash of what was asked
    Column("study_id", String(64), ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Index("claims_by_study", "study_id"),
)

#: Append-only. ``mac`` covers the body and the mac before it, under a key that is not in this database.
audit = Table(
    "audit",
    metadata,
    Column("seq", _Big, primary_key=True, autoincrement=False),
    Column("record_id", String(32), nullable=False, unique=True),
    Column("body", Text, nullable=False),
    Column("mac", String(64), nullable=False),
)

#: Two rows: ``head`` is the last record, ``tail`` the last one that retention has removed.
audit_ends = Table(
    "audit_ends",
    metadata,
    Column("name", String(8), primary_key=True),
    Column("seq", _Big, nullable=False),
    Column("mac", String(64), nullable=False),
    Column("proof", String(64), nullable=False),  # under the same key, so that an end cannot be moved; empty at first
)

#: Where the requests of each public model name go; the body is ``gateway/routing/routes.py``'s.
routes = Table("routes", metadata, Column("name", String(128), primary_key=True), Column("body", Text, nullable=False))
