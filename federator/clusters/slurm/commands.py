"""Slurm by its own commands, over a prefix such as ``ssh login.site``. Needs ``--json`` (Slurm 21.08 or newer) there.

A prefix may end in a shell (ssh joins its words and gives them to one) or not (sudo): so every word that we add means
the same to both, and everything of a user's goes through standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Sequence
from typing import Any

from federator.clusters.slurm import records, refusals
from federator.clusters.slurm.jobs import SAFE, Job
from federator.clusters.slurm.refusals import Gone, Unreachable

_AT_ONCE = 200
"""Job ids for one command."""
_NO_WAY_IN = 255
"""How ssh ends where it could not connect."""


class Failed(Exception):
    """A command ended with another status than 0; its words are what it wrote to standard error."""


class Commands:
    """Runs single commands."""

    def __init__(self, prefix: Sequence[str], timeout_s: float) -> None:
        self._prefix = tuple(prefix)
        self._timeout_s = timeout_s

    async def run(self, *words: str, given: str | None = None) -> bytes:
        """What the command prints; ``given`` is its standard input. Raises Failed, Unreachable."""
        if unsafe := [word for word in words if not SAFE.fullmatch(word)]:
            raise ValueError(f"words that a shell could take for something else: {unsafe}")
        try:
            process = await asyncio.create_subprocess_exec(
                *self._prefix,
                *words,
                stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Unreachable(f"{(*self._prefix, *words)[0]} cannot be run: {error.strerror}") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                said, complaint = await process.communicate(None if given is None else given.encode())
        except TimeoutError as error:
            raise Unreachable(f"{words[0]} did not end within {self._timeout_s:g} s") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        words_told = complaint.decode(errors="replace").strip()[-2000:]
        if process.returncode == _NO_WAY_IN:
            raise Unreachable(_shut_out(words_told or f"{' '.join(self._prefix)} lost its connection"))
        if process.returncode:
            raise Failed(words_told or f"{words[0]} ended with {process.returncode}")
        return said


def _shut_out(words: str) -> str:
    """What ssh said, and the cure where it does not name one."""
    cure = "put the key of that host into the known_hosts of the daemon's user, after looking that it is the right one"
    return f"{words} ({cure})" if "Host key verification failed" in words else words


class CommandTransport:
    """The way in by commands."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def open(self) -> None:
        """Nothing is kept open."""

    async def close(self) -> None:
        """Nothing is kept open."""

    async def listing(self) -> records.Listing:
        """All that Slurm says now. Raises Unreachable."""
        jobs = await self._json("squeue", "--json")
        told = self._json("sinfo", "--json"), self._said("sinfo", "--noheader", "--format=%P,%a,%M,%p")
        nodes, text = await asyncio.gather(*told)
        return await asyncio.to_thread(records.listing_of, jobs, nodes, records.partitions_told(text))

    async def tasks(self) -> tuple[records.Task, ...]:
        """Jobs alone. Raises Unreachable."""
        return await asyncio.to_thread(records.tasks_of, await self._json("squeue", "--json"))

    async def submit(self, job: Job) -> int:
        """The id of the new array. Raises NoNode, OrderRefused, Unreachable."""
        said = await self._said("sbatch", "--parsable", given=_with_options(job))
        number = said.strip().partition(";")[0]
        if not number.isdigit():
            raise Unreachable(f"sbatch said {said[:200]!r}, which is no job id")
        return int(number)

    async def cancel(self, jobs: Sequence[str]) -> None:
        """End jobs (``12``) or tasks (``12_3``); those that are gone are none. Raises Unreachable."""
        for at in range(0, len(jobs), _AT_ONCE):
            with contextlib.suppress(Gone):
                await self._said("scancel", *jobs[at : at + _AT_ONCE])

    async def _said(self, *words: str, given: str | None = None) -> str:
        try:
            return (await self._commands.run(*words, given=given)).decode(errors="replace")
        except Failed as error:
            refusals.raise_for(str(error))

    async def _json(self, *words: str) -> Any:
        text = await self._said(*words)
        try:
            return await asyncio.to_thread(json.loads, text)
        except ValueError as error:
            raise Unreachable(f"{' '.join(words)} printed no JSON: {text[:200]!r}") from error


def _with_options(job: Job) -> str:
    """The script with its options, as sbatch reads them."""
    options = {
        "job-name": job.name,
        "comment": job.comment,
        "array": job.array,
        "chdir": job.directory,
        "output": "/dev/null",
        "partition": ",".join(job.partitions),
        "constraint": f'"{job.constraint}"' if job.constraint else "",
        "account": job.account,
        "qos": job.qos,
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(job.cpus),
        "mem": f"{job.memory_mib}M" if job.memory_mib else "",
        "gres": f"gpu:{job.gpus}" if job.gpus else "",
        "time": "" if job.minutes is None else str(job.minutes),
        "signal": job.signal,
        "export": "NONE",
    }
    first, _, rest = job.script.partition("\n")
    lines = [f"#SBATCH --{name}={value}" for name, value in options.items() if value]
    return "\n".join((first, *lines, "#SBATCH --no-requeue", rest))
