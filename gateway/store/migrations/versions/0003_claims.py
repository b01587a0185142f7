"""Idempotency keys."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table of claims."""
    op.create_table(
        "claims",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("study_id", sa.String(64), sa.ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
    )
    op.create_index("claims_by_study", "claims", ["study_id"])


def downgrade() -> None:
    """Forget the keys: what is sent again is computed again."""
    op.drop_table("claims")
