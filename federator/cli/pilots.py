"""pilot: the agent on a worker node. Its options are the agent's own, which also runs without this package."""

from __future__ import annotations

import typer

from federator.pilot.main import main


def pilot(context: typer.Context) -> None:
    """Pull work from a federator and run it on this machine (`federator pilot --help` lists its options)."""
    raise typer.Exit(main(context.args))
