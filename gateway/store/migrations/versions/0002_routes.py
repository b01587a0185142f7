"""The routing table."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of routes."""
    op.create_table(
        "routes", sa.Column("name", sa.String(128), primary_key=True), sa.Column("body", sa.Text(), nullable=False)
    )


def downgrade() -> None:
    """Forget the routes."""
    op.drop_table("routes")
