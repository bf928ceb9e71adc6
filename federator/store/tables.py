"""The tables. Migrations make them; a test proves that both say the same.

Values that are only ever read whole (documents, sets of indices) are text in compact JSON, alike in both databases:
nothing looks into them by SQL. No table refers to another: what may be forgotten, and when, is for the daemon and
retention to decide, and an intent must outlive its workload's record rather than block its removal.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, Table, Text

metadata = MetaData()

# Names sort by code point in both databases, so that a page ends at the same place in both.
Name = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite keeps its row number in an INTEGER key, and a second index otherwise.
RowId = BigInteger().with_variant(Integer(), "sqlite")

workloads = Table(
    "workloads",
    metadata,
    Column("name", Name, primary_key=True),
    Column("uid", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("submitted_s", Double, nullable=False),
    Column("queue", Name, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("finished", Text, nullable=False),
    Column("failures", Text, nullable=False),
    Column("waves", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("ended_s", Double),
    Column("started_s", Double),
    Column("deleted", Boolean, nullable=False),
    Column("is_over", Boolean, nullable=False),  # of the state, so that an index can tell the few from the many
    Column("tried", Text, nullable=False, server_default="{}"),
    Index("workloads_by_end", "is_over", "name"),
    Index("workloads_by_queue", "queue", "is_over", "name"),
)

intents = Table(
    "intents",
    metadata,
    Column("id", Name, primary_key=True),
    Column("workload", Name, nullable=False),
    Column("workload_uid", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("indices", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_s", Double, nullable=False),
    Column("sent_s", Double, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("moved", Boolean, nullable=False),
    Column("settled", Text, nullable=False),
    Column("withdrawn", Text, nullable=False),
    Column("ended_s", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Index("intents_by_workload", "workload"),
)

history = Table(
    "history",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=False),
    Column("workload", Name, nullable=False),
    Column("workload_uid", Text, nullable=False),
    Column("at_s", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("plan_id", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("details", Text, nullable=False),
    Index("history_by_workload", "workload", "id"),
    Index("history_by_time", "at_s"),
)

objects = Table(
    "objects",
    metadata,
    Column("kind", Name, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("document", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("changed_s", Double, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=False),
    Column("at_s", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_by_time", "at_s"),
)

named_values = Table(
    "named_values",
    metadata,
    Column("name", Name, primary_key=True),
    Column("value", Text, nullable=False),
)

answers = Table(
    "answers",
    metadata,
    Column("key", Name, primary_key=True),
    Column("answer", Text, nullable=False),
    Column("at_s", Double, nullable=False),
    Index("answers_by_time", "at_s"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", Name, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("queues", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("expires_s", Double),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Name, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""``history`` and ``audit``: the last number given. ``writer``: how often a federator has taken the database."""

pilots = Table(
    "pilots",
    metadata,
    Column("name", Name, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("document", Text, nullable=False),
    Index("pilots_by_cluster", "cluster"),
)

line_orders = Table(
    "line_orders",
    metadata,
    Column("intent", Name, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("document", Text, nullable=False),
    Index("line_orders_by_cluster", "cluster"),
)
"""What pilots may pull, by the cluster whose line it stands in."""

leases = Table(
    "leases",
    metadata,
    Column("intent", Name, primary_key=True),
    Column("replica", Integer, primary_key=True, autoincrement=False),
    Column("lease", Text, nullable=False),
    Column("pilot", Text, nullable=False),
    Column("granted_s", Double, nullable=False),
    Column("spec_hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended", Text, nullable=False),
)
"""The latest lease of each replica. ``ended``: how it ended, where it has; else empty."""
