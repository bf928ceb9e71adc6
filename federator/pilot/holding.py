"""What a pilot holds: shared by the thread that runs payloads and those that speak to the server."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from federator.keeper import Keeper
from federator.pilot.payload import Payload
from federator.pilot.removal import Removals
from federator.pilot.resources import Node
from federator.pilot.settings import Settings, default_name
from federator.pilot.spool import Spool

Json = dict[str, Any]


class Holding:
    """All that the threads share, under one lock.

    ``new``: granted and not started; ``running``; ``results``: ended, and the server has not answered yet. A lease is
    in one of the three, and ``held`` names them all.
    """

    def __init__(self, settings: Settings, node: Node) -> None:
        self.settings = settings
        self.node = node
        self.lock = threading.RLock()
        self.spool = Spool(settings.spool)
        self.name = settings.name or default_name(self.spool.root)
        self.new: dict[str, Json] = {}
        self.running: dict[str, Payload] = {}
        self.results: dict[str, Json] = {}
        self.stops: dict[str, tuple[str, float]] = {}
        """Leases to end: why, and with how much grace."""
        self.void: set[str] = set()
        """Leases whose end is of no interest."""
        self.untold: set[str] = set()
        """Leases that run, which the server has not been told yet."""
        self.logs: dict[str, int] = {}
        """Leases whose output somebody wants to see, and the byte from which on it was not sent yet."""
        self.keepers: dict[str, Keeper] = {}
        """Who keeps the checkpoints of a lease, until it has ended; of what is complete, until that is counted."""
        self.dropping: list[Keeper] = []
        self.kept: list[Json] = []
        """What became of checkpoints, which the server has not been told yet."""
        self.draining = ""
        """Why no more work is taken; empty: it is."""
        self.finished = threading.Event()
        self.signals: list[int] = []
        self.told_to_end = False
        self.news = threading.Event()
        """There is something to tell the server."""
        self.busy_at = time.monotonic()
        """When it last had work; backfill is none."""
        self.ends_at = None if node.lifetime_s is None else time.monotonic() + node.lifetime_s
        self.gave_up = False
        """Told to end a second time: what is not acknowledged stays in the spool."""
        self._guard_pid = 0
        self._removals = Removals()
        self._used_gpus: dict[str, list[str]] = {}
        self._wake_read, self._wake = os.pipe()
        for fd in (self._wake_read, self._wake):
            os.set_blocking(fd, False)

    @property
    def is_late(self) -> bool:
        """Whether its time is over, or it had no work for as long as it stays without any."""
        now, idle_s = time.monotonic(), self.settings.idle_s
        ends = self.ends_at is not None and now >= self.ends_at - self.settings.drain_s
        return ends or (idle_s is not None and now - self.busy_at >= idle_s)

    @property
    def held(self) -> list[str]:
        """Every lease that has no acknowledged end."""
        with self.lock:
            return [*self.new, *self.running.keys() - self.void, *self.results]

    def accept(self, mail: Json) -> None:
        """Take in what the server says: grants go to the disk before anything else is asked for."""
        with self.lock:
            for lease in mail["void"]:
                self._forget(lease)
            known = {*self.held, *self.void}
            for grant in mail["grants"]:
                if grant["lease"] not in known:
                    self.spool.add(grant)
                    self.new[grant["lease"]] = grant
                    self.busy_at = self.busy_at if grant.get("backfill") else time.monotonic()
            for one in mail["stop"]:
                if one["lease"] in self.new or one["lease"] in self.running:
                    self.stops.setdefault(one["lease"], ("Stopped", one["graceSeconds"]))
            for told in mail.get("checkpoints", ()):
                if (keeper := self.keepers.get(told["lease"])) is not None:
                    keeper.told = told
            for lease in mail["logs"]:
                if lease in self.running and lease not in self.logs:
                    self.logs[lease] = max(0, self.spool.tail(lease)[1])
                    self.news.set()
        self.wake()

    def _forget(self, lease: str) -> None:
        """A lease is void: what runs of it ends at once, what has ended counts for nothing."""
        self.new.pop(lease, None)
        if (keeper := self.keepers.pop(lease, None)) is not None:
            keeper.break_off()
        if lease in self.running:
            self.void.add(lease)
            self.stops[lease] = ("Void", 0.0)
        elif self.results.pop(lease, None) is not None or lease not in self.void:
            self.spool.drop(lease)

    def acknowledged(self, lease: str, *, counted: bool) -> None:
        """The server has counted an end, or said that it does not count."""
        with self.lock:
            if (keeper := self.keepers.pop(lease, None)) is not None and counted:
                keeper.drop()
                self.dropping.append(keeper)
            if self.results.pop(lease, None) is not None:
                self.spool.drop(lease)
        self.wake()

    def drain(self, why: str) -> None:
        """Take no more work."""
        with self.lock:
            if not self.draining:
                say(f"draining: {why}")
                self.draining = why
        self.news.set()
        self.wake()

    def wake(self) -> None:
        """Let the loop look again."""
        try:
            os.write(self._wake, b"!")
        except BlockingIOError:
            return  # it has enough unread wakes

    def ended(self, lease: str, result: Json) -> None:
        """A lease has ended: on the disk before the server hears of it."""
        self.new.pop(lease, None)
        try:
            self.spool.end(lease, result)
        except OSError as error:
            say(f"the spool does not take the end of {lease}: {error}")  # it is told from memory
        self.results[lease] = result
        self.news.set()


def say(words: str) -> None:
    """A line for the log of the batch system."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {words}", file=sys.stderr, flush=True)  # noqa: T201
