"""One replica that runs: stopping it, watching its memory, and what its end means. Standard library only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from typing import Any

from federator import processes
from federator.clusters.local import layout
from federator.clusters.local.payload import Held
from federator.expansion import CHECKPOINT_DIR, environment, expand

LEFT = "Left"
"""The reason of an end that was asked for: not a failure."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNLIMITED = 1 << 62
SOON_S = 0.02
"""When to look again at what was killed, or at orphans that end."""


class Running:
    """A replica's first process and all that came of it.

    Times are of the monotonic clock. The replica is over when its first process has ended and nothing that it
    started is left; who asked for an end (``stop``) says why, else the exit status does.
    """

    def __init__(self, index: int, pid: int, time_limit_s: float | None, memory_bytes: int) -> None:
        self.index = index
        self.pid = pid
        self.since = time.monotonic()
        self.memory_bytes = memory_bytes
        self.time_limit_s = time_limit_s
        self.status: int | None = None
        self.cpu_s = 0.0
        """What its first process has used, with all that it has waited for; known when that has ended."""
        self.why = ""
        self.message = ""
        self.kill_at: float | None = None
        self._killed = False

    def stop(self, why: str, message: str, grace_s: float, strays: Iterable[int]) -> None:
        """Ask everything of the replica to end; kill it after the grace. A second call can only bring that forward."""
        kill_at = time.monotonic() + grace_s
        if self.kill_at is None:
            self.why, self.message = why, message
            self.kill_at = kill_at
            self._signal(signal.SIGTERM if grace_s > 0 else signal.SIGKILL, strays)
        self.kill_at = min(self.kill_at, kill_at)

    def step(self, strays: list[int]) -> bool:
        """Do what is due; True once the replica is over. ``strays``: live orphans of it that the supervisor adopted."""
        late = self.kill_at is not None and time.monotonic() >= self.kill_at
        if self.status is None:
            if late:
                self._signal(signal.SIGKILL, strays)
                self._killed = True
            return False
        # As in a container: when the first process ends by itself, the others have no time left.
        if strays and (late or self.kill_at is None):
            processes.send(processes.family(strays), signal.SIGKILL)
        return not strays

    @property
    def overdue(self) -> bool:
        """Whether the time limit is over and nobody has asked the replica to end yet."""
        return (
            self.kill_at is None
            and self.status is None
            and self.time_limit_s is not None
            and time.monotonic() >= self.since + self.time_limit_s
        )

    @property
    def complete(self) -> bool:
        """Whether it has ended well, by itself."""
        return self.status == 0 and not self.why

    def too_big(self, strays: list[int]) -> int:
        """The bytes the replica holds, if they are more than it may; else 0."""
        pids = processes.family([self.pid, *strays])
        if processes.resident_bytes(pids) <= self.memory_bytes:
            return 0
        held = processes.proportional_bytes(pids)
        return held if held > self.memory_bytes else 0

    def next_at(self) -> float | None:
        """When ``step`` has something to do even if nothing happens; None: never."""
        if self._killed or self.status is not None:
            return time.monotonic() + SOON_S
        if self.kill_at is not None:
            return self.kill_at
        return None if self.time_limit_s is None else self.since + self.time_limit_s

    def end(self, log: str) -> dict[str, Any]:
        """The end in the words of the journal; reason "" is a success."""
        assert self.status is not None
        code = os.waitstatus_to_exitcode(self.status)
        words = f"exited with {code}" if code >= 0 else f"killed by {_signal_name(-code)}"
        exit_code = code if code >= 0 else 128 - code
        if self.why:
            return {"reason": self.why, "message": self.message, "exit_code": exit_code}
        if code == 0:
            return {"reason": "", "message": "", "exit_code": 0}
        last = last_line(log)
        return {"reason": "Error", "message": f"{words}: {last}" if last else words, "exit_code": exit_code}

    def _signal(self, number: signal.Signals, strays: Iterable[int]) -> None:
        # The group first: what it forks between the walk and the signal is in it. Only while its leader is unreaped
        # does the group's number surely belong to the replica.
        members = processes.family([self.pid, *strays] if self.status is None else strays)
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        processes.send(members, number)


def hold(intent_directory: str, order: dict[str, Any], index: int) -> tuple[Running, Held]:
    """Fork a replica's process, which waits to be released, with its directory and environment. Raises OSError."""
    directory = os.path.join(intent_directory, str(index))
    cwd = os.path.join(directory, order["working_dir"])
    log = layout.log_path(intent_directory, index)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    os.makedirs(os.path.dirname(log), mode=0o700, exist_ok=True)
    if not os.path.isabs(order["working_dir"]):
        os.makedirs(cwd, exist_ok=True)
    own = {
        **order["own_env"],
        layout.MARKER: directory,
        "FEDERATOR_REPLICA_INDEX": str(index),
        "FEDERATOR_NODE": order["nodes"][str(index)],
    }
    if order.get("checkpoints"):
        own[CHECKPOINT_DIR] = layout.checkpoint_path(intent_directory, index)
    env = {"PATH": PATH, "HOME": directory, "LANG": "C.UTF-8", **environment(own, order["env"])}
    command = [expand(word, env) for word in order["command"]]
    process = Held(command, env, cwd, log, order["data_limit"], idle=bool(order.get("backfill")))
    return Running(index, process.pid, order["time_limit_s"], order["memory_bytes"] or UNLIMITED), process


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(path: str, limit: int = 200) -> str:
    """The last line of a replica's output that is not empty, for people."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4 * limit))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip()[:limit] if lines else ""
