"""How long production takes to start on each cluster, measured: where backfill runs, and where none does.

In memory only: after a restart it is counted anew, without what was on its way then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

from federator.model.indexset import IndexSet
from federator.model.intent import Intent, ObservedIntent

BACKFILL, FREE = "backfill", "free"
"""Whether any filler ran on the cluster when the plan sent production there."""
LATELY = 200
"""So many starts are remembered of each cluster, for the medians that people see."""


class Start(NamedTuple):
    """Replicas that were seen to run for the first time, together: so long after the plan had sent them there."""

    cluster: str
    beside: str
    took_s: float


class _Coming(NamedTuple):
    planned_s: float
    beside: str
    left: IndexSet
    """Replicas that were not seen to run yet."""


class Starts:
    """What is on its way, and the latest starts. What it costs is the same however much runs."""

    def __init__(self) -> None:
        self._coming: dict[str, _Coming] = {}
        self._lately: dict[tuple[str, str], deque[float]] = {}

    def planned(self, intent: Intent, *, filled: bool) -> None:
        """A plan has sent production to a cluster; ``filled``: where fillers ran."""
        self._coming[intent.id] = _Coming(intent.created_s, BACKFILL if filled else FREE, intent.indices)

    def seen(self, intent: Intent, observed: ObservedIntent, at_s: float) -> Start | None:
        """Take in what its cluster says of it; None: nothing of it began since the last time.

        What ended before anybody saw it run is left out: nobody knows when it began.
        """
        coming = self._coming.get(intent.id)
        if coming is None:
            return None
        begun = coming.left & observed.running
        ended = observed.succeeded | IndexSet.of(failure.index for failure in observed.failed)
        left = coming.left - begun - ended
        if left:
            self._coming[intent.id] = coming._replace(left=left)
        else:
            del self._coming[intent.id]
        if not begun:
            return None
        start = Start(intent.cluster, coming.beside, max(0.0, at_s - coming.planned_s))
        self._lately.setdefault((start.cluster, start.beside), deque(maxlen=LATELY)).append(start.took_s)
        return start

    def forget(self, intent_id: str) -> None:
        """Nothing of it is at its cluster any more."""
        self._coming.pop(intent_id, None)

    def medians(self, clusters: Iterable[str]) -> Mapping[str, Mapping[str, float]]:
        """Of the latest starts on these clusters together: the median in seconds, and of how many; nothing of what
        there was none of."""
        names = list(clusters)
        found = {
            beside: [took_s for name in names for took_s in self._lately.get((name, beside), ())]
            for beside in (BACKFILL, FREE)
        }
        return {
            beside: {"medianSeconds": round(median(those), 3), "of": len(those)}
            for beside, those in found.items()
            if those
        }
