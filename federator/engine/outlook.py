"""``weightBy: foresight``: where work goes so that there is room for those who come after it, too.

Before the first turn of a plan all that waits is spread over the clusters, without nodes and as if nobody were first
(``engine/foresight.py``). At its turn a workload is spread once more, among what has been placed by now and what those
after it aim at; what comes out are its aims, and they weigh its clusters. What it holds already it aims to keep, so
nothing moves for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import UNLIMITED, Array
from federator.engine.crowd import Crowd, Waiting, crowd_of, free_of, looks_ahead
from federator.engine.federation import Federation
from federator.engine.foresight import STEEPEST, Numbers, look_ahead, priced, served, spread
from federator.engine.kinds import Kinds
from federator.model.plan import Snapshot
from federator.model.workload import Workload

ROUNDS, PORTIONS = 20, 20
"""So often is all placed anew; and in so many portions a workload, each where it is cheapest then."""
PORTIONS_OF_A_LINE = 400
_EFFORT = 1_000_000
"""So many portions are placed in all rounds together, but at least two rounds."""


@dataclass(slots=True, eq=False)
class Outlook:
    """Aims by line and cluster, drawn down as workloads have had their turn.

    ``whole`` is what was free of each resource of a cluster, ``later`` what the aims of those use who still wait.
    """

    crowd: Crowd
    whole: Numbers
    aims: Array
    later: Numbers

    @classmethod
    def over(cls, federation: Federation, waiting: Iterable[Waiting]) -> Outlook:
        """Look ahead for these, who are in the order of service."""
        whole = free_of(federation)
        crowd = Crowd.of(waiting, *whole.shape)
        reach = np.minimum((crowd.most * (crowd.may > 0)).sum(axis=1), UNLIMITED)
        wanted = served(crowd.asks, reach, crowd.members, crowd.lacking, whole.sum(axis=0))
        aims, later = np.zeros_like(crowd.may), np.zeros_like(whole)
        times = np.minimum(PORTIONS * np.bincount(crowd.members, minlength=len(crowd.left)), PORTIONS_OF_A_LINE)
        rounds = max(2, min(ROUNDS, _EFFORT // max(1, int(times.sum()))))
        portions = np.maximum(wanted // times, 1)
        look_ahead(crowd.asks, crowd.may, crowd.most, wanted, portions, aims, whole, later, rounds)
        return cls(crowd, whole, aims, later)

    def aim(self, federation: Federation, name: str, maxima: Array, held: Array, missing: int) -> Array:
        """The aims of one that is at its turn, as things stand: what it holds, and a place for what it lacks."""
        aims: Array = np.minimum(held, maxima)
        row = self.crowd.rows.get(name)
        if row is None or missing <= 0:
            return aims
        asks, whole = self.crowd.asks[row], self.whole
        used = whole - free_of(federation) + self.later - self.crowd.part(self.aims, row, missing)[:, None] * asks
        prices = priced(used, whole, STEEPEST)
        portion = max(1, missing // PORTIONS)
        spread(asks, self.crowd.may[row], maxima, missing, portion, aims, whole, used, prices, STEEPEST)
        return aims

    def draw(self, name: str, most: int = UNLIMITED) -> None:
        """So many replicas of a workload have had their turn; if not told, all of it."""
        own = self.crowd.draw(self.aims, name, most)
        if own is not None:
            self.later -= own[:, None] * self.crowd.asks[self.crowd.rows[name]]


def outlook(snapshot: Snapshot, federation: Federation, kinds: Kinds, queue: Sequence[Workload]) -> Outlook | None:
    """The outlook of all that wait and are divided by foresight; None where no policy does that."""
    return Outlook.over(federation, crowd_of(federation, kinds, queue)) if looks_ahead(snapshot) else None
