"""Pilots, what they may pull, and the leases they hold."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the three tables of lines."""
    op.create_table(
        "pilots",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("pilots_by_cluster", "pilots", ["cluster"])
    op.create_table(
        "line_orders",
        sa.Column("intent", NAME, primary_key=True),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("line_orders_by_cluster", "line_orders", ["cluster"])
    op.create_table(
        "leases",
        sa.Column("intent", NAME, primary_key=True),
        sa.Column("replica", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("lease", sa.Text, nullable=False),
        sa.Column("pilot", sa.Text, nullable=False),
        sa.Column("granted_s", sa.Double, nullable=False),
        sa.Column("spec_hash", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ended", sa.Text, nullable=False),
    )
