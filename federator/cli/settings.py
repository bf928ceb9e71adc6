"""The configuration file and the database, as commands that run without a server find them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federator.documents import read_configuration

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="The daemon's Configuration file.", rich_help_panel="Database")
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="FEDERATOR_DATABASE",
        help="sqlite:///FILE or postgresql://USER@HOST/NAME.",
        rich_help_panel="Database",
    ),
]


def database_url(config: Path | None, database: str | None, *, make: bool = False) -> str:
    """The database that the options mean; by default that of ``federator run``. Raises DocumentErrors.

    ``make``: it need not be there yet, so make the folder that it belongs in.
    """
    if database:
        return database
    configuration = read_configuration(config)
    if make:
        configuration.state_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return configuration.database_url
