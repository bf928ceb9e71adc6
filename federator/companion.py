"""Runs one replica where none of our agents is, and keeps its checkpoints. Standard library only; Python 3.9 or newer.

It stands between what starts jobs at a site and the payload, and travels with the job, packed with what it needs
(``clusters.companions``)::

    python3 FILE run INDEX FOLDER COMMAND...    brings what was kept, runs the command, puts what it writes
    python3 FILE drop INDEX FOLDER              the replica is complete, and that is known: leaves nothing

The exit status is the command's. What becomes of checkpoints is said in the output, and told to who counts them.
"""

from __future__ import annotations

import ctypes
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from federator.keep import PR_SET_DUMPABLE
from federator.keeper import LAST_S, PATIENCE_S, Keeper, program
from federator.telling import Telling

TOLD = "told.json"
"""In the package: ``errands`` by index, ``goodUntil`` (seconds since the epoch; None: for ever), ``renewed`` (a file
with newer ones of both, or nothing), ``graceSeconds``, ``tellsAll`` (whether the payload hears by itself that it is to
end), ``drops`` (whether nobody else says ``drop``), ``hides`` (whether nobody needs FILE again: it goes before the
payload, which may be the same user, could read it), ``tells`` (a place of ``telling.Telling``, for who counts what
becomes of checkpoints), and, where nothing but the exit status is heard of, ``failsIfTold`` (whether a payload that
ends well because it was told to ends as one that was ended)."""
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Signals that tell it to end."""
LOOK_S, SOON_S = 1.0, 0.05
RENEW_LOOK_S = 60.0
HEARS_S = 0.5
"""So much later than its payload it may hear that both are to end."""
NOT_THERE, NOT_RUN, TOLD_TO_END = 127, 126, 143


class Companion:
    """Of one replica, from before its start until after its end."""

    def __init__(self, told: dict[str, Any], index: str, folder: str) -> None:
        self.hides = bool(told["hides"])
        self._told = told
        self._index = index
        self._heard: list[int] = []
        self._until: float | None = None
        self._looked_at = float("-inf")
        self._telling = Telling(told.get("tells", ""), index, say)
        self._keeper = Keeper(told["errands"][index], folder, self._tell)
        program()  # read while our file is there
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in ENDS:
            signal.signal(number, lambda number, _: self._heard.append(number))

    def run(self, command: Sequence[str]) -> int:
        """The command from what was kept to its end; its exit status, negative for a signal."""
        if not self._bring():
            return TOLD_TO_END
        try:
            process = subprocess.Popen(list(command))
        except OSError as error:
            say(f"the command {command[0]!r} cannot be run: {error.strerror}")
            return NOT_THERE if isinstance(error, FileNotFoundError) else NOT_RUN
        passed_on = 0
        while process.poll() is None:
            self._keeper.step()
            self._wait(SOON_S if self._keeper.busy else LOOK_S)
            self._renew()
            self._reap(process.pid)
            for number in self._heard[passed_on:]:
                passed_on += 1
                self._is_to_end()
                if not self._told["tellsAll"]:
                    process.send_signal(number)
        complete = self._after(process.returncode)
        if process.returncode == 0 and not complete and self._told.get("failsIfTold"):
            return TOLD_TO_END
        return process.returncode

    def _bring(self) -> bool:
        """Have what was kept here; False if we are told to end before.

        A job may have waited for longer than its addresses are good.
        """
        until = time.monotonic() + PATIENCE_S
        self._renew(at_once=True)
        while not self._good() and time.monotonic() < until and not self._heard:
            self._wait(LOOK_S)
            self._renew(at_once=True)
        while not self._heard:
            if self._keeper.ready():
                return True
            self._wait(SOON_S)
        self._keeper.break_off()
        return False

    def _good(self) -> bool:
        return self._told["goodUntil"] is None or self._told["goodUntil"] > time.time() + PATIENCE_S

    def drop(self, until: float) -> None:
        """Leave nothing. Told to end meanwhile, it takes no more than half of the grace: the replica is complete."""
        self._renew(at_once=True)
        self._keeper.drop()
        while not self._keeper.dropped() and time.monotonic() < until:
            self._wait(SOON_S)
            if self._heard:
                until = min(until, time.monotonic() + self._told["graceSeconds"] / 2)
                self._heard.clear()

    def _after(self, status: int) -> bool:
        """What it had is kept, unless it is complete: whoever was told to end is not. Whether it is."""
        if status == 0 and self._told["tellsAll"]:
            until = time.monotonic() + HEARS_S
            while not self._heard and time.monotonic() < until:
                self._wait(SOON_S)
        if status == 0 and not self._heard:
            self._keeper.break_off()
            if self._told["drops"]:
                self.drop(time.monotonic() + LAST_S)
            return True
        self._renew(at_once=True)
        while not self._keeper.finish(self._until):
            self._wait(SOON_S)
            if self._heard:
                self._is_to_end()
        return False

    def _is_to_end(self) -> None:
        if self._until is None:
            self._until = time.monotonic() + self._told["graceSeconds"]

    def _renew(self, *, at_once: bool = False) -> None:
        """Take addresses that are good for longer, if there are any."""
        path, now = self._told.get("renewed"), time.monotonic()
        if not path or (now - self._looked_at < RENEW_LOOK_S and not at_once):
            return
        self._looked_at = now
        try:
            with open(path, encoding="utf-8") as file:
                told = json.load(file)
            self._keeper.told = told["errands"].get(self._index, self._keeper.told)
            self._told["goodUntil"] = told["goodUntil"]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError) as error:
            say(f"new addresses of checkpoints cannot be read: {error}")

    def _reap(self, payload: int) -> None:
        """The first process of a container inherits what others leave behind, and nobody else lets it go."""
        while os.getpid() == 1 and not self._keeper.busy:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid == payload:
                return
            os.waitpid(ended.si_pid, 0)

    def _wait(self, at_most_s: float) -> None:
        select.select([self._wake], [], [], at_most_s)
        while True:
            try:
                if not os.read(self._wake, 4096):
                    return
            except BlockingIOError:
                return

    def _tell(self, outcome: str, words: str) -> None:
        if words:
            say(words)
        self._telling.hear(outcome, words)


def say(words: str) -> None:
    """A line of ours in the output of the replica."""
    sys.stderr.write(f"federator: {words}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    """See above."""
    verb, index, folder, *command = arguments
    told = pkgutil.get_data("federator", TOLD)
    assert told is not None  # it was packed with us
    companion = Companion(json.loads(told), index, folder)
    if companion.hides:
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        os.unlink(sys.argv[0])
    if verb == "drop":
        companion.drop(time.monotonic() + LAST_S)
        return 0
    code = companion.run(command)
    if code < 0:  # ended by a signal: so are we, if we can be
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code if code >= 0 else 128 - code
