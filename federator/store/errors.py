"""What went wrong with the database, in words with a cure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from asyncpg.exceptions import InterfaceError, PostgresError
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from federator.ports import StoreUnavailable
from federator.store.address import Address

SQLITE_CURES = {
    "SQLITE_BUSY": "another program holds a lock on it; end that program (a shell or a copy left open?)",
    "SQLITE_LOCKED": "another program holds a lock on it; end that program (a shell or a copy left open?)",
    "SQLITE_FULL": "no room is left on its disk; free some, and work goes on by itself",
    "SQLITE_READONLY": "it cannot be written; the file and its folder must belong to the federator's user",
    "SQLITE_PERM": "it cannot be written; the file and its folder must belong to the federator's user",
    "SQLITE_CANTOPEN": "the file cannot be opened; its folder must exist and belong to the federator's user",
    "SQLITE_IOERR": "its disk reports an error; look at the machine's log, then restore a backup if needed",
    "SQLITE_CORRUPT": "the file is damaged; restore a backup with 'federator db restore'",
    "SQLITE_NOTADB": "the file is no SQLite database; is the path right?",
}
"""By the first two words of SQLite's extended result code."""

POSTGRES_CURES = {
    "28": "it refuses the user or the password; correct them in the URL of the store",
    "3D": "there is no database of this name; make it with 'createdb'",
    "42501": "the user may not do that; make the user the owner of the database",
    "42P01": "its tables are not those of a federator; restore a backup with 'federator db restore'",
    "25006": "it is read-only (a standby?); give the URL of the primary",
    "53100": "no room is left on its disk; free some, and work goes on by itself",
    "53300": "it has no connection left; raise max_connections or end idle clients",
    "57": "it is stopping or starting; work goes on when it is back",
    "08": "the connection broke; work goes on when it is back",
    "55P03": "another program holds a lock on its tables; end that program",
}
"""By SQLSTATE, or by its class (the first two characters)."""

_MISTAKES = (IntegrityError, ProgrammingError)


@contextmanager
def translated(address: Address, doing: str) -> Iterator[None]:
    """Raise ``StoreUnavailable`` with a cure for whatever a driver raises inside."""
    try:
        yield
    except (SQLAlchemyError, PostgresError, InterfaceError, sqlite3.Error, OSError, TimeoutError) as error:
        raise StoreUnavailable(wording(address, doing, error)) from error


def wording(address: Address, doing: str, error: Exception) -> str:
    """One sentence: which database, what was being done, what it said, and what to do about it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = str(_root(cause)).strip().splitlines()
    detail = said[0] if said else type(cause).__name__
    return f"{address.shown}, {doing}: {detail}: {_cure(cause, error)}"


def _root(cause: BaseException) -> BaseException:
    """What the driver itself raised; SQLAlchemy's adapters wrap it once more. (Of a time-out: itself.)"""
    while isinstance(cause.__cause__, Exception):
        cause = cause.__cause__
    return cause


def _cure(cause: BaseException, error: Exception) -> str:
    root = _root(cause)
    code = "_".join(str(getattr(root, "sqlite_errorname", "")).split("_")[:2])
    if code in SQLITE_CURES:
        return SQLITE_CURES[code]
    state = str(getattr(root, "sqlstate", None) or "")
    for key in (state, state[:2]):
        if key in POSTGRES_CURES:
            return POSTGRES_CURES[key]
    if isinstance(root, TimeoutError):
        return "it did not answer in time; work goes on when it does"
    if isinstance(root, OSError):
        return "it does not answer; is it running, and are host and port right?"
    if isinstance(error, _MISTAKES):
        return "the database and this program disagree; look at 'federator db upgrade'"
    return "the connection failed; work goes on when it is back"
