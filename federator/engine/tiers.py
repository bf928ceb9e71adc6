"""Fills tiers in their order: each up to its fillTo, then the next, then what is left over the tiers again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from federator.engine.arrays import Array, Mask, total
from federator.engine.division import divide
from federator.engine.federation import Federation
from federator.engine.fill import fill_limit
from federator.engine.governing import BY_RULE, NO_TIER
from federator.engine.opening import Clocks, Passed, Wait, passed, wait_for
from federator.engine.turn import Turn
from federator.engine.weights import by_rule
from federator.model.plan import shape_key
from federator.model.policy import Tier

UNWEIGHED = -1
"""The weight of a cluster whose tier was not divided."""


@dataclass(slots=True, eq=False)
class Filling:
    """What came of it: ``placed`` by cluster, and how the tiers stood.

    ``weights`` are those used, where a tier was divided. ``waits`` are the tiers that are not open (by place),
    ``at_fill`` those that stopped at their fillTo, ``full`` those that turned replicas away (or would have).
    """

    placed: Array
    weights: Array
    waits: dict[int, Wait] = field(default_factory=dict)
    at_fill: set[int] = field(default_factory=set)
    full: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many replicas have a place."""
        return total(self.placed)


@dataclass(slots=True, eq=False)
class Filler:
    """Fills the tiers for one role. ``afresh``: what runs in a tier is divided anew, but for the firm replicas."""

    federation: Federation
    turn: Turn
    firm: Array
    afresh: bool
    clocks: Clocks
    outage_grace_s: float
    home: Array = field(init=False)

    def __post_init__(self) -> None:
        turn = self.turn
        self.home = self.firm
        if turn.holds:
            may_stay = turn.eligibility.suits & ~self.federation.draining
            self.firm = np.minimum(self.firm, turn.maxima)
            self.home = np.minimum(np.where(may_stay, turn.held, self.firm), turn.maxima)

    def fill(self) -> Filling:
        """Give every replica that can have one a place."""
        turn = self.turn
        if total(self.firm) > turn.wanted:
            return self._scale_in()
        result = Filling(self.firm.copy(), np.full_like(self.firm, UNWEIGHED))
        left = turn.wanted - result.total
        before: list[Passed] = []
        for place, tier in enumerate(turn.rule.tiers):
            if left > 0 or self._needed_later(place - 1):
                turn.look(place)
                left -= self._next(result, place, tier, left, before)
        if left > 0 and not result.waits:
            for place in sorted(result.at_fill):
                left -= self._serve(result, place, left, limited=False)
        self._stay_behind(result, left)
        return result

    def _next(self, result: Filling, place: int, tier: Tier, left: int, before: list[Passed]) -> int:
        """Serve the next tier, if it is open, and note how it stands to what is left; returns how many it took."""
        turn = self.turn
        if left > 0:
            wait = wait_for(tier, before, self.outage_grace_s)
            if result.waits:  # the tier before it is not even open
                wait = Wait(tier.name, tier.open_after_s or 0.0, 0.0)
            if wait is not None:
                result.waits[place] = wait
        took = self._serve(result, place, left, limited=True)
        if left - took == 0 and not self._needed_later(place):
            return took
        takers = bool(self._takers(result, place).any())
        if place not in result.waits and takers and self._is_full(result, place):
            result.full.append(place)
        full_since = since(self.clocks, self.federation, turn, place)
        before.append(passed(self.federation, turn.eligibility.suits, turn.rule.members[place], takers, full_since))
        return took

    def _serve(self, result: Filling, place: int, left: int, *, limited: bool) -> int:
        """Fill one tier with up to ``left`` more replicas; returns how many it took."""
        at = self.turn.rule.members[place]
        if left <= 0 or not len(at):
            return 0
        before = stays = result.placed[at]
        count = total(before)
        wanted = count + left
        if self.turn.holds and limited and not self.afresh:
            stays = np.maximum(before, self.home[at])
        if (
            stays is not before and total(stays) > wanted
        ):  # what runs here is more than is wanted here: the firm stay, the rest shrinks
            weights = tier_weights(self.federation, self.turn, place, wanted, self.home[at])
            result.placed[at] = shrink(wanted, weights, before, stays)
            return left
        now = stays
        if place not in result.waits:
            now = self._grow(result, place, wanted, stays, limited)
        result.placed[at] = now
        return total(now) - count

    def _grow(self, result: Filling, place: int, wanted: int, given: Array, limited: bool) -> Array:
        """Divide over the tier what it takes: first on nodes that exist, then on those that could."""
        turn, at = self.turn, self.turn.rule.members[place]
        room, minima, maxima, now = turn.room, turn.minima[at], turn.maxima[at], given
        existing = room.more[at] + self.home[at] if turn.holds else room.more[at]
        autoscaled = self.federation.nodes.any_potential and bool(room.extra[at].any())
        for extra in (False, True) if autoscaled else (False,):
            reach = existing + room.extra[at] if extra else existing
            caps = np.maximum(np.minimum(reach, maxima), now)
            weights = tier_weights(self.federation, turn, place, wanted, reach)
            result.weights[at] = weights
            takes = wanted
            if limited and (limit := fill_limit(self.federation, turn, place, potential=extra)) is not None:
                limit += total(turn.held[at]) if turn.holds else 0
                takes = max(total(now), min(wanted, limit))
                (result.at_fill.add if takes < wanted else result.at_fill.discard)(place)
            now = divide(takes, weights, now, minima, caps)
            if not autoscaled or total(now) >= wanted:
                break
        return now

    def _takers(self, result: Filling, place: int) -> Mask:
        """The tier's clusters that would take more of it if they had room."""
        turn, at = self.turn, self.turn.rule.members[place]
        takers: Mask = turn.eligibility.open[at] & (result.placed[at] < turn.maxima[at]) & (turn.rule.weights[at] != 0)
        return takers

    def _is_full(self, result: Filling, place: int) -> bool:
        """Whether none of those has room, or the tier has reached its fillTo."""
        if place in result.at_fill:
            return True
        room, at = self.turn.room, self.turn.rule.members[place]
        grown = result.placed[at] - self.home[at]
        if not ((room.more[at] + room.extra[at] > grown) & self._takers(result, place)).any():
            return True
        limit = fill_limit(self.federation, self.turn, place, potential=bool(room.extra[at].any()))
        return limit is not None and total(grown) >= limit

    def _needed_later(self, place: int) -> bool:
        """Whether a tier after this one holds some of it."""
        return self.turn.holds and bool(self.turn.held[self.turn.rule.tier > place].any())

    def _stay_behind(self, result: Filling, left: int) -> None:
        """What found no other place stays where it is: on draining clusters and on those that would not take it now."""
        if left > 0 and self.turn.holds:
            loose = np.maximum(np.minimum(self.turn.held, self.turn.maxima) - result.placed, 0)
            before = np.cumsum(loose) - loose
            result.placed += np.clip(left - before, 0, loose)

    def _scale_in(self) -> Filling:
        """Fewer are wanted than run: what runs is the cap, tier by tier, and what no tier has goes first."""
        turn = self.turn
        result = Filling(np.zeros_like(self.firm), np.full_like(self.firm, UNWEIGHED))
        left = turn.wanted
        for place, at in enumerate(turn.rule.members):
            runs = self.firm[at]
            wanted = min(left, total(runs))
            if wanted > 0:
                turn.look(place)
                weights = tier_weights(self.federation, turn, place, wanted, self.home[at] + turn.room.more[at])
                result.placed[at] = shrink(wanted, weights, np.zeros_like(runs), runs, turn.minima[at])
                left -= wanted
        stray = np.where(turn.rule.tier == NO_TIER, self.firm, 0)
        result.placed += np.clip(left - (np.cumsum(stray) - stray), 0, stray)
        return result


