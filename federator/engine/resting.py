"""Work that runs as it should: nothing of it may or must move, so its answer is known without a turn."""

from __future__ import annotations

import numpy as np

from federator.engine.federation import Federation
from federator.engine.governing import Rule
from federator.engine.wanted import Column
from federator.model.policy import Rebalance
from federator.model.workload import Workload


class Resting:
    """What rests in the federation of one plan."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._most: dict[int, list[int]] = {}

    def of(self, workload: Workload) -> Column | None:
        """The placements of a workload all of which runs in its first tier, where nothing may or must move.

        None for every other: what runs in a later tier is asked anew, since the tiers before it may have to be told as
        full; so is what takes something of a limit by name.
        """
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
        return Column(workload.name, role.name, rule, self._federation.names, at_, counts)

    def _mosts(self, rule: Rule) -> list[int]:
        """How many replicas may rest on each cluster: none on one that is draining, lost or of a later tier."""
        found = self._most.get(id(rule))
        if found is None:
            quiet = (rule.tier == 0) & ~self._federation.draining & ~self._federation.lost
            found = self._most[id(rule)] = np.where(quiet, rule.maxima, 0).tolist()
        return found
