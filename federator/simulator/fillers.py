"""Backfill in a run: what its tasks have saved, what they lose when they give way, and how long that takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from federator.model.backfill import Filler, lost_s
from federator.model.indexset import IndexSet
from federator.model.workload import Workload


class Fillers:
    """The fillers of a run. A task goes on, wherever it runs next, from the last checkpoint it made."""

    def __init__(self, fillers: Sequence[Filler]) -> None:
        self.by_name = {filler.name: filler for filler in fillers}
        self._saved: defaultdict[str, dict[int, float]] = defaultdict(dict)

    def grace_s(self, workload: Workload) -> float:
        """How long a replica takes to end when its room is needed: as long as it may, unless it is told to be less."""
        filler = self.by_name[workload.name]
        return filler.grace_s if filler.stops_s is None else filler.stops_s

    def lost_s(self, workload: Workload, ran_s: float) -> float:
        """How much of what a replica has run is lost when it is stopped."""
        if workload.backfill and self.by_name[workload.name].stops_s is not None:
            return 0.0  # it saves what it has; the time which that takes is used by nobody
        every = workload.checkpoint_every_s if workload.backfill else None
        return lost_s(ran_s, every)

    def keep(self, workload: Workload, index: int, ran_s: float) -> None:
        """A task was stopped after it had run so long."""
        saved = self._saved[workload.name]
        saved[index] = saved.get(index, 0.0) + ran_s - self.lost_s(workload, ran_s)

    def finished(self, workload: Workload, indices: IndexSet) -> None:
        """Tasks came to their end: nothing needs to be known of them any more."""
        saved = self._saved[workload.name]
        for index in indices if saved else ():
            saved.pop(index, None)

    def left_to_run(self, workload: Workload, indices: IndexSet, run_s: float) -> Iterator[tuple[IndexSet, float]]:
        """How long which of these tasks still run, those that have as much to do together."""
        saved = self._saved.get(workload.name)
        if not saved:
            yield indices, run_s
            return
        apart: defaultdict[float, list[int]] = defaultdict(list)
        for index, done_s in saved.items():
            if index in indices:
                apart[done_s].append(index)
        some = {done_s: IndexSet.of(those) for done_s, those in sorted(apart.items())}
        yield indices - IndexSet.join(r for those in some.values() for r in those.ranges), run_s
        for done_s, those in some.items():
            yield those, max(0.0, run_s - done_s)
