"""What is the same for all alike roles under one rule, laid out for compiled code once for each plan."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from federator.engine.arrays import Array
from federator.engine.constraints import likeness
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.fill import dominant
from federator.engine.filling import NEVER_ASKED, Kind
from federator.engine.governing import BY_RULE, Rule
from federator.engine.opening import away
from federator.engine.weights import COSTS, by_rule
from federator.model.policy import FULL_PPM
from federator.model.workload import Workload


class Kinds:
    """The kinds met so far in one plan."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._kinds: dict[Hashable, Kind] = {}
        self._asking: dict[int, tuple[str, ...]] = {}

    def of(self, workload: Workload, rule: Rule, eligibility: Eligibility) -> Kind:
        """The kind of a role with this eligibility under this rule (both are made once for each kind)."""
        key = (id(rule), id(eligibility), likeness(workload, *self._expressions(rule)))
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _lay_out(self._federation, workload, rule, eligibility)
        return kind

    def _expressions(self, rule: Rule) -> tuple[str, ...]:
        """What weighs the rule's tiers, where that is neither the room nor a cost."""
        found = self._asking.get(id(rule))
        if found is None:
            by = (tier.weight_by for tier in rule.tiers)
            found = self._asking[id(rule)] = tuple(one for one in by if one not in ("room", *COSTS))
        return found


def _lay_out(federation: Federation, workload: Workload, rule: Rule, eligibility: Eligibility) -> Kind:
    tiers = range(len(rule.tiers))
    standing = [away(federation, eligibility.suits, rule.members[place]) for place in tiers]
    after = [tier.open_after_s for tier in rule.tiers]
    return Kind(
        tier=rule.tier,
        members=np.concatenate([*rule.members, np.zeros(0, dtype=np.int64)]),
        offsets=np.cumsum([0, *(len(members) for members in rule.members)]),
        asked=eligibility.shape.asked,
        terms=eligibility.shape.terms,
        open=eligibility.open,
        written=rule.weights,
        weights=_weights(federation, workload, rule, eligibility),
        fill=np.array([_fill(federation, rule, place, eligibility) for place in tiers], dtype=np.int64),
        open_after=np.array([NEVER_ASKED if one is None else one for one in after], dtype=np.float64),
        away=np.array([0 if one is None else 2 if one.lost else 1 for one in standing], dtype=np.int64),
        away_s=np.array([0.0 if one is None else one.for_s for one in standing], dtype=np.float64),
    )


def _weights(federation: Federation, workload: Workload, rule: Rule, eligibility: Eligibility) -> Array:
    """The weights by cluster; ``BY_ROOM``, which is what ``BY_RULE`` says by default, where they are the room."""
    weights = rule.weights
    for tier, at in zip(rule.tiers, rule.members, strict=True):
        if tier.weight_by != "room" and len(at) and weights[at[0]] == BY_RULE:
            weights = weights.copy() if weights is rule.weights else weights
            weights[at] = by_rule(federation, tier.weight_by, workload, eligibility.requests, at)
    return weights


def _fill(federation: Federation, rule: Rule, place: int, eligibility: Eligibility) -> list[list[int]]:
    """The dominant resource, how much there is, and the use that fillTo sets; on existing nodes and on all."""
    ppm = rule.tiers[place].fill_to_ppm
    found = []
    for potential in (False, True) if federation.nodes.any_potential else (False,):
        fill = dominant(federation, rule, place, eligibility.requests, potential=potential) if ppm < FULL_PPM else None
        if fill is None:
            found.append([-1, 0, 0])
        else:
            name, whole = fill
            found.append([federation.nodes.at[name], whole, -(-ppm * whole // FULL_PPM)])
    return found if len(found) == 2 else found * 2
