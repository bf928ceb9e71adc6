"""Lines of pilots in the database: their rows, their queries, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from federator.model.pilots import Lease, LeaseState, LineChanges, LineOrder, Pilot, StoredLine
from federator.model.resources import Resources
from federator.store.codec import Row, Values, clean, from_json, to_json
from federator.store.queries import Query, named, write
from federator.store.tables import leases, line_orders, pilots

PILOTS = named("pilots", "The pilots of one cluster.", select(pilots).where(pilots.c.cluster == bindparam("cluster")))
ORDERS = named(
    "line_orders",
    "What stands in one cluster's line.",
    select(line_orders).where(line_orders.c.cluster == bindparam("cluster")),
)
LEASES = named(
    "leases",
    "The leases of what stands in one cluster's line.",
    select(leases).where(
        leases.c.intent.in_(select(line_orders.c.intent).where(line_orders.c.cluster == bindparam("cluster")))
    ),
)
DROP_PILOTS = named("drop_pilots", "Forget pilots.", delete(pilots).where(pilots.c.name == bindparam("key_name")))
DROP_ORDERS = named(
    "drop_line_orders",
    "Take orders out of a line.",
    delete(line_orders).where(line_orders.c.intent == bindparam("key")),
)
DROP_LEASES_OF = named(
    "drop_leases_of",
    "Forget the leases of orders that are taken out of a line.",
    delete(leases).where(leases.c.intent == bindparam("key")),
)
DROP_LEASES = named(
    "drop_leases",
    "Forget leases, by intent and replica.",
    delete(leases).where(leases.c.intent == bindparam("key"), leases.c.replica == bindparam("key_replica")),
)


class LineWrites:
    """What is written of lines, in the words of one database."""

    def __init__(self, dialect: str) -> None:
        self._pilots, self._orders, self._leases = (write(t, dialect) for t in (pilots, line_orders, leases))

    async def write(self, connection: AsyncConnection, changes: LineChanges) -> None:
        """Write the changes in the transaction under way. A key is either dropped or written, never both."""
        gone: list[Values] = [{"key": intent} for intent, one in changes.orders.items() if one is None]
        steps: tuple[tuple[Query, list[Values]], ...] = (
            (DROP_PILOTS, [{"key_name": name} for name, one in changes.pilots.items() if one is None]),
            (DROP_ORDERS, gone),
            (DROP_LEASES, [{"key": i, "key_replica": n} for (i, n), one in changes.leases.items() if one is None]),
            (self._pilots, [pilot_row(one) for one in changes.pilots.values() if one is not None]),
            (self._orders, [order_row(one) for one in changes.orders.values() if one is not None]),
            (self._leases, [lease_row(one) for one in changes.leases.values() if one is not None]),
            (DROP_LEASES_OF, gone),
        )
        for query, rows in steps:
            if rows:
                await connection.execute(query.statement, rows)


async def read_line(connection: AsyncConnection, cluster: str) -> StoredLine:
    """All of one cluster's line."""
    of = {"cluster": cluster}
    found = [(await connection.execute(query.statement, of)).all() for query in (PILOTS, ORDERS, LEASES)]
    return StoredLine(tuple(map(pilot, found[0])), tuple(map(order, found[1])), tuple(map(lease, found[2])))


def pilot_row(one: Pilot) -> Values:
    """A pilot for its table."""
    document = {
        "resources": dict(one.resources.items_),
        "labels": dict(one.labels),
        "runtimes": sorted(one.runtimes),
        "data": sorted(one.data),
        "host": one.host,
        "version": one.version,
        "registered_s": one.registered_s,
        "ends_s": one.ends_s,
        "draining": one.draining,
    }
    return {"name": one.name, "cluster": one.cluster, "document": to_json(document)}


def pilot(row: Row) -> Pilot:
    """A pilot from its table."""
    name, cluster, text = row
    document = from_json(text)
    resources = Resources.of(document.pop("resources"))
    sets = {key: frozenset(document.get(key, ())) for key in ("runtimes", "data")}  # versions before tell no data
    return Pilot(name, cluster, resources, **{**document, **sets})


def order_row(one: LineOrder) -> Values:
    """An order for its table."""
    return {"intent": one.intent, "cluster": one.cluster, "document": to_json(one.document)}


def order(row: Row) -> LineOrder:
    """An order from its table."""
    intent, cluster, document = row
    return LineOrder(intent, cluster, from_json(document))


def lease_row(one: Lease) -> Values:
    """A lease for its table."""
    ended = "" if one.state is LeaseState.GRANTED else to_json(_end(one))
    return {
        "intent": one.intent,
        "replica": one.index,
        "lease": one.id,
        "pilot": one.pilot,
        "granted_s": one.granted_s,
        "spec_hash": one.spec_hash,
        "state": one.state.value,
        "ended": ended,
    }


def _end(one: Lease) -> Mapping[str, Any]:
    return {
        "ended_s": one.ended_s,
        "exit_code": one.exit_code,
        "reason": one.reason,
        "message": clean(one.message),
        "own_fault": one.own_fault,
        "node": one.node,
        "log": clean(one.log),
        "usage": dict(one.usage),
    }


def lease(row: Row) -> Lease:
    """A lease from its table."""
    intent, index, id_, by, granted_s, spec_hash, state, ended = row
    end = from_json(ended) if ended else {}
    return Lease(intent, index, id_, by, granted_s, spec_hash, LeaseState(state), **end)
