"""What goes wrong with replicas that start on one cluster, by chance: one seed tells one story."""

from __future__ import annotations

from random import Random

from federator.model.indexset import IndexSet
from federator.model.workload import Lifetime, Workload
from federator.simulator.replicas import NONE
from federator.simulator.story import CutOff


class Luck:
    """Of one cluster. ``crashing``: the part of what starts that fails; ``cut``: how what starts is cut off."""

    def __init__(self, seed: str) -> None:
        self.crashing = 0.0
        self.cut: CutOff | None = None
        self._random = Random(seed)

    def crashes(self, workload: Workload, starting: IndexSet) -> IndexSet:
        """Who of those will fail. Services do not."""
        if self.crashing <= 0 or workload.lifetime is not Lifetime.BATCH:
            return NONE
        return IndexSet.of(index for index in starting if self._random.random() < self.crashing)

    def part(self) -> float:
        """How far one comes that fails."""
        return self._random.random()

    def loses_network(self, workload: Workload, starting: IndexSet) -> IndexSet:
        """Who of those will. Fillers do not: nobody waits for them."""
        cut = self.cut
        if cut is None or workload.lifetime is not Lifetime.BATCH or workload.backfill:
            return NONE
        return IndexSet.of(index for index in starting if self._random.random() < cut.share)

    def cut_off(self, runs_s: float) -> tuple[float, float | None]:
        """For how long one has its seat that would run so long and is not heard of from some moment on, and after how
        long its lease is void. None: it is back before that, and its end is told then.
        """
        assert self.cut is not None  # else nobody is cut off
        from_s = self._random.random() * runs_s
        back_s = from_s + self.cut.away_s
        if self.cut.away_s <= self.cut.lease_s:
            return max(runs_s, back_s), None
        void_s = from_s + self.cut.lease_s
        return max(void_s, min(runs_s, back_s)), void_s
