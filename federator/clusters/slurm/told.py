"""What companions have told of checkpoints, read from the site's folder: once for each replica that has ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from federator.clusters.outcomes import Outcomes, told_in
from federator.clusters.slurm.files import Files
from federator.clusters.slurm.ledger import Entry
from federator.clusters.slurm.refusals import Unreachable
from federator.model.indexset import IndexSet
from federator.ports import Clock

WAITS_S = 60.0
"""A disk of the network may show so late what a node has written."""


class Told:
    """Of one cluster."""

    def __init__(self, files: Files | None, outcomes: Outcomes, clock: Clock) -> None:
        self._files = files
        self._outcomes = outcomes
        self._clock = clock
        self._unread: dict[str, dict[int, float]] = {}
        """By intent, replicas that have ended, and when that was seen."""

    async def ended(self, entry: Entry, indices: Iterable[int]) -> None:
        """Read what these have told, that have just ended, and what could not be read before."""
        if entry.kept and self._files is not None:
            now_s = self._clock.now_s()
            unread = {**self._unread.get(entry.intent, {}), **dict.fromkeys(indices, now_s)}
            read = await self._read(entry.intent, unread)
            self._unread[entry.intent] = {
                index: at_s for index, at_s in unread.items() if index not in read and now_s - at_s < WAITS_S
            }

    async def gone(self, entry: Entry) -> None:
        """It has been cancelled and nothing of it runs: read what is left, whose ends do not count."""
        if entry.kept and self._files is not None:
            await self._read(entry.intent, [*(entry.indices - entry.ended), *self._unread.pop(entry.intent, ())])

    async def _read(self, intent: str, indices: Iterable[int]) -> IndexSet:
        read = []
        if self._files is not None and (wanted := sorted(indices)):
            with contextlib.suppress(OSError, Unreachable):
                for index, text in (await self._files.told(intent, wanted)).items():
                    self._outcomes.hear(replica := f"{intent}/{index}", text)
                    self._outcomes.forget(replica)
                    read += [index] if told_in(text) else []
        return IndexSet.of(read)
