"""One federator for a database: a second one would send every workload twice."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from federator.ports import StoreRefused, StoreUnavailable
from federator.store.address import Address

ADVISORY_KEY = 0x66656465_7261746F
"""The number of the advisory lock: ``federato`` in ASCII. Advisory locks are separate in each database."""

_held_here: set[Path] = set()


class FileLock:
    """The claim to an SQLite file, as a lock on ``FILE.lock`` beside it.

    The kernel drops it however the process ends. It is a POSIX record lock, because those do not pass on to a forked
    child: a worker process that outlives a killed daemon must not keep the next one from starting. Such a lock knows
    processes only, so claims within one process are kept in a set. The file itself stays; it means nothing unlocked.
    """

    def __init__(self, address: Address) -> None:
        assert address.path is not None
        self._shown = address.shown
        self._path = address.path.with_name(address.path.name + ".lock").resolve()
        self._file: int | None = None

    def take(self) -> None:
        """Take the lock, or raise StoreRefused naming the process that has it. Taking it again does nothing."""
        if self._file is not None:
            return
        if self._path in _held_here:
            # Opening and closing the lock file here would drop the lock of the store that has it.
            raise StoreRefused(taken(self._shown, f"this very process, {os.getpid()}"))
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"{self._shown}: cannot open {self._path}: {error.strerror}; its folder must exist and belong to the "
                "federator's user"
            ) from error
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(file, 100, 0).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise StoreRefused(taken(self._shown, f"process {holder}")) from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file
        _held_here.add(self._path)

    def release(self) -> None:
        """Let others have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            _held_here.discard(self._path)


async def take_advisory_lock(connection: AsyncConnection, address: Address) -> None:
    """Take PostgreSQL's advisory lock for the life of this connection, or raise StoreRefused."""
    got = await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_KEY})
    if got:
        await connection.commit()
        return
    holder = await connection.scalar(
        text(
            "SELECT a.application_name || ', process ' || a.pid || ' of the server, since ' || a.backend_start"
            " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.database = a.datid"
            " AND a.datname = current_database() AND ((l.classid::bigint << 32) | l.objid::bigint) = :key"
        ),
        {"key": ADVISORY_KEY},
    )
    await connection.rollback()
    raise StoreRefused(taken(address.shown, holder or "it has just gone; try again"))


def taken(shown: str, holder: str) -> str:
    """What a second federator is told."""
    return f"another federator holds {shown} ({holder}); stop it first, or give this one a database of its own"
