"""Processes that a replica started and left behind. Standard library only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping

from federator import processes
from federator.clusters.local.layout import MARKER


def adopted(directory: str, leaders: Mapping[int, int]) -> dict[int | None, list[int]]:
    """Live orphans that came to this supervisor, by the index of their replica (None: cannot be told).

    ``leaders``: the first process of each replica that runs, and its index.
    """
    found: dict[int | None, list[int]] = {}
    for pid in processes.children(os.getpid()):
        if pid not in leaders and processes.birth(pid) is not None:
            found.setdefault(_owner(pid, directory, leaders), []).append(pid)
    return found


def _owner(pid: int, directory: str, leaders: Mapping[int, int]) -> int | None:
    marker = processes.marker_of(pid, MARKER) or ""
    if marker.startswith(directory + "/"):
        return int(marker[len(directory) + 1 :])
    # Started with an environment of its own, but still in the session that its replica leads.
    return leaders.get(processes.session(pid) or 0)


def end_adopted() -> None:
    """Kill all processes that came to this supervisor, and wait until they are gone."""
    while left := [pid for pid in processes.children(os.getpid()) if processes.birth(pid) is not None]:
        processes.send(processes.family(left), signal.SIGKILL)
        time.sleep(0.01)


def end_leftovers(directory: str, leaders: Mapping[int, int]) -> None:
    """Kill what runs of an intent that has no supervisor, and wait until it is gone.

    ``leaders``: first processes and their births; a process id of another birth is somebody else. Their sessions are
    looked for too, because an environment can be emptied; the kernel gives no id of a session that has members to
    anybody else.
    """
    while True:
        sessions = {pid for pid, birth in leaders.items() if processes.birth(pid) in (birth, None)}
        left = [pid for pid in processes.everybody() if processes.session(pid) in sessions]
        left = [pid for pid in left + processes.marked(MARKER, directory + "/") if processes.birth(pid) is not None]
        if not left:
            return
        processes.send(processes.family(left), signal.SIGKILL)
        time.sleep(0.02)
