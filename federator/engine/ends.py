"""When what runs is expected to end. Times are whole milliseconds from the snapshot, so that they compare exactly."""

from __future__ import annotations

from collections.abc import Iterator

from federator.model.plan import Holding
from federator.model.policy import OVERRUN_S, Planning
from federator.model.workload import Lifetime, Workload

NEVER = 2**60
"""The end of what does not end: services."""


def milliseconds(seconds: float) -> int:
    """Seconds as the planner counts them."""
    return min(round(seconds * 1000), NEVER)


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

    def of(self, workload: Workload, holding: Holding) -> Iterator[tuple[int, int]]:
        """The replicas of a holding that are on nodes, as (end, how many), the last to end first.

        Those that are not on a node yet are taken to be the youngest.
        """
        waves = sorted(holding.waves) or [(holding.age_s, holding.replicas)]
        skip = min(holding.unbound, holding.replicas)
        for age_s, replicas in waves:
            bound = max(0, replicas - skip)
            skip = max(0, skip - replicas)
            if bound:
                yield self.left(workload, age_s), bound
        if holding.leaving:
            yield milliseconds(OVERRUN_S), holding.leaving
