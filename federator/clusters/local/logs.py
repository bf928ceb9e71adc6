"""Reads what replicas wrote."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from federator.clusters.local import layout, story
from federator.clusters.local.files import Files
from federator.ports import Clock, NoLogs

PIECE = 64 * 1024
_LOOK_S = 0.1


class State(NamedTuple):
    """Where a replica's output is, whether it is there yet, and whether no more will come."""

    path: str
    there: bool
    over: bool


def state(files: Files, intent_id: str, index: int) -> State:
    """Look at the replica's files. Raises NoLogs."""
    entry = files.entry(intent_id)
    if entry is None:
        raise NoLogs(f"{intent_id} is not here (any more)")
    replica = entry.story.replicas.get(index)
    path = layout.log_path(entry.path, index)
    there = os.path.exists(path)
    if replica is None and not there:
        raise NoLogs(f"replica {index} of {intent_id} has not started")
    return State(path, there, replica is not None and replica.phase == story.ENDED)


async def pieces(
    look: Callable[[str, int], Awaitable[State]],
    clock: Clock,
    intent_id: str,
    index: int,
    follow: bool,
    tail_lines: int | None,
) -> AsyncIterator[bytes]:
    """The output from the beginning or its last lines; with ``follow`` until the replica is over."""
    path, there, over = await look(intent_id, index)
    while not there:  # it has begun, and its output has not yet
        if over or not follow:
            return
        await clock.sleep(_LOOK_S)
        path, there, over = await look(intent_id, index)
    file = open(path, "rb")  # noqa: ASYNC230, SIM115 - a local file; closed below, when the reader goes away too
    try:
        if tail_lines is not None:
            file.seek(start_of_tail(path, tail_lines))
        while True:
            while piece := file.read(PIECE):
                yield piece
            if over or not follow:
                return
            await clock.sleep(_LOOK_S)
            try:
                # Asked before the next read: what was written before the end is read after it.
                _, _, over = await look(intent_id, index)
            except NoLogs:
                over = True
    finally:
        file.close()


def start_of_tail(path: str, lines: int) -> int:
    """The offset at which the last ``lines`` lines of a file begin."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        if lines <= 0:
            return end
        at, wanted = end, lines
        while at > 0:
            start = max(0, at - PIECE)
            file.seek(start)
            piece = file.read(at - start)
            # The newline that ends the file ends a line and begins none.
            stop = len(piece) - 1 if at == end and piece.endswith(b"\n") else len(piece)
            while (newline := piece.rfind(b"\n", 0, stop)) >= 0:
                wanted -= 1
                if wanted == 0:
                    return start + newline + 1
                stop = newline
            at = start
        return 0
