"""What came of one role's turn, and how it is written into the plan: placements, refusals, moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from federator.documents.quantities import format_share
from federator.engine.arrays import Array
from federator.engine.federation import Federation
from federator.engine.fill import tier_fill
from federator.engine.governing import Rule
from federator.engine.tiers import Filling
from federator.engine.turn import Turn
from federator.engine.verdicts import Scene, TierLimit
from federator.engine.wanted import Column
from federator.model.plan import Move
from federator.model.policy import FULL_PPM
from federator.model.reasons import Verdict
from federator.model.resources import CPU, Resources
from federator.model.whole_cores import rounded


@dataclass(slots=True, eq=False)
class Outcome:
    """One role, where its replicas go, and, where nothing new could start for the workload as a whole, why.

    ``together`` replicas must be in one cluster (0: they need not). ``whole_room`` is by cluster how many of the
    workload's replicas fit there. ``bound``: its room has been taken already.
    """

    turn: Turn
    filling: Filling
    whole: Verdict | None = None
    whole_room: Array | None = None
    together: int = 0
    bound: bool = False
    grown: Array = field(init=False)
    """What is added to what each cluster holds."""
    refused: int = field(init=False)
    """How many replicas have no place."""

    def __post_init__(self) -> None:
        placed, held = self.filling.placed, self.turn.held
        self.grown = np.maximum(placed - held, 0) if self.turn.holds else placed
        self.refused = self.turn.wanted - self.filling.total

    @property
    def blocked(self) -> bool:
        """Whether it waits for something that may pass: room, an outage, a tier that opens."""
        turn, filling = self.turn, self.filling
        may = turn.eligibility.suits & (filling.placed < turn.maxima) & (turn.rule.weights != 0)
        return self.refused > 0 and bool(may.any())

    def placements(self) -> Column:
        """The wanted state of the role."""
        turn, placed = self.turn, self.filling.placed
        at = placed.nonzero()[0]
        return Column(turn.workload.name, turn.role.name, turn.rule, turn.federation.names, at, placed[at])

    def moves(self, federation: Federation) -> Iterator[Move]:
        """The clusters that lose replicas paired with those that gain some, both in the order of names."""
        if not self.turn.holds:
            return
        held = federation.held(self.turn.workload.name, self.turn.role.name)
        grown, lost = np.maximum(self.filling.placed - held, 0), np.maximum(held - self.filling.placed, 0)
        if not lost.any() or not grown.any():
            return
        sources = np.repeat(np.arange(len(lost)), lost)
        targets = np.repeat(np.arange(len(grown)), grown)
        pairs = min(len(sources), len(targets))
        both, counts = np.unique(np.stack([sources[:pairs], targets[:pairs]]), axis=1, return_counts=True)
        for source, target, count in zip(*both.tolist(), counts.tolist(), strict=True):
            names = federation.names
            yield Move(self.turn.workload.name, self.turn.role.name, names[source], names[target], count)

    def scene(self) -> Scene:
        """What stood when it was decided, for its reasons; to be taken before its room is."""
        turn, filling = self.turn.look_everywhere(), self.filling
        federation = turn.federation
        return Scene(
            index=federation.index,
            workload=turn.workload,
            rule=turn.rule,
            requests=turn.role.requests,
            eligibility=turn.eligibility,
            room=turn.room,
            placed=filling.placed,
            grown=self.grown,
            minima=turn.minima,
            maxima=turn.maxima,
            weights=filling.weights,
            free={name: self._left(name) for name in self._counted()},
            tier=turn.rule.tier,
            waits=filling.waits,
            at_fill={
                place: tier_limit(federation, turn.rule, place, turn.role.requests) for place in sorted(filling.at_fill)
            },
            whole=self.whole if self.refused > 0 else None,
            whole_room=self.whole_room,
            together=self.together,
            held_back=turn.held_back if filling.total >= turn.admitted else None,
            caps=tuple(turn.caps),
            limits=tuple(turn.limits),
            purses=tuple(turn.purses),
        )

    def _counted(self) -> list[str]:
        """The resources of which room is told: those that are asked for, and cpu where it is taken all the same."""
        cores = {CPU} if self.turn.federation.nodes.counts_cores else set()
        return sorted({*self.turn.role.requests, *cores})

    def _left(self, resource: str) -> Array:
        """What is free of a resource on each cluster once this outcome has taken its room."""
        nodes, requests = self.turn.federation.nodes, self.turn.role.requests
        free = nodes.free_of(resource)
        if self.bound:
            return free
        asked: Array | int = requests[resource]
        if nodes.counts_cores:
            asked = np.where(nodes.gives_whole_cores, rounded(requests)[resource], asked)
        return np.maximum(free - self.grown * asked, 0)


def tier_limit(
    federation: Federation, rule: Rule, place: int, requests: Resources, free: Array | None = None
) -> TierLimit:
    """A tier that stopped at its fillTo, as it is, or was when so much was ``free`` (see ``tier_fill``)."""
    tier = rule.tiers[place]
    fill = tier_fill(federation, rule, place, requests, potential=False, free=free)
    used = format_share(round(fill.share * FULL_PPM) // 1000 * 1000) if fill is not None else "all"
    return TierLimit(tier.name, format_share(tier.fill_to_ppm), used)
