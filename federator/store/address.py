"""Where the database is: the URL that operators write, and what the drivers want instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from federator.ports import StoreUnavailable

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
"""The scheme of a URL, and the driver that serves it."""

EXAMPLES = "sqlite:///federator.db, sqlite:////var/lib/federator/federator.db or postgresql://user:password@host/name"


@dataclass(frozen=True, slots=True)
class Address:
    """A database, by the URL its operator wrote.

    ``dialect`` is ``sqlite`` or ``postgresql``; ``path`` is SQLite's file (None for PostgreSQL). ``shown`` is the URL
    for messages: without the password.
    """

    dialect: str
    url: URL
    path: Path | None
    shown: str

    @staticmethod
    def of(text: str) -> Address:
        """Read ``sqlite:///path`` or ``postgresql://user:password@host/name``; raises StoreUnavailable for others."""
        try:
            url = make_url(text)
        except ArgumentError as error:
            # The text may hold a password, so it is not repeated.
            raise StoreUnavailable(f"the store's URL cannot be read; write {EXAMPLES}") from error
        scheme, _, _ = url.drivername.partition("+")
        if scheme not in DRIVERS:
            raise StoreUnavailable(f"no store is called {scheme!r}; write {EXAMPLES}")
        url = url.set(drivername=DRIVERS[scheme])
        dialect, _, _ = url.drivername.partition("+")
        shown = url.set(drivername=dialect).render_as_string(hide_password=True)
        if dialect == "sqlite":
            return _sqlite(url, shown)
        if "sslmode" in url.query:  # libpq's word, which operators know; the driver's own is ssl
            url = url.update_query_dict({"ssl": url.query["sslmode"]}).difference_update_query(["sslmode"])
        return Address(dialect, url, None, shown)


def _sqlite(url: URL, shown: str) -> Address:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StoreUnavailable(f"{shown} names no file, and what is not in a file is lost; write {EXAMPLES}")
    path = Path(url.database).expanduser().absolute()
    return Address("sqlite", url.set(database=str(path)), path, shown)
