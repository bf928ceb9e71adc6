"""When what runs is expected to end. Times are whole milliseconds from the snapshot, so that they compare exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from federator.engine.arrays import Array
from federator.model.plan import Holding
from federator.model.policy import OVERRUN_S, Planning
from federator.model.workload import Lifetime, Workload

NEVER = 2**60
"""The end of what does not end: services."""


def milliseconds(seconds: float) -> int:
    """Seconds as the planner counts them."""
    return min(round(seconds * 1000), NEVER)


LEAVES = milliseconds(OVERRUN_S)
"""When what is being removed is expected to be gone."""


class Ends:
    """The expected ends under the settings of planning."""

    def __init__(self, planning: Planning) -> None:
        self._unknown_s = planning.unknown_duration_s

    def lasts(self, workload: Workload) -> int:
        """How long a replica runs."""
        if workload.lifetime is Lifetime.SERVICE:
            return NEVER
        return milliseconds(self._unknown_s if workload.duration_s is None else workload.duration_s)

    def left(self, workload: Workload, age_s: float) -> int:
        """How long one still runs that has run for so long; ``OVERRUN_S`` where it should have ended."""
        lasts = self.lasts(workload)
        left = lasts - milliseconds(age_s)
        return lasts if lasts == NEVER else left if left > 0 else milliseconds(OVERRUN_S)

    def unbound(self, workload: Workload, holding: Holding) -> Iterator[tuple[int, int]]:
        """What is not on a node yet, the youngest, as (end, how many): as if it had run since it was sent there; and
        what is being removed before it is on one."""
        left = min(holding.unbound, holding.replicas)
        for age_s, replicas in sorted(holding.waves) or [(holding.age_s, holding.replicas)]:
            if left > 0:
                yield self.left(workload, age_s), min(left, replicas)
                left -= replicas
        if holding.leaving_unbound:
            yield LEAVES, holding.leaving_unbound

    def bound(self, workload: Workload, holdings: Sequence[Holding], index: Mapping[str, int]) -> Array:
        """What is on nodes of some holdings: lines of (cluster, end, how many, wave), the waves of a holding counted
        from 0, those that end last first. ``index`` gives the places of clusters.

        Replicas that are not on a node yet are taken to be the youngest.
        """
        plain = [
            (index[one.cluster], one.age_s, one.replicas - one.unbound)
            for one in holdings
            if not one.waves and not one.leaving
        ]
        if not plain or len(plain) < len(holdings):
            lines = [line for one in holdings for line in self._lines(workload, index[one.cluster], one)]
            found = np.array(lines, dtype=np.int64).reshape(-1, 4)
        else:  # as most are: a line each
            at, ages_s, replicas = zip(*plain, strict=True)
            found = np.zeros((len(plain), 4), dtype=np.int64)
            lasts, ages = self.lasts(workload), np.rint(np.array(ages_s) * 1000)
            left = np.where(ages < lasts, lasts - ages, milliseconds(OVERRUN_S)).astype(np.int64)
            found[:, 0], found[:, 1], found[:, 2] = at, NEVER if lasts == NEVER else left, replicas
        return found[found[:, 2] > 0]

    def _lines(self, workload: Workload, at: int, holding: Holding) -> Iterator[tuple[int, int, int, int]]:
        """A holding's waves, the youngest first, without what is not on a node yet; last what is being removed."""
        skip = min(holding.unbound, holding.replicas)
        waves = sorted(holding.waves) or [(holding.age_s, holding.replicas)]
        for wave, (age_s, replicas) in enumerate(waves):
            yield at, self.left(workload, age_s), max(0, replicas - skip), wave
            skip = max(0, skip - replicas)
        yield at, LEAVES, holding.leaving - holding.leaving_unbound, len(waves)
