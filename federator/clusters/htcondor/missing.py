"""Pilots that were sent and of which nothing is heard. Pure.

A queue tells how a pilot ended, unless somebody removed its job: then only who sent it can know. Pilots that ran and
never registered are such ends too. Without this, a site that removes our pilots would be sent new ones for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from federator.clusters.htcondor.pilot_jobs import KEPT_S, Pilots, unheard
from federator.clusters.sizing import End


class Missing:
    """``ends``: bad ends that no queue shows, by the schedd's clock."""

    def __init__(self) -> None:
        self.ends: list[End] = []
        self._out: set[str] = set()
        """Jobs of pilots that were sent or seen, and have neither registered nor ended."""

    def sent(self, jobs: Iterable[str]) -> None:
        """These are on their way."""
        self._out.update(jobs)

    def taken_back(self, jobs: Iterable[str]) -> None:
        """We removed these: that says nothing of the site."""
        self._out.difference_update(jobs)

    def look(self, pilots: Pilots, known: Collection[str], now_s: float) -> list[str]:
        """Compare with what the queue shows; returns the jobs that vanished. ``known``: pilots that registered."""
        silent = {job for job, _ in unheard(pilots, known).values()}
        there = {*pilots.waiting, *silent, *(job for job, _ in pilots.running.values()), *pilots.ended}
        vanished = sorted(self._out - there)
        self._out = {*pilots.waiting, *silent}
        self.bad(len(vanished), now_s)
        self.ends = [end for end in self.ends if end.at_s > now_s - KEPT_S]
        return vanished

    def bad(self, count: int, now_s: float) -> None:
        """So many pilots ended badly now."""
        self.ends += [End(now_s, well=False)] * count
