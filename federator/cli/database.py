"""db upgrade, backup, restore; and which database commands speak of when they go past the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federator.cli.output import say
from federator.cli.running import run
from federator.cli.settings import ConfigOption, DatabaseOption, database_url
from federator.store import backup, restore, upgrade

app = typer.Typer(no_args_is_help=True, help="Look after the database.")


@app.command("upgrade")
def upgrade_database(config: ConfigOption = None, database: DatabaseOption = None) -> None:
    """Bring the schema of the database up to date. A daemon does it by itself when it starts."""
    changed = run(upgrade(database_url(config, database, make=True)))
    say("the schema is up to date now" if changed else "the schema was up to date")


@app.command("backup")
def backup_database(
    file: Annotated[Path, typer.Argument(help="Where to write the copy.")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Copy the database to a file; the daemon may go on meanwhile."""
    rows = run(backup(database_url(config, database), file))
    say(f"{rows} rows written to {file}")


@app.command("restore")
def restore_database(
    file: Annotated[Path, typer.Argument(help="The copy to restore.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also where the database holds something: it is lost.")
    ] = False,
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Make the database what a copy says, wholly or not at all. Stop the daemon first."""
    rows = run(restore(database_url(config, database, make=True), file, force=force))
    say(f"{rows} rows restored from {file}")
