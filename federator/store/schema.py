"""Which schema a database has, and how it gets the present one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from federator.ports import StoreRefused
from federator.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0003"
"""The newest migration; a test proves it. Written here so that a start without any to run need not load alembic."""

_MIGRATIONS = Path(__file__).parent / "migrations"


def revision(connection: Connection) -> str:
    """The schema that the database has; empty where it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.scalar(text("SELECT version_num FROM alembic_version")) or ""


def migrate(connection: Connection, target: str = HEAD) -> bool:
    """Bring the schema up to ``target``, inside the transaction under way; False where nothing was to be done.

    Raises StoreRefused where the database is of a newer program, or holds tables of something else.
    """
    current = revision(connection)
    if current == target:
        return False
    if not current:
        strangers = sorted(set(inspect(connection).get_table_names()) & set(metadata.tables))
        if strangers:
            raise StoreRefused(
                f"the database already has tables called {', '.join(strangers)} that no federator made; "
                "give the federator a database of its own"
            )
    elif not known(current):
        raise StoreRefused(
            f"the database has schema {current}, this program knows schemas up to {HEAD}: it was used by a newer "
            "federator; install that one, or restore a backup made with this one"
        )
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)
    return True


def known(name: str) -> bool:
    """Whether this program has a migration of that name."""
    from alembic.script import ScriptDirectory

    return name in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def clear(connection: Connection) -> None:
    """Remove our tables and all that is in them, inside the transaction under way."""
    metadata.drop_all(connection)
    connection.execute(text("DROP TABLE IF EXISTS alembic_version"))


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
