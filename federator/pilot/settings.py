"""What a pilot is told, and how it is told on the command line."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

RUNTIMES = ("process", "apptainer", "podman")


@dataclass(frozen=True)
class Settings:
    """One pilot. What is None is found out (``resources``)."""

    url: str
    token: str
    spool: Path
    name: str = ""
    cluster: str = ""
    ca_file: str = ""
    cpu: float | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    runtimes: tuple[str, ...] | None = None
    data: tuple[str, ...] = ()
    """The names of inputs of workloads that are at hand here."""
    lifetime_s: float | None = None
    drain_s: float = 60.0
    """So long before the lifetime ends no more work is taken, and payloads are told to end."""
    grace_s: float = 10.0
    """From SIGTERM to SIGKILL of payloads where nobody says otherwise."""
    idle_s: float | None = None
    """End when there was no work for so long."""
    wait_s: float = 20.0
    """How long a request for work may wait at the server."""


def read_arguments(arguments: Sequence[str], program: str = "federator pilot") -> Settings:
    """The settings that a command line says. Ends the process with words where it is wrong."""
    parser = argparse.ArgumentParser(prog=program, description="Pulls work from a federator and runs it here.")
    add = parser.add_argument
    add("--url", required=True, help="the federator, e.g. https://federator.example.org:8443")
    add("--token-file", required=True, type=Path, help="the file with the token (role pilot); read once, at the start")
    add("--spool", type=Path, help="folder for payloads and results; default: a folder of this user's in TMPDIR")
    add("--name", default="", help="unique name; default: made once and kept in the spool")
    add("--cluster", default="", help="the cluster to work for; default: the site of the token")
    add("--ca-file", default="", help="certificates to trust instead of the system's")
    add("--cpu", type=float, help="cores to offer; default: those of the batch slot, cgroup or machine")
    add("--memory", help="memory to offer, e.g. 16Gi; default: likewise")
    add("--gpus", type=int, help="GPUs to offer; default: those that the batch system assigned, or nvidia-smi shows")
    add("--label", action="append", default=[], metavar="KEY=VALUE", help="a label of this pilot's flavor; repeatable")
    add("--runtime", action="append", choices=RUNTIMES, help="how payloads may be run; default: whatever is there")
    add("--data", action="append", default=[], metavar="NAME", help="an input of workloads that is at hand; repeatable")
    add(
        "--lifetime", type=float, metavar="SECONDS", help="how long this pilot lives; default: as the batch system says"
    )
    add("--drain", type=float, default=60.0, metavar="SECONDS", help="end payloads so long before the lifetime ends")
    add("--grace", type=float, default=10.0, metavar="SECONDS", help="from SIGTERM to SIGKILL")
    add("--idle", type=float, metavar="SECONDS", help="end after so long without work; default: never")
    given = parser.parse_args(arguments)
    token = _token(parser, given.token_file)
    labels = dict(_label(parser, text) for text in given.label)
    memory = _bytes(parser, given.memory) if given.memory else None
    return Settings(
        url=given.url.rstrip("/"),
        token=token,
        spool=(given.spool or _default_spool(given.url)).absolute(),
        name=given.name,
        cluster=given.cluster,
        ca_file=given.ca_file,
        cpu=given.cpu,
        memory_bytes=memory,
        gpus=given.gpus,
        labels=labels,
        runtimes=tuple(given.runtime) if given.runtime else None,
        data=tuple(given.data),
        lifetime_s=given.lifetime,
        drain_s=given.drain,
        grace_s=given.grace,
        idle_s=given.idle,
    )


def _token(parser: argparse.ArgumentParser, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        parser.error(f"--token-file: {error}")


def _label(parser: argparse.ArgumentParser, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        parser.error(f"--label: {text!r} is not KEY=VALUE")
    return key, value


def _bytes(parser: argparse.ArgumentParser, text: str) -> int:
    units = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    number = text.rstrip("kMGTi")
    try:
        return int(float(number) * units[text[len(number) :]])
    except (ValueError, KeyError):
        parser.error(f"--memory: {text!r} is not an amount of bytes (e.g. 16Gi)")


def _default_spool(url: str) -> Path:
    """A batch slot has a scratch folder of its own; else one per user and server."""
    scratch = os.environ.get("_CONDOR_SCRATCH_DIR") or os.environ.get("SLURM_TMPDIR")
    if scratch:
        return Path(scratch) / "federator-pilot"
    mark = "".join(c if c.isalnum() else "-" for c in url.partition("://")[2])
    return Path(tempfile.gettempdir()) / f"federator-pilot-{os.getuid()}-{mark}"


def default_name(spool: Path) -> str:
    """A name that is the same after a restart over the same spool."""
    kept = spool / "name"
    try:
        return kept.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        host = "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname()).strip("-") or "pilot"
        name = f"{host[:60]}-{os.urandom(4).hex()}"
        kept.write_text(name + "\n", encoding="ascii")
        return name


def python() -> str:
    """This interpreter, for the small programs that a pilot starts."""
    return sys.executable or "python3"
