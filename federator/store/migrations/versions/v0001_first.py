"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Written out and not taken from tables.py: this step must go on making what it makes today.
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _work()
    _records()
    _access()


def _work() -> None:
    op.create_table(
        "workloads",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("uid", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("submitted_s", sa.Double, nullable=False),
        sa.Column("queue", NAME, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("finished", sa.Text, nullable=False),
        sa.Column("failures", sa.Text, nullable=False),
        sa.Column("waves", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("ended_s", sa.Double),
        sa.Column("started_s", sa.Double),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("is_over", sa.Boolean, nullable=False),
    )
    op.create_index("workloads_by_end", "workloads", ["is_over", "name"])
    op.create_index("workloads_by_queue", "workloads", ["queue", "is_over", "name"])
    op.create_table(
        "intents",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("workload", NAME, nullable=False),
        sa.Column("workload_uid", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("indices", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("created_s", sa.Double, nullable=False),
        sa.Column("sent_s", sa.Double, nullable=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("moved", sa.Boolean, nullable=False),
        sa.Column("settled", sa.Text, nullable=False),
        sa.Column("withdrawn", sa.Text, nullable=False),
        sa.Column("ended_s", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("intents_by_workload", "intents", ["workload"])


def _records() -> None:
    op.create_table(
        "history",
        sa.Column("id", ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("workload", NAME, nullable=False),
        sa.Column("workload_uid", sa.Text, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_index("history_by_workload", "history", ["workload", "id"])
    op.create_index("history_by_time", "history", ["at_s"])
    op.create_table(
        "objects",
        sa.Column("kind", NAME, primary_key=True),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("changed_s", sa.Double, nullable=False),
    )
    op.create_table(
        "named_values", sa.Column("name", NAME, primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )
    op.create_table(
        "counters", sa.Column("name", NAME, primary_key=True), sa.Column("value", sa.BigInteger, nullable=False)
    )


def _access() -> None:
    op.create_table(
        "audit",
        sa.Column("id", ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("audit_by_time", "audit", ["at_s"])
    op.create_table(
        "answers",
        sa.Column("key", NAME, primary_key=True),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("at_s", sa.Double, nullable=False),
    )
    op.create_index("answers_by_time", "answers", ["at_s"])
    op.create_table(
        "tokens",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("queues", sa.Text, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("expires_s", sa.Double),
    )
