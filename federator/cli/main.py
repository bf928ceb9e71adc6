"""The command tree, and the one place where an error becomes words on standard error and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from federator.cli import clusters, database, objects, planning, run, snapshots, tokens, workloads
from federator.cli.failures import INTERRUPTED, NO, UNREACHABLE, WRONG_INPUT, Failure
from federator.cli.output import complain
from federator.documents import DocumentErrors
from federator.ports import StoreUnavailable
from federator.store import BackupUnusable

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Runs the work of many groups on many clusters, by policy.",
)

SERVER, WORK, FEDERATION, OFFLINE = "The daemon", "Work", "The federation", "Without a daemon"
app.command(rich_help_panel=SERVER)(run.run_daemon)
for name, command in (
    ("submit", workloads.submit),
    ("explain", workloads.explain),
    ("logs", workloads.logs),
    ("cancel", workloads.cancel),
    ("wait", workloads.wait),
):
    app.command(name, rich_help_panel=WORK)(command)
for name, command in (
    ("get", objects.get),
    ("describe", objects.describe_object),
    ("apply", objects.apply),
    ("delete", objects.delete),
    ("cordon", clusters.cordon),
    ("uncordon", clusters.uncordon),
    ("drain", clusters.drain),
    ("undrain", clusters.undrain),
    ("snapshot", snapshots.snapshot),
):
    app.command(name, rich_help_panel=FEDERATION)(command)
app.command("plan", rich_help_panel=OFFLINE)(planning.plan)
app.command("schema", rich_help_panel=OFFLINE)(planning.schema)
app.add_typer(planning.policy_app, name="policy", rich_help_panel=OFFLINE)
app.add_typer(database.app, name="db", rich_help_panel=SERVER)
app.add_typer(tokens.app, name="token", rich_help_panel=SERVER)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"federator {version('federator')}\n")
        raise typer.Exit


@app.callback()
def _top(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point."""
    sys.exit(execute(sys.argv[1:] if arguments is None else arguments))


def execute(arguments: Sequence[str]) -> int:
    """Run one command to its end; its exit status."""
    try:
        app(args=list(arguments), prog_name="federator")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else NO
    except Failure as failure:
        complain(f"error: {failure}")
        return failure.status
    except DocumentErrors as errors:
        for problem in errors.problems:
            complain(f"error: {problem}")
        return WRONG_INPUT
    except BackupUnusable as error:
        complain(f"error: {error}")
        return WRONG_INPUT
    except StoreUnavailable as error:
        complain(f"error: {error}")
        return UNREACHABLE
    except BrokenPipeError:
        # Whoever read our output has seen enough. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
