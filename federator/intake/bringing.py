"""What jobs wrote, to where it belongs: many at a time, and those of one owner together."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from federator.intake.ads import Job, Unfit
from federator.intake.sides import Files, NotWritten, OutputGone, OutputLater, Server

AT_ONCE = 32
"""So many questions to the federator are under way."""
SMALL_BYTES = 256 * 1024
"""Output up to this is held in memory and written with that of other jobs; more is written as it comes."""
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the output of a job that has ended."""

    settled: bool = True
    """Whether the job can be told that it has ended; if not, its output can be had later."""
    note: str = ""
    """What its owner should know."""
    refused: str = ""
    """Why it could not be written."""


@dataclass(frozen=True, slots=True)
class _Small:
    """A whole output that is yet to be written."""

    whole: bytes


async def at_once(act: Callable[[T], Awaitable[U]], items: Iterable[T], most: int = AT_ONCE) -> list[U]:
    """What ``act`` gives for each, in order; at most so many at a time. After an error nothing goes on."""
    gate = asyncio.Semaphore(most)

    async def one(item: T) -> U:
        async with gate:
            return await act(item)

    tasks = [asyncio.create_task(one(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def bring(files: Files, server: Server, jobs: Sequence[Job]) -> list[Outcome]:
    """What each job wrote, to where it belongs. Nothing remembers that it was: it may happen twice."""
    fetched = await at_once(lambda job: _fetched(files, server, job), jobs)
    small = [(job, found.whole) for job, found in zip(jobs, fetched, strict=True) if isinstance(found, _Small)]
    written = iter(await _written(files, small))
    return [next(written) if isinstance(found, _Small) else found for found in fetched]


async def _fetched(files: Files, server: Server, job: Job) -> _Small | Outcome:
    """The output of a job, if it is small; else it is written, and this is what became of it."""
    pieces = server.output(job.workload)
    begun, size = [], 0
    try:
        async for piece in pieces:
            begun.append(piece)
            size += len(piece)
            if size > SMALL_BYTES:
                return await _each(files, job, _chained(begun, pieces))
    except OutputLater:
        return Outcome(settled=False)
    except OutputGone:
        return Outcome(note="what it wrote is kept nowhere any more")
    return _Small(b"".join(begun))


async def _written(files: Files, outputs: Sequence[tuple[Job, bytes]]) -> list[Outcome]:
    """Small outputs: those of one owner together; what that could not do is done file by file, which tells why."""
    of_owners: dict[str, dict[Path, bytes]] = defaultdict(dict)
    for job, whole in outputs:
        of_owners[job.owner] |= dict(zip(job.outputs, (whole, *[b""] * len(job.outputs)), strict=False))
    done = dict(zip(of_owners, await at_once(lambda one: files.together(*one), of_owners.items()), strict=True))

    async def finished(output: tuple[Job, bytes]) -> Outcome:
        job, whole = output
        if done[job.owner].issuperset(job.outputs):
            return Outcome()
        return await _each(files, job, _chained([whole] if whole else []))

    return await at_once(finished, outputs)


async def _each(files: Files, job: Job, pieces: AsyncIterator[bytes]) -> Outcome:
    """The files of one job, one by one."""
    whole, *empty = job.outputs
    try:
        await files.write(job, whole, pieces)
        for path in empty:
            await files.write(job, path, _chained([]))
    except OutputLater:
        return Outcome(settled=False)
    except (NotWritten, Unfit) as error:
        return Outcome(refused=str(error))
    return Outcome()


async def _chained(begun: Sequence[bytes], rest: AsyncIterator[bytes] | None = None) -> AsyncIterator[bytes]:
    for piece in begun:
        yield piece
    if rest is not None:
        async for piece in rest:
            yield piece
