"""Attempts at tasks whose checkpoints are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what was tried to workloads."""
    op.add_column("workloads", sa.Column("tried", sa.Text, nullable=False, server_default="{}"))
