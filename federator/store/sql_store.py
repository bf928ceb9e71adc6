"""The store that the daemon uses."""

from __future__ import annotations

import gc
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from federator.model.pilots import LineChanges, StoredLine
from federator.model.records import AuditEntry, Changes, HistoryEntry, Stored, Token, WorkloadRecord
from federator.ports import LineStore, Store, StoreUnavailable
from federator.store import codec, queries
from federator.store.address import Address
from federator.store.database import Reader, Writer
from federator.store.lines import LineWrites, read_line
from federator.store.queries import Query
from federator.store.schema import migrate
from federator.store.tables import answers, intents, named_values, objects, tokens, workloads

T = TypeVar("T")

CHUNK = 500
"""Rows handled in one go: few enough that the event loop is not held up for more than some milliseconds."""
NAMES_AT_ONCE = 500
"""Names in one query: databases limit the number of its parameters."""
PRUNE_ROWS = 1000
"""Rows that one transaction of retention forgets."""


class SqlStore(Store, LineStore):
    """A store in an SQL database: ``sqlite:///path`` or ``postgresql://user:password@host/name``.

    Within one ``Changes`` what is dropped is dropped first and what is written is written then, so that a name can be
    given up and taken again in one transaction. ``ports.Store`` has the promises of each method.
    """

    def __init__(self, url: str) -> None:
        """Raises StoreUnavailable where the URL names no database."""
        self._url = url
        self._address = Address.of(url)
        self._reader = Reader(self._address)
        self._writer = Writer(self._address, self._on_claim)
        self._takeover: int | None = None
        self._writes = {
            table.name: queries.write(table, self._address.dialect)
            for table in (workloads, intents, objects, named_values, answers, tokens)
        }
        self._take_numbers = queries.take_numbers(self._address.dialect)
        self._lines = LineWrites(self._address.dialect)

    async def open(self) -> None:
        """Connect, claim the database, and bring the schema up to date."""
        if self._takeover is None:
            await upgrade(self._url)
        await self._writer.transact("opening", _nothing)

    async def _on_claim(self, connection: AsyncConnection) -> None:
        """The first time, count the take-over; later (after a lost connection), see that nobody else did since."""
        if self._takeover is None:
            self._takeover = await self._numbers(connection, "writer", 1)
            return
        now = await connection.scalar(queries.READ_COUNTER.statement, {"counter": "writer"})
        if now != self._takeover:
            raise StoreUnavailable(
                f"another federator has used {self._address.shown} while this one had lost its connection; "
                "stop this one and start it again"
            )

    async def load(self) -> Stored:
        """All that the daemon needs to go on where it was, as of one instant."""
        async with self._reader.transaction("loading", snapshot=True) as connection, _no_collections():
            live = await _all(connection, queries.LIVE_WORKLOADS, codec.workload)
            lingering = await _all(connection, queries.LINGERING_WORKLOADS, codec.workload)
            return Stored(
                workloads=(*live, *lingering),
                intents=tuple(await _all(connection, queries.ALL_INTENTS, codec.intent)),
                objects=tuple(await _all(connection, queries.ALL_OBJECTS, codec.stored_object)),
                values={
                    name: codec.from_json(value)
                    for name, value in await _all(connection, queries.ALL_VALUES, lambda row: (row[0], row[1]))
                },
                last_event=await connection.scalar(queries.READ_COUNTER.statement, {"counter": "history"}) or 0,
            )

    async def commit(self, changes: Changes) -> Sequence[HistoryEntry]:
        """Write all of the changes in one transaction; returns the history entries with their ids."""

        async def work(connection: AsyncConnection) -> Sequence[HistoryEntry]:
            await self._drop(connection, changes)
            await self._put(connection, changes)
            return await self._append(connection, changes)

        return await self._writer.transact("committing", work) if changes else ()

    async def _drop(self, connection: AsyncConnection, changes: Changes) -> None:
        gone_values = (name for name, value in changes.values.items() if value is None)
        await _many(connection, queries.DROP_WORKLOADS, ({"key_name": name} for name in changes.dropped_workloads))
        await _many(connection, queries.DROP_INTENTS, ({"key_id": id_} for id_ in changes.dropped_intents))
        await _many(
            connection,
            queries.DROP_OBJECTS,
            ({"key_kind": kind, "key_name": name} for kind, name in changes.dropped_objects),
        )
        await _many(connection, queries.DROP_VALUES, ({"key_name": name} for name in gone_values))

    async def _put(self, connection: AsyncConnection, changes: Changes) -> None:
        kept_values = ((name, value) for name, value in changes.values.items() if value is not None)
        await _many(connection, self._writes["workloads"], map(codec.workload_row, changes.workloads))
        await _many(connection, self._writes["intents"], map(codec.intent_row, changes.intents))
        await _many(connection, self._writes["objects"], map(codec.object_row, changes.objects))
        await _many(
            connection,
            self._writes["named_values"],
            ({"name": name, "value": codec.to_json(value)} for name, value in kept_values),
        )

    async def _append(self, connection: AsyncConnection, changes: Changes) -> Sequence[HistoryEntry]:
        entries: Sequence[HistoryEntry] = ()
        if changes.history:
            last = await self._numbers(connection, "history", len(changes.history))
            first = last - len(changes.history) + 1
            entries = tuple(replace(entry, id=first + at) for at, entry in enumerate(changes.history))
            await _many(connection, queries.ADD_HISTORY, map(codec.history_row, entries))
        if changes.audit:
            last = await self._numbers(connection, "audit", len(changes.audit))
            numbers = range(last - len(changes.audit) + 1, last + 1)
            await _many(connection, queries.ADD_AUDIT, map(codec.audit_row, changes.audit, numbers))
        return entries

    async def _numbers(self, connection: AsyncConnection, counter: str, count: int) -> int:
        """Take ``count`` numbers; returns the last of them."""
        result = await connection.execute(self._take_numbers.statement, {"name": counter, "value": count})
        return int(result.scalar_one())

    async def find_workload(self, name: str) -> WorkloadRecord | None:
        """One workload, also if it is over."""
        rows = await self._read(queries.FIND_WORKLOAD, codec.workload, name=name)
        return rows[0] if rows else None

    async def find_workloads(self, names: Sequence[str]) -> Mapping[str, WorkloadRecord]:
        """Those of the named workloads that there are, by name."""
        found: dict[str, WorkloadRecord] = {}
        for first in range(0, len(names), NAMES_AT_ONCE):
            part = list(names[first : first + NAMES_AT_ONCE])
            found |= {w.name: w for w in await self._read(queries.FIND_WORKLOADS, codec.workload, names=part)}
        return found

    async def ended_workloads(self, *, after: str = "", limit: int = 100, queue: str = "") -> Sequence[WorkloadRecord]:
        """Workloads that are over, by name, from after the given name on."""
        if queue:
            query = queries.ENDED_WORKLOADS_OF_QUEUE
            return await self._read(query, codec.workload, after=after, limit=limit, queue=queue)
        return await self._read(queries.ENDED_WORKLOADS, codec.workload, after=after, limit=limit)

    async def history(self, workload: str, *, after: int = 0, limit: int = 500) -> Sequence[HistoryEntry]:
        """The history of one workload name, oldest first, from after entry number ``after`` on."""
        query = queries.HISTORY_OF_WORKLOAD
        return await self._read(query, codec.history_entry, workload=workload, after=after, limit=limit)

    async def events(self, *, after: int = 0, limit: int = 500) -> Sequence[HistoryEntry]:
        """The history of all workloads, oldest first, from after entry number ``after`` on."""
        return await self._read(queries.EVENTS, codec.history_entry, after=after, limit=limit)

    async def audit(self, *, since_s: float = 0.0, limit: int = 500) -> Sequence[AuditEntry]:
        """The audit trail from a time on, oldest first."""
        return await self._read(queries.AUDIT_TRAIL, codec.audit_entry, since_s=since_s, limit=limit)

    async def prune(self, before_s: float) -> int:
        """Forget what is older, a little at a time; returns how many rows."""
        forgotten = 0
        for query in queries.PRUNING:
            count = PRUNE_ROWS
            while count == PRUNE_ROWS:
                count = await self._write(query, before_s=before_s, limit=PRUNE_ROWS)
                forgotten += count
        return forgotten

    async def recall(self, key: str) -> Mapping[str, Any] | None:
        """The answer remembered under an idempotency key; None if none."""
        rows = await self._read(queries.RECALL, lambda row: codec.from_json(row[0]), key=key)
        return rows[0] if rows else None

    async def remember(self, key: str, answer: Mapping[str, Any], at_s: float) -> None:
        """Remember the answer to a request under its idempotency key."""
        await self._write(self._writes["answers"], key=key, answer=codec.to_json(answer), at_s=at_s)

    async def tokens(self) -> Sequence[Token]:
        """All local tokens, by name."""
        return await self._read(queries.ALL_TOKENS, codec.token)

    async def put_token(self, token: Token) -> None:
        """Add a token, or replace the one of the same name. Raises ValueError for anything but a SHA-256."""
        if not re.fullmatch("[0-9a-f]{64}", token.sha256):
            raise ValueError(
                f"token {token.name}: only the SHA-256 of a secret may be stored, as 64 hexadecimal digits"
            )
        await self._write(self._writes["tokens"], **codec.token_row(token))

    async def drop_token(self, name: str) -> bool:
        """Remove a token; False if there was none."""
        return await self._write(queries.DROP_TOKEN, key_name=name) > 0

    async def load_line(self, cluster: str) -> StoredLine:
        """All that is kept of one cluster's line, as of one instant."""
        async with self._reader.transaction("loading a line", snapshot=True) as connection:
            return await read_line(connection, cluster)

    async def commit_line(self, changes: LineChanges) -> None:
        """Write changes of lines in one transaction; without any, only see whether it could be done."""
        await self._writer.transact("writing a line", lambda connection: self._lines.write(connection, changes))

    async def close(self) -> None:
        """Let go of the database, after what is being written."""
        await self._writer.close()
        await self._reader.close()

    async def _read(self, query: Query, decode: Callable[[codec.Row], T], **values: Any) -> list[T]:
        async with self._reader.transaction(f"reading {query.name}") as connection:
            result = await connection.execute(query.statement, values)
            return [decode(row) for row in result]

    async def _write(self, query: Query, **values: Any) -> int:
        async def work(connection: AsyncConnection) -> int:
            return int((await connection.execute(query.statement, values)).rowcount)

        return await self._writer.transact(f"writing {query.name}", work)


async def upgrade(url: str) -> bool:
    """Bring the schema of a database up to date; False where it was. Raises StoreUnavailable (a daemon runs ...)."""
    address = Address.of(url)
    writer = Writer(address, answer_s=None)
    try:
        return await writer.transact("upgrading", lambda connection: connection.run_sync(migrate))
    finally:
        await writer.close()


@asynccontextmanager
async def _no_collections() -> AsyncIterator[None]:
    """Millions of new objects, none of them garbage: the collector would look through all of them again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


async def _nothing(connection: AsyncConnection) -> None:
    """To claim the database is all that opening does."""


async def _many(connection: AsyncConnection, query: Query, rows: Iterable[codec.Values]) -> None:
    """Run a query once for each row, a chunk at a time; the event loop gets its turn between."""
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        await connection.execute(query.statement, chunk)


async def _all(connection: AsyncConnection, query: Query, decode: Callable[[codec.Row], T]) -> list[T]:
    """Every row of a query, decoded a chunk at a time; the event loop gets its turn between."""
    found: list[T] = []
    result = await connection.stream(query.statement)
    async for rows in result.partitions(CHUNK):
        found.extend(map(decode, rows))
    return found
