"""Reads what replicas wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from federator.clusters.slurm.files import PIECE, Files
from federator.clusters.slurm.records import ENDED, RUNNING
from federator.ports import Clock, NoLogs

_LOOK_S = 1.0


async def pieces(
    files: Files,
    phase: Callable[[], Awaitable[str]],
    clock: Clock,
    intent_id: str,
    index: int,
    follow: bool,
    tail_lines: int | None,
) -> AsyncIterator[bytes]:
    """The output from the beginning, or its last lines (of the last MiB); with ``follow`` until the replica is over.

    ``phase`` tells whether it waits, runs or has ended. Raises NoLogs.
    """
    size = await files.size(intent_id, index)
    if size is None and await phase() != RUNNING:
        raise NoLogs(f"replica {index} of {intent_id} has not started, or its output is gone")
    at, size = 0, size or 0
    if tail_lines is not None:
        begin = max(0, size - PIECE)
        last = last_lines(await files.read(intent_id, index, begin), tail_lines)
        at = size
        if last:
            yield last
    while True:
        # Asked before the read: what was written before the end is read after it.
        ended = not follow or await phase() == ENDED
        while piece := await files.read(intent_id, index, at):
            at += len(piece)
            yield piece
        if ended:
            return
        await clock.sleep(_LOOK_S)


def last_lines(data: bytes, count: int) -> bytes:
    """The last so many lines."""
    lines = data.splitlines(keepends=True)
    return b"".join(lines[max(0, len(lines) - count) :])
