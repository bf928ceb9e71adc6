"""The command tree, and the one place where an error becomes words on standard error and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from federator.cli.failures import INTERRUPTED, NO, UNREACHABLE, WRONG_INPUT, Failure
from federator.cli.output import complain

OWN_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
SERVER, WORK, FEDERATION, OFFLINE = "The daemon", "Work", "The federation", "Without a daemon"


@dataclass(frozen=True, slots=True)
class Command:
    """A command and where it lives. Only the module of the one that is asked for is imported: get needs no planner."""

    panel: str
    name: str
    module: str
    member: str
    group: bool = False
    own_options: bool = False
    """It reads what follows its name by itself."""


COMMANDS: tuple[Command, ...] = (
    Command(SERVER, "run", "run", "run_daemon"),
    Command(SERVER, "db", "database", "app", group=True),
    Command(SERVER, "token", "tokens", "app", group=True),
    Command(SERVER, "pilot", "pilots", "pilot", own_options=True),
    Command(SERVER, "intake", "intake", "intake"),
    Command(WORK, "submit", "changes", "submit"),
    Command(WORK, "explain", "workloads", "explain"),
    Command(WORK, "logs", "workloads", "logs"),
    Command(WORK, "cancel", "workloads", "cancel"),
    Command(WORK, "wait", "workloads", "wait"),
    Command(FEDERATION, "get", "objects", "get"),
    Command(FEDERATION, "describe", "objects", "describe_object"),
    Command(FEDERATION, "apply", "changes", "apply"),
    Command(FEDERATION, "delete", "changes", "delete"),
    Command(FEDERATION, "cordon", "clusters", "cordon"),
    Command(FEDERATION, "uncordon", "clusters", "uncordon"),
    Command(FEDERATION, "drain", "clusters", "drain"),
    Command(FEDERATION, "undrain", "clusters", "undrain"),
    Command(FEDERATION, "snapshot", "snapshots", "snapshot"),
    Command(OFFLINE, "plan", "planning", "plan"),
    Command(OFFLINE, "simulate", "simulating", "simulate_scenario"),
    Command(OFFLINE, "compare", "comparing", "compare"),
    Command(OFFLINE, "report", "reporting", "report"),
    Command(OFFLINE, "policy", "policies", "app", group=True),
    Command(OFFLINE, "trace", "traces", "app", group=True),
    Command(OFFLINE, "schema", "policies", "schema"),
)


def tree(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command that the arguments ask for, or all of them where that is not clear (help, a slip)."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Runs the work of many groups on many clusters, by policy.",
    )
    app.callback()(_top)
    asked = next(iter(arguments), "")
    wanted = [command for command in COMMANDS if command.name == asked] or COMMANDS
    for command in wanted:
        member = getattr(import_module(f"federator.cli.{command.module}"), command.member)
        if command.group:
            app.add_typer(member, name=command.name, rich_help_panel=command.panel)
        else:
            settings = OWN_OPTIONS if command.own_options else None
            app.command(command.name, rich_help_panel=command.panel, context_settings=settings)(member)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"federator {version('federator')}\n")
        raise typer.Exit


def _top(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Runs the work of many groups on many clusters, by policy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    _open_what_is_closed()
    return execute(sys.argv[1:] if arguments is None else arguments)


def _open_what_is_closed() -> None:
    """A standard stream that the shell closed (``>&-``) leads nowhere, and its number is given to no other file."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (open to the end)


def execute(arguments: Sequence[str]) -> int:
    """Run one command to its end; its exit status. Whoever reads its output may leave at any time."""
    status = 0
    try:
        status = _status(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # They have seen enough. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _status(arguments: Sequence[str]) -> int:
    """Run one command; its exit status. Raises BrokenPipeError where nobody reads what it writes."""
    try:
        tree(arguments)(args=list(arguments), prog_name="federator")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            # The libraries make status 1 of it, whether they were showing help or a slip, which has a status.
            return getattr(end.__context__.__context__, "exit_code", 0)
        return end.code if isinstance(end.code, int) else NO
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Failure as failure:
        complain(f"error: {failure}")
        return failure.status
    except Exception as error:
        status = _tell(error)
        if status is None:
            raise
        return status
    return 0


def _tell(error: Exception) -> int | None:
    """Say what went wrong in the layers below, and give the exit status; None for what nobody expected.

    Imported here, because whoever raised such an error has imported it already, and all others need not.
    """
    from federator.documents import DocumentErrors
    from federator.ports import StoreRefused, StoreUnavailable

    if isinstance(error, DocumentErrors):
        for problem in error.problems:
            complain(f"error: {problem}")
        return WRONG_INPUT
    if isinstance(error, StoreUnavailable):
        complain(f"error: {error}")
        return WRONG_INPUT if isinstance(error, StoreRefused) else UNREACHABLE
    if isinstance(error, OSError):
        words = f"{error.filename}: {error.strerror.lower()}" if error.filename and error.strerror else str(error)
        complain(f"error: {words}")
        return WRONG_INPUT
    from federator.store import BackupUnusable

    if isinstance(error, BackupUnusable):
        complain(f"error: {error}")
        return WRONG_INPUT
    return None
