"""Connections: many that read, and the one that writes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from federator.ports import StoreUnavailable
from federator.store.address import Address
from federator.store.errors import translated
from federator.store.locks import FileLock, take_advisory_lock

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
BUSY_TIMEOUT_S = 5.0
"""How long SQLite waits for another program's lock."""

PRAGMAS = (
    "journal_mode = WAL",  # readers do not wait for the writer, nor it for them
    "synchronous = FULL",  # what was acknowledged survives a power cut; NORMAL may lose the last commits of a WAL
    "temp_store = MEMORY",
)


def read_engine(address: Address, answer_s: float | None) -> AsyncEngine:
    """Connections for reading. ``answer_s``: how long a PostgreSQL statement may take (None: for ever)."""
    # A pooled connection may have died with the server; SQLite's cannot.
    return _engine(address, answer_s, "BEGIN", pool_size=4, pool_pre_ping=address.path is None)


def write_engine(address: Address, answer_s: float | None) -> AsyncEngine:
    """Connections for writing; closed when let go, and PostgreSQL's advisory lock with them."""
    # IMMEDIATE waits for other programs at the start; a transaction that turns to writing midway could only fail.
    return _engine(address, answer_s, "BEGIN IMMEDIATE", poolclass=NullPool)


def _engine(address: Address, answer_s: float | None, begin: str, **options: Any) -> AsyncEngine:
    if address.path is not None:
        engine = create_async_engine(address.url, connect_args={"timeout": BUSY_TIMEOUT_S}, **options)
        _make_transactions_explicit(engine, begin)
        return engine
    settings = {
        "application_name": f"federator on {socket.gethostname()}, process {os.getpid()}",
        # A daemon whose machine has died must not hold the advisory lock for the two hours that TCP would take.
        "tcp_keepalives_idle": "15",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
    arguments = {"timeout": CONNECT_TIMEOUT_S, "command_timeout": answer_s, "server_settings": settings}
    return create_async_engine(address.url, connect_args=arguments, **options)


def _make_transactions_explicit(engine: AsyncEngine, begin: str) -> None:
    """Begin SQLite's transactions ourselves: its driver would begin late, and never for reading or for DDL."""

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            for pragma in PRAGMAS:
                cursor.execute(f"PRAGMA {pragma}")
        finally:
            cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


class Reader:
    """Connections that read, a few at a time."""

    def __init__(self, address: Address, answer_s: float | None = 30.0) -> None:
        self._address = address
        self._engine = read_engine(address, answer_s)

    @asynccontextmanager
    async def transaction(self, doing: str, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that reads. ``snapshot``: all of its queries see one and the same state."""
        with translated(self._address, doing):
            async with self._engine.connect() as connection:
                if snapshot and self._address.path is None:  # SQLite's transactions always do
                    await connection.execution_options(isolation_level="REPEATABLE READ")
                async with connection.begin():
                    yield connection

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


class Writer:
    """The one connection that writes, and the claim that no other federator writes to the database.

    The claim hangs on the connection (PostgreSQL) or on this process (SQLite), and every write goes through it: a
    writer that has lost its claim cannot write. ``on_claim`` runs in the first transaction after a claim; it raises
    where the database is no longer as this writer left it.
    """

    def __init__(
        self,
        address: Address,
        on_claim: Callable[[AsyncConnection], Awaitable[None]] | None = None,
        answer_s: float | None = 30.0,
    ) -> None:
        self._address = address
        self._on_claim = on_claim
        self._engine = write_engine(address, answer_s)
        self._lock = FileLock(address) if address.path else None
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection | None = None
        self._file_number: int | None = None

    async def transact(self, doing: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do some work in one transaction, after all that was asked for before; raises StoreUnavailable.

        A caller that is cancelled stops waiting; its transaction goes on to its end, and is never left half done.
        """
        return await asyncio.shield(asyncio.ensure_future(self._transact(doing, work)))

    async def _transact(self, doing: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._turn:
            with translated(self._address, doing):
                connection = await self._claimed()
                try:
                    async with connection.begin():
                        return await work(connection)
                except DBAPIError as error:
                    if error.connection_invalidated or connection.invalidated:
                        await self._let_go()
                    raise
                except (OSError, TimeoutError):
                    await self._let_go()  # the driver no longer knows what the server has done
                    raise

    async def _claimed(self) -> AsyncConnection:
        """The connection, with a claim; a new one where the last was lost."""
        if self._lock is not None:
            self._lock.take()
            self._see_that_the_file_is_there()
        if self._connection is not None:
            return self._connection
        connection = await self._engine.connect()
        try:
            if self._lock is None:
                await take_advisory_lock(connection, self._address)
            if self._on_claim is not None:
                async with connection.begin():
                    await self._on_claim(connection)
        except BaseException:
            await connection.invalidate()
            await connection.close()
            raise
        self._connection = connection
        return connection

    def _see_that_the_file_is_there(self) -> None:
        """SQLite goes on writing to a file that was removed or replaced; what it writes there is lost.

        An existing file is only looked at, never opened: closing it would drop SQLite's own locks on it.
        """
        assert self._address.path is not None
        path = self._address.path
        try:
            if self._file_number is None and not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            number = path.stat().st_ino
        except OSError as error:
            raise StoreUnavailable(
                f"{self._address.shown}: {path}: {error.strerror}; the file and its folder must be there and belong "
                "to the federator's user"
            ) from error
        if self._file_number not in (None, number):
            raise StoreUnavailable(
                f"{self._address.shown}: {path} was replaced while in use; put the old file back, or stop and start"
            )
        self._file_number = number

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def close(self) -> None:
        """Give up the claim, after what is being written."""
        async with self._turn:
            connection, self._connection = self._connection, None
            try:
                if connection is not None:
                    await connection.close()
                await self._engine.dispose()
            finally:
                if self._lock is not None:
                    self._lock.release()
