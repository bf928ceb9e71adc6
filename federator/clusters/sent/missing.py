"""How pilots ended, also those of which the queue shows nothing (any more). Pure.

A queue tells how a pilot ended, unless somebody removed its job: then only who sent it can know. Pilots that ran and
never registered are such ends too. Without this, a site that removes our pilots would be sent new ones for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from federator.clusters.sent.queue import KEPT_S, Queued
from federator.clusters.sizing import End


class Missing:
    """Remembers."""

    def __init__(self) -> None:
        self._ends: dict[str, End] = {}
        """By job, for an hour, by the queue's clock: a queue may forget sooner."""
        self._out: set[str] = set()
        """Jobs of pilots that were sent or seen, and have neither registered nor ended."""
        self._known: set[str] = set()
        """Pilots that registered and whose jobs may still be there: a pilot says goodbye before its job ends."""

    @property
    def ends(self) -> tuple[End, ...]:
        """How pilots ended lately."""
        return tuple(self._ends.values())

    def sent(self, jobs: Iterable[str]) -> None:
        """These are on their way."""
        self._out.update(jobs)

    def taken_back(self, jobs: Iterable[str]) -> None:
        """We removed these: that says nothing of the site."""
        self._out.difference_update(jobs)

    def unheard(self, queued: Queued, registered: Collection[str]) -> dict[str, tuple[str, float]]:
        """Pilots that run and never registered: their jobs and for how long."""
        self._known |= queued.running.keys() & set(registered)
        self._known &= queued.running.keys()
        return queued.unheard(self._known)

    def ending(self, queued: Queued) -> int:
        """How many never registered and end just now."""
        return len(self._out & queued.going)

    def look(self, queued: Queued, registered: Collection[str]) -> list[str]:
        """Compare with what the queue shows; returns the jobs that vanished."""
        silent = {job for job, _ in self.unheard(queued, registered).values()}
        running = {job for job, _ in queued.running.values()}
        vanished = sorted(self._out - {*queued.waiting, *running, *queued.going, *queued.ended})
        self._out = {*queued.waiting, *silent, *(self._out & queued.going)}
        self._ends.update(queued.ended)
        self.bad(vanished, queued.now_s)
        self._ends = {job: end for job, end in self._ends.items() if end.at_s > queued.now_s - KEPT_S}
        return vanished

    def bad(self, jobs: Iterable[str], now_s: float) -> None:
        """These pilots ended badly now."""
        self._ends.update(dict.fromkeys(jobs, End(now_s, well=False)))
