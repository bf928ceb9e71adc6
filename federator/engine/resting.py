"""Work that runs as it should: nothing of it may or must move, so its answer is known without a turn.

But for one thing: where some of it runs in a later tier, the tiers before it may have to be told as full, if clocks run
for them. That depends on what is free, and is the same for all that are alike as long as nobody takes any room.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.federation import Federation
from federator.engine.governing import NO_MAXIMUM, NO_TIER, Rule
from federator.engine.kinds import Kinds
from federator.engine.wanted import Column
from federator.model.policy import Rebalance
from federator.model.workload import Workload


class Rest(NamedTuple):
    """The placements of a workload that rests, its rule, and the last tier that has some of it (0, too, where nothing
    hangs on whether the tiers before that are full)."""

    column: Column
    rule: Rule
    last: int


class Resting:
    """What rests in the federation of one plan."""

    def __init__(self, federation: Federation, kinds: Kinds, allowance: Allowance) -> None:
        self._federation, self._kinds, self._allowance = federation, kinds, allowance
        self._most: dict[int, list[int]] = {}
        self._full: dict[Hashable, tuple[int, ...]] = {}
        self._changes = -1
        """How the federation stood when those tiers were full."""

    def of(self, workload: Workload) -> Rest | None:
        """How a workload rests all of which runs where nothing may or must move; None for every other, and for what
        takes something of a limit by name."""
        role = workload.roles[0]
        holdings = self._federation.holdings(workload.name, role.name)
        if not holdings or len(workload.roles) > 1 or workload.gang is not None or role.limits:
            return None
        rule = self._federation.governing.rule(workload)
        if rule.policy.stay.rebalance is not Rebalance.NEVER:
            return None
        most, index = self._mosts(rule), self._federation.index
        held: dict[int, int] = {}
        for holding in holdings:
            at = index[holding.cluster]
            if not 0 < holding.replicas <= most[at] or at in held:
                return None
            held[at] = holding.replicas
        if sum(held.values()) != (role.replicas if rule.policy.replicas is None else rule.policy.replicas):
            return None
        at_ = np.array(sorted(held), dtype=np.int64)
        counts = np.array([held[at] for at in sorted(held)], dtype=np.int64)
        column = Column(workload.name, role.name, rule, self._federation.names, at_, counts)
        return Rest(column, rule, int(rule.tier[at_].max()) if rule.awaited else 0)

    def _mosts(self, rule: Rule) -> list[int]:
        """How many replicas may rest on each cluster: none on one that is draining, lost or of no tier."""
        found = self._most.get(id(rule))
        if found is None:
            quiet = (rule.tier != NO_TIER) & ~self._federation.draining & ~self._federation.lost
            found = self._most[id(rule)] = np.where(quiet, rule.maxima, 0).tolist()
        return found

    def full(self, workload: Workload, rest: Rest) -> tuple[int, ...] | None:
        """The tiers (by place) before the last one of it that are full for it; None where it must be asked."""
        if rest.last == 0:
            return ()
        key = self._kind(workload, rest)
        return self._full.get(key) if key is not None and self._changes == self._federation.changes else None

    def remember(self, workload: Workload, rest: Rest, full: Iterable[int]) -> None:
        """Keep what was found of one that was asked."""
        if self._changes != self._federation.changes:
            self._changes = self._federation.changes
            self._full.clear()
        if (key := self._kind(workload, rest)) is not None:
            self._full[key] = tuple(full)

    def _kind(self, workload: Workload, rest: Rest) -> Hashable:
        """What the answer depends on; None where that is more than room, bounds and the quotas of clusters."""
        federation, rule = self._federation, rest.rule
        excluded = federation.excluded(workload.name)
        if excluded or federation.promises is not None or not self._allowance.only_quotas(workload):
            return None
        if rule.maxima.min(initial=NO_MAXIMUM) < NO_MAXIMUM:
            return None
        eligibility = federation.feasibility.of(workload, workload.roles[0], rule, excluded)
        return id(self._kinds.of(workload, rule, eligibility)), rest.last
