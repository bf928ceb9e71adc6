"""Every query of the store, with a name and a sentence. Errors and the database's own log show the name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Delete,
    Executable,
    Insert,
    Select,
    Table,
    bindparam,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from federator.store.tables import (
    answers,
    audit,
    counters,
    history,
    intents,
    named_values,
    objects,
    tokens,
    workloads,
)

_INSERT: Mapping[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True, slots=True)
class Query:
    """A statement, what it is called, and what it does in one sentence."""

    name: str
    sentence: str
    statement: Executable


def named(name: str, sentence: str, statement: Select[Any] | Insert | Delete) -> Query:
    """A query that carries its name into the database's own log."""
    return Query(name, sentence, statement.prefix_with(text(f"/* {name} */")))


def write(table: Table, dialect: str) -> Query:
    """The query that adds rows to a table, or replaces those with the same key."""
    keys = [column.name for column in table.primary_key]
    statement = _INSERT[dialect](table)
    new = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return named(
        f"write_{table.name}",
        f"Add rows to {table.name}, or replace those of the same {' and '.join(keys)}.",
        statement.on_conflict_do_update(index_elements=keys, set_=new),
    )


def take_numbers(dialect: str) -> Query:
    """The query that takes the next numbers of a counter, and answers with the last of them."""
    statement = _INSERT[dialect](counters)
    return named(
        "take_numbers",
        "Take numbers of a counter; its row stays locked to the transaction's end, so they are seen in their order.",
        statement.on_conflict_do_update(
            index_elements=["name"], set_={"value": counters.c.value + statement.excluded.value}
        ).returning(counters.c.value),
    )


# The start of the daemon

LIVE_WORKLOADS = named("live_workloads", "Workloads that are not over.", select(workloads).where(~workloads.c.is_over))
LINGERING_WORKLOADS = named(
    "lingering_workloads",
    "Workloads that are over, but of which something may still be at a cluster.",
    select(workloads).where(workloads.c.is_over, workloads.c.name.in_(select(intents.c.workload))),
)
ALL_INTENTS = named("all_intents", "All intents.", select(intents))
ALL_OBJECTS = named(
    "all_objects", "All documents made through the API.", select(objects).order_by(objects.c.kind, objects.c.name)
)
ALL_VALUES = named("all_values", "All small named values.", select(named_values))

# Commits

DROP_WORKLOADS = named(
    "drop_workloads", "Forget workloads by name.", delete(workloads).where(workloads.c.name == bindparam("key_name"))
)
DROP_INTENTS = named(
    "drop_intents", "Forget intents by id.", delete(intents).where(intents.c.id == bindparam("key_id"))
)
DROP_OBJECTS = named(
    "drop_objects",
    "Remove documents made through the API, by kind and name.",
    delete(objects).where(objects.c.kind == bindparam("key_kind"), objects.c.name == bindparam("key_name")),
)
DROP_VALUES = named(
    "drop_values",
    "Remove small named values.",
    delete(named_values).where(named_values.c.name == bindparam("key_name")),
)
ADD_HISTORY = named("add_history", "Append to the history; the caller has taken the numbers.", history.insert())
ADD_AUDIT = named("add_audit", "Append to the audit trail; the caller has taken the numbers.", audit.insert())
READ_COUNTER = named(
    "read_counter", "Where a counter stands.", select(counters.c.value).where(counters.c.name == bindparam("counter"))
)

# Reading, for the API

FIND_WORKLOAD = named(
    "find_workload", "One workload by name.", select(workloads).where(workloads.c.name == bindparam("name"))
)
FIND_WORKLOADS = named(
    "find_workloads",
    "Several workloads by name.",
    select(workloads).where(workloads.c.name.in_(bindparam("names", expanding=True))),
)
ENDED_WORKLOADS = named(
    "ended_workloads",
    "A page of workloads that are over, by name.",
    select(workloads)
    .where(workloads.c.is_over, workloads.c.name > bindparam("after"))
    .order_by(workloads.c.name)
    .limit(bindparam("limit")),
)
ENDED_WORKLOADS_OF_QUEUE = named(
    "ended_workloads_of_queue",
    "A page of one queue's workloads that are over, by name.",
    select(workloads)
    .where(workloads.c.queue == bindparam("queue"), workloads.c.is_over, workloads.c.name > bindparam("after"))
    .order_by(workloads.c.name)
    .limit(bindparam("limit")),
)
HISTORY_OF_WORKLOAD = named(
    "history_of_workload",
    "A page of one workload's history, oldest first.",
    select(history)
    .where(history.c.workload == bindparam("workload"), history.c.id > bindparam("after"))
    .order_by(history.c.id)
    .limit(bindparam("limit")),
)
EVENTS = named(
    "events",
    "A page of the history of all workloads, oldest first.",
    select(history).where(history.c.id > bindparam("after")).order_by(history.c.id).limit(bindparam("limit")),
)
AUDIT_TRAIL = named(
    "audit_trail",
    "A page of the audit trail from a time on, oldest first.",
    select(audit).where(audit.c.at_s >= bindparam("since_s")).order_by(audit.c.id).limit(bindparam("limit")),
)
RECALL = named(
    "recall", "The answer under an idempotency key.", select(answers.c.answer).where(answers.c.key == bindparam("key"))
)
ALL_TOKENS = named("all_tokens", "All local tokens, by name.", select(tokens).order_by(tokens.c.name))
DROP_TOKEN = named("drop_token", "Remove a token.", delete(tokens).where(tokens.c.name == bindparam("key_name")))

# Retention. Each forgets a bounded number of rows, so that no commit waits long for it.

_FORGOTTEN_WORKLOADS = (
    select(workloads.c.name)
    .where(
        workloads.c.is_over,
        func.coalesce(workloads.c.ended_s, workloads.c.submitted_s) < bindparam("before_s"),
        workloads.c.name.not_in(select(intents.c.workload)),
    )
    .limit(bindparam("limit"))
)
PRUNE_WORKLOADS = named(
    "prune_workloads",
    "Forget some workloads that were over before a time and of which nothing is left at a cluster.",
    delete(workloads).where(workloads.c.name.in_(_FORGOTTEN_WORKLOADS)),
)
PRUNE_ANSWERS = named(
    "prune_answers",
    "Forget some answers that were remembered before a time.",
    delete(answers).where(
        answers.c.key.in_(select(answers.c.key).where(answers.c.at_s < bindparam("before_s")).limit(bindparam("limit")))
    ),
)


def _forget_numbered(table: Table) -> Query:
    some = select(table.c.id).where(table.c.at_s < bindparam("before_s")).limit(bindparam("limit"))
    return named(
        f"prune_{table.name}",
        f"Forget some entries of {table.name} from before a time.",
        delete(table).where(table.c.id.in_(some)),
    )


PRUNING = (PRUNE_WORKLOADS, _forget_numbered(history), _forget_numbered(audit), PRUNE_ANSWERS)
"""What retention runs, in this order."""
