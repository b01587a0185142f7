"""Subjects, studies, answers, and the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_GENESIS = "0" * 64


def upgrade() -> None:
    """Make the tables of the first release."""
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "subjects",
        sa.Column("lookup", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("secret", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "studies",
        sa.Column("study_id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("signal_hash", sa.String(64), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("studies_by_subject", "studies", ["tenant", "subject"])
    op.create_table(
        "answers",
        sa.Column("result_id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("study_id", sa.String(64), sa.ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("model_version", sa.Integer, nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
    )
    op.create_index("answers_by_study", "answers", ["study_id"])
    op.create_index("answers_by_age", "answers", ["computed_at"])
    op.create_table(
        "audit",
        sa.Column("seq", big, primary_key=True, autoincrement=False),
        sa.Column("record_id", sa.String(32), nullable=False, unique=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("mac", sa.String(64), nullable=False),
    )
    ends = op.create_table(
        "audit_ends",
        sa.Column("name", sa.String(8), primary_key=True),
        sa.Column("seq", big, nullable=False),
        sa.Column("mac", sa.String(64), nullable=False),
        sa.Column("proof", sa.String(64), nullable=False),
    )
    op.bulk_insert(ends, [{"name": end, "seq": 0, "mac": _GENESIS, "proof": ""} for end in ("head", "tail")])


def downgrade() -> None:
    """There is nothing before the first release."""
    raise NotImplementedError("the first migration cannot be taken back; restore a backup")
