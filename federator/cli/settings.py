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


def database_url(config: Path | None, database: str | None) -> str:
    """The database that the options mean; by default that of ``federator run``. Raises DocumentErrors."""
    return database or read_configuration(config).database_url
