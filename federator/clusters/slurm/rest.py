"""Slurm by slurmrestd, over a Unix socket or TCP. The token goes into a header and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from federator.clusters.slurm import records, refusals, tokens
from federator.clusters.slurm.jobs import Job
from federator.clusters.slurm.refusals import Gone, Unreachable
from federator.clusters.slurm.settings import SlurmSettings
from federator.ports import Clock

_AT_ONCE = 8
"""Calls that cancel at one time."""
_UNEXPLAINED = ("Unspecified error", "Zero Bytes were transmitted or received", "authentication")
"""What slurmrestd says both where slurmctld is away and where it accepts no token."""


class RestTransport:
    """The way in by slurmrestd."""

    def __init__(self, settings: SlurmSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        over_socket = settings.url.startswith("unix:")
        self._socket = settings.url.removeprefix("unix:") if over_socket else None
        host = "http://localhost" if over_socket else settings.url.rstrip("/")
        self._root = f"{host}/slurm/{settings.api}"
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session; connects to nothing yet."""
        connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector()
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def listing(self) -> records.Listing:
        """All that Slurm says now. Raises Unreachable."""
        jobs = await self._call("GET", "jobs")
        nodes, partitions = await asyncio.gather(self._call("GET", "nodes"), self._call("GET", "partitions"))
        told = records.partitions_of(partitions)
        return await asyncio.to_thread(records.listing_of, jobs, nodes, told)

    async def tasks(self) -> tuple[records.Task, ...]:
        """Jobs alone. Raises Unreachable."""
        return await asyncio.to_thread(records.tasks_of, await self._call("GET", "jobs"))

    async def submit(self, job: Job) -> int:
        """The id of the new array. Raises NoNode, OrderRefused, Unreachable."""
        said = await self._call("POST", "job/submit", {"job": _described(job), "script": job.script})
        if not isinstance(number := said.get("job_id"), int) or not number:
            raise Unreachable("slurmrestd took the job and told no id of it")
        return number

    async def cancel(self, jobs: Sequence[str]) -> None:
        """End jobs (``12``) or tasks (``12_3``); those that are gone are none. Raises Unreachable."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(job: str) -> None:
            async with turn:
                with contextlib.suppress(Gone):
                    await self._call("DELETE", f"job/{job}")

        await asyncio.gather(*map(one, jobs))

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        if self._session is None:
            raise Unreachable("the cluster is not open")
        try:
            url = f"{self._root}/{path}"
            token = self._token()
            async with self._session.request(method, url, json=body, headers=self._headers(token)) as answer:
                data = await answer.read()
                status = answer.status
        except TimeoutError as error:
            raise Unreachable(f"slurmrestd gave no answer within {self._settings.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"slurmrestd at {self._settings.url}: {error}") from error
        return await self._answer(status, data, path, token)

    async def _answer(self, status: int, data: bytes, path: str, token: str) -> Any:
        try:
            said = await asyncio.to_thread(json.loads, data)  # large ones take a while
        except ValueError:
            said = None
        if status == 401:
            raise Unreachable(f"slurmrestd does not let us in: {self._doubts(token) or 'check user and tokenFile'}")
        if not isinstance(said, dict):
            words = data[:200].decode(errors="replace")
            raise Unreachable(f"slurmrestd answered {path} with {status} and no JSON object: {words!r}")
        if errors := said.get("errors"):
            words = "; ".join(_words(error) for error in errors)
            if token and any(known in words for known in _UNEXPLAINED):
                file = self._settings.token_file
                unseen = f"slurmctld is away, or does not accept the token in tokenFile {file}: its log says which"
                raise Unreachable(f"{self._doubts(token) or unseen} (slurmrestd says: {words})")
            refusals.raise_for(words)
        if status >= 400:
            raise Unreachable(f"slurmrestd answered {path} with {status}")
        return said

    def _headers(self, token: str) -> dict[str, str]:
        headers = {"X-SLURM-USER-NAME": self._settings.user, "X-SLURM-USER-TOKEN": token}
        return {name: value for name, value in headers.items() if value}

    def _token(self) -> str:
        """As the file has it now; empty: there is none."""
        if not (file := self._settings.token_file):
            return ""
        try:
            words = Path(file).read_text("utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not text"
            raise Unreachable(f"tokenFile {file}: {why}") from error
        if len(words) != 1:
            raise Unreachable(f"tokenFile {file}: {len(words)} words are in it, and a token is one")
        return words[0].removeprefix("SLURM_JWT=")  # as scontrol prints it

    def _doubts(self, token: str) -> str:
        if not token:
            return ""
        told = tokens.doubts(token, self._settings.user, self._clock.now_s())
        return f"tokenFile {self._settings.token_file}: {told}" if told else ""


def _words(error: Mapping[str, Any]) -> str:
    return str(error.get("error") or "") + (f" ({told})" if (told := error.get("description")) else "")


def _described(job: Job) -> dict[str, Any]:
    # Without the signal: slurmrestd of 22.05 refuses one that is for the script alone.
    described: dict[str, Any] = {
        "name": job.name,
        "comment": job.comment,
        "array": job.array,
        "current_working_directory": job.directory,
        "standard_output": "/dev/null",
        "standard_error": "/dev/null",
        "environment": {"PATH": "/usr/local/bin:/usr/bin:/bin"},
        "partition": ",".join(job.partitions),
        "constraints": job.constraint,
        "account": job.account,
        "qos": job.qos,
        "tasks": 1,
        "cpus_per_task": job.cpus,
        "memory_per_node": job.memory_mib,
        "gres": f"gpu:{job.gpus}" if job.gpus else "",
        "time_limit": job.minutes,
    }
    # Memory 0 would be all of a node's.
    return {"requeue": False, **{name: value for name, value in described.items() if value}}
