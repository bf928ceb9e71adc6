"""What was refused during a run and why, and what fillers kept free, looked at every so often: reasons are found only
when somebody looks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from federator.engine.main_reason import main_reason
from federator.model.backfill import Filled
from federator.model.plan import Plan, Refusal, Snapshot
from federator.model.resources import CPU

MOST_LOOKS = 256
MOST_REFUSALS = 200
"""Of more refusals at one look so many are read, evenly spread, and count for the others."""


@dataclass(slots=True)
class Look:
    """What was refused at one moment: replicas by the reason that counts, and by cluster and reason."""

    at_s: float
    by_reason: Counter[str] = field(default_factory=Counter)
    by_cluster: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: dict[str, float] = field(default_factory=dict)
    """Cores that each filler kept free, of all clusters together."""


class Looks:
    """Watches the plans of a run. When there are too many looks every second is forgotten, and the next come half as
    often; what a look saw stands for the time until the next.
    """

    def __init__(self, every_s: float = 1.0) -> None:
        self._first_s = every_s
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all looks."""
        self.looks: list[Look] = []
        self.words: dict[tuple[str, str], str] = {}
        """By cluster and reason, what was said when it was first seen."""
        self._every_s = self._first_s

    def due(self, at_s: float) -> bool:
        """Whether it is time for a look at a plan of this moment."""
        return not self.looks or at_s >= self.looks[-1].at_s + self._every_s

    def __call__(self, seen: Snapshot, made: Plan) -> None:
        """Look at a plan, if it is time; a later plan of the same moment takes the place of an earlier one."""
        if self.looks and self.looks[-1].at_s == seen.at_s:
            self.looks.pop()
        elif not self.due(seen.at_s):
            return
        look = self._look(seen.at_s, made.refusals)
        look.kept = {one.workload: _cores_kept(one) for one in made.backfill}
        self.looks.append(look)
        if len(self.looks) > MOST_LOOKS:
            self.looks = self.looks[::2]
            self._every_s = max(2 * self._every_s, seen.at_s / MOST_LOOKS)

    def _look(self, at_s: float, refusals: tuple[Refusal, ...]) -> Look:
        alike: dict[int, list[Refusal]] = {}
        for refusal in refusals:
            alike.setdefault(id(refusal.reasons), []).append(refusal)
        groups = list(alike.values())
        step = -(-len(groups) // MOST_REFUSALS) or 1
        look, whole = Look(at_s), sum(one.replicas for one in refusals)
        read = groups[::step]
        counted = sum(one.replicas for group in read for one in group)
        for group in read:
            replicas = round(sum(one.replicas for one in group) * whole / counted)
            look.by_reason[str(main_reason(group[0]))] += replicas
            for cluster, verdict in group[0].reasons.items():
                key = cluster, str(verdict.reason)
                look.by_cluster[key] += replicas
                if key not in self.words:
                    self.words[key] = verdict.message
        return look


def _cores_kept(filled: Filled) -> float:
    return sum(one.amount for kept in filled.kept.values() for one in kept if one.resource == CPU) / 1000
