"""What is the same for all alike roles under one rule, laid out for compiled code once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from federator.documents.policy import WEIGHT_BY
from federator.engine.arrays import Array
from federator.engine.constraints import likeness
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.fill import dominant
from federator.engine.filling import (
    AWAY,
    AWAY_S,
    BY_FIT,
    BY_FORESIGHT,
    DESK,
    FIRST,
    LAST,
    NEAR,
    OPEN,
    OPEN_AFTER,
    RESOURCE,
    TAKES,
    TIER,
    TIERS,
    TIMES,
    UNKNOWN,
    UNSAID,
    UNWEIGHED,
    USED,
    WAITS,
    WEIGHT,
    WORKING,
    WRITTEN,
    Times,
)  # fmt: skip
from federator.engine.governing import BY_RULE, Rule
from federator.engine.nearness import ALL_THERE, lacking, nearness
from federator.engine.opening import away
from federator.engine.weights import by_rule
from federator.model.policy import FULL_PPM, Tier
from federator.model.workload import Workload

BY_STATE = {"fit": BY_FIT, "foresight": BY_FORESIGHT}
"""What weighs a tier by what is free, beside the room."""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """The members of all tiers, and the tables (see ``engine/filling.py``) with what is the kind's own filled in."""

    members: Array
    desk: Array
    tiers: Array
    times: Times
    by_fit: bool
    """Whether any weight is by fit, or by foresight, behind which fit stands."""
    by_foresight: bool


class Kinds:
    """The kinds met so far."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._kinds: dict[Hashable, Kind] = {}
        self._bases: dict[int, Kind] = {}
        """By rule what all its kinds have in common."""
        self._asking: dict[int, tuple[str, ...]] = {}

    def again(self, federation: Federation) -> Kinds:
        """The same kinds in the same federation at another moment."""
        other = copy(self)
        other._federation = federation
        return other

    def of(self, workload: Workload, rule: Rule, eligibility: Eligibility) -> Kind:
        """The kind of a role with this eligibility under this rule (both are made once for each kind)."""
        inputs = workload.inputs if rule.policy.half_weight_bytes is not None else ()
        key = (id(rule), id(eligibility), likeness(workload, *self._expressions(rule)), inputs)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _lay_out(self._federation, self._base(rule), workload, rule, eligibility)
        return kind

    def _base(self, rule: Rule) -> Kind:
        if id(rule) not in self._bases:
            self._bases[id(rule)] = _common(self._federation, rule)
        return self._bases[id(rule)]

    def _expressions(self, rule: Rule) -> tuple[str, ...]:
        """What weighs the rule's tiers, where that is neither the room nor a cost."""
        found = self._asking.get(id(rule))
        if found is None:
            by = (tier.weight_by for tier in rule.tiers)
            found = self._asking[id(rule)] = tuple(one for one in by if one not in WEIGHT_BY)
        return found


def _common(federation: Federation, rule: Rule) -> Kind:
    """What does not depend on what is asked for, nor on what may be used for it."""
    desk = np.zeros((len(federation.names), DESK), dtype=np.int64)
    desk[:, TIER], desk[:, WRITTEN], desk[:, WEIGHT] = rule.tier, rule.weights, rule.weights
    desk[:, UNKNOWN], desk[:, WORKING] = federation.unknown, federation.working
    desk[:, USED], desk[:, NEAR] = UNWEIGHED, ALL_THERE
    for tier, at in _ruled(rule):
        if tier.weight_by in BY_STATE:
            desk[at, WEIGHT] = BY_STATE[tier.weight_by]
    ends = list(accumulate(map(len, rule.members)))
    tiers = np.zeros((len(rule.tiers), TIERS), dtype=np.int64)
    times = np.zeros((len(rule.tiers), TIMES))
    times[:, WAITS] = OPEN
    for place, tier in enumerate(rule.tiers):
        tiers[place, FIRST], tiers[place, LAST] = ends[place] - len(rule.members[place]), ends[place]
        tiers[place, RESOURCE:AWAY] = [-1, 0, 0] * 2
        times[place, OPEN_AFTER] = UNSAID if tier.open_after_s is None else tier.open_after_s
    by_foresight = bool((desk[:, WEIGHT] == BY_FORESIGHT).any())
    by_fit = by_foresight or bool((desk[:, WEIGHT] == BY_FIT).any())
    return Kind(np.concatenate([*rule.members, np.zeros(0, dtype=np.int64)]), desk, tiers, times, by_fit, by_foresight)


def _lay_out(federation: Federation, base: Kind, workload: Workload, rule: Rule, eligibility: Eligibility) -> Kind:
    desk, tiers, times = base.desk.copy(), base.tiers.copy(), base.times.copy()
    desk[:, TAKES] = eligibility.open
    for tier, at in _ruled(rule):
        if tier.weight_by not in ("room", *BY_STATE):
            asked = [(eligibility.requests, eligibility.shape, 1)]
            desk[at, WEIGHT] = by_rule(federation, tier.weight_by, workload, asked, at)
    if rule.policy.half_weight_bytes is not None and workload.inputs:
        desk[:, NEAR] = nearness(lacking(workload, federation.clusters), rule.policy.half_weight_bytes)
    for place, tier in enumerate(rule.tiers):
        if tier.fill_to_ppm < FULL_PPM:
            tiers[place, RESOURCE:AWAY] = _fill(federation, rule, place, eligibility)
        standing = away(federation, eligibility.suits, rule.members[place]) if federation.any_silent else None
        if standing is not None:
            tiers[place, AWAY], times[place, AWAY_S] = 2 if standing.lost else 1, standing.for_s
    return replace(base, desk=desk, tiers=tiers, times=times)


def _ruled(rule: Rule) -> Iterator[tuple[Tier, Array]]:
    """The tiers that are divided by a rule (``BY_RULE`` is ``BY_ROOM``, if it is no other), and their clusters."""
    for tier, at in zip(rule.tiers, rule.members, strict=True):
        if len(at) and rule.weights[at[0]] == BY_RULE:
            yield tier, at


def _fill(federation: Federation, rule: Rule, place: int, eligibility: Eligibility) -> list[int]:
    """The dominant resource, how much there is, and the use that fillTo sets; on existing nodes and on all."""
    ppm, found = rule.tiers[place].fill_to_ppm, list[int]()
    for potential in (False, True) if federation.nodes.any_potential else (False,):
        fill = dominant(federation, rule, place, eligibility.requests, potential=potential)
        if fill is None:
            found += [-1, 0, 0]
        else:
            name, whole = fill
            found += [federation.nodes.at[name], whole, -(-ppm * whole // FULL_PPM)]
    return found if len(found) == 6 else found * 2