def tier_weights(federation: Federation, turn: Turn, place: int, wanted: int, reach: Array) -> Array:
    """The weights of a tier's clusters, which can hold up to ``reach`` each."""
    at = turn.rule.members[place]
    written = turn.rule.weights[at]
    if len(at) and written[0] != BY_RULE:
        return written
    weight_by = turn.rule.tiers[place].weight_by
    room = np.where(federation.unknown[at], np.minimum(reach, wanted), reach) if federation.any_unknown else reach
    return by_rule(federation, weight_by, turn.workload, turn.role.requests, at, room)


def since(clocks: Clocks, federation: Federation, turn: Turn, place: int) -> float:
    """Since when the tier has been full for such workloads; now, where no clock runs."""
    policy = turn.rule.policy
    key = (policy.name, policy.tiers[place].name, shape_key(turn.workload))
    return clocks.get(key, federation.at_s) if clocks else federation.at_s


def shrink(wanted: int, weights: Array, firm: Array, runs: Array, minima: Array | None = None) -> Array:
    """Divide fewer replicas than run, with what runs as caps; clusters without weight lose theirs first."""
    low = np.zeros_like(runs) if minima is None else np.minimum(minima, runs)
    kept = divide(wanted, weights, firm, low, runs)
    if total(kept) < wanted:
        kept = divide(wanted, np.ones_like(weights), kept, np.zeros_like(runs), runs)
    return kept
