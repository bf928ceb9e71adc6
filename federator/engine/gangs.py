"""Workloads that must be whole in one cluster: gangs of scope ``cluster``, and several roles without another scope."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from federator.engine.arrays import Array, Mask
from federator.engine.division import WEIGHT_MAX
from federator.engine.federation import Federation
from federator.engine.fill import below_fill, tier_fill
from federator.engine.filling import NEAR, UNWEIGHED, WEIGHT
from federator.engine.fit import fit
from federator.engine.kinds import BY_STATE
from federator.engine.nearness import weighed_down
from federator.engine.opening import Clocks, Passed, Wait, passed, wait_for
from federator.engine.stay import loose_replicas, moves_left
from federator.engine.tiers import Filling, full_for
from federator.engine.turn import Turn
from federator.engine.weights import by_rule
from federator.model.policy import FULL_PPM, Rebalance
from federator.model.resources import Resources


def by_heft(federation: Federation, turns: Sequence[Turn]) -> list[Turn]:
    """Roles in the order in which they are bound: those whose replicas take the larger share of a node first."""
    largest = {
        name: int(federation.nodes.allocatable[at].max(initial=1)) for at, name in enumerate(federation.nodes.resources)
    }

    def heft(turn: Turn) -> int:
        return max((amount * 2**30 // max(1, largest[name]) for name, amount in turn.role.requests.items_), default=0)

    return sorted(turns, key=lambda turn: (-heft(turn), turn.role.name))


def believed(held: Array, wanted: int) -> Array:
    """What is held, as far as it is wanted: a cluster that does not answer is believed to run it."""
    kept: Array = np.clip(wanted - (np.cumsum(held) - held), 0, held)
    return kept


@dataclass(slots=True, eq=False)
class InOneCluster:
    """Finds the cluster that holds a whole workload. ``turns`` are its roles, by heft.

    ``hint`` is the cluster that comes first in its tier; nothing else of what is decided here changes by it.
    """

    federation: Federation
    turns: list[Turn]
    clocks: Clocks
    outage_grace_s: float
    hint: int | None = None
    chosen: int | None = None
    waits: dict[int, Wait] = field(default_factory=dict)
    at_fill: set[int] = field(default_factory=set)
    full: list[int] = field(default_factory=list)
    fits: Array = field(init=False)
    held: Array = field(init=False)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.held = sum((turn.held for turn in self.turns), np.zeros(len(self.federation.names), dtype=np.int64))
        self.total = sum(turn.wanted for turn in self.turns)
        self.fits = sum(np.minimum(turn.wanted, turn.held + turn.room.more + turn.room.extra) for turn in self.turns)

    def place(self) -> list[Filling]:
        """What each role gets, in the order of ``turns``; the room is taken already."""
        holder = int(self.held.argmax()) if self.held.any() else None
        if self.total == 0:
            self.chosen = None
        elif holder is None:
            self.chosen = self._choose(len(self.first.rule.tiers))
        elif self.federation.silent[holder]:
            return [self._filling(turn, believed(turn.held, turn.wanted)) for turn in self.turns]
        else:
            self.chosen = self._keep_or_move(holder)
        return [self._filling(turn, self._at(self.chosen, turn)) for turn in self.turns]

    @property
    def first(self) -> Turn:
        """The first role; rule and workload are the same for all."""
        return self.turns[0]

    def _keep_or_move(self, holder: int) -> int | None:
        """A whole workload stays, unless its policy lets it move and there is a better place."""
        rebalance = self.first.rule.policy.stay.rebalance
        place = int(self.first.rule.tier[holder])
        if self.federation.draining[holder]:
            moved = self._choose(len(self.first.rule.tiers))
        elif rebalance is not Rebalance.NEVER and self._may_move(holder):
            before = place if place >= 0 and rebalance is Rebalance.PREFERRED else len(self.first.rule.tiers)
            moved = self._choose(before)
        else:
            moved = None
        if moved is not None:
            return moved
        if self.first.maxima[holder] >= self.total and self._bind(holder, potential=True):
            return holder
        return self._choose(len(self.first.rule.tiers))

    def _may_move(self, holder: int) -> bool:
        """A gang moves as one: all of it may leave, and the period's budget has not been touched."""
        stay = self.first.rule.policy.stay
        for turn in self.turns:
            holdings = self.federation.holdings(turn.workload.name, turn.role.name)
            if loose_replicas(self.federation, turn.held, holdings, stay)[holder] < turn.held[holder]:
                return False
            if stay.move_budget is not None and any(holding.moved for holding in holdings):
                return False
            if moves_left(stay, turn.wanted, holdings) < 1 and turn.held[holder] > 0:
                return False
        return True

    def _choose(self, tiers: int) -> int | None:
        """The first of so many tiers, and in it the best cluster, that can hold all; its room is taken."""
        takers = self._takers()
        for place in self._open_tiers(tiers, takers):
            chosen = self._in_tier(place, takers, limited=True)
            if chosen is not None:
                return chosen
        for place in sorted(self.at_fill) if not self.waits else ():
            chosen = self._in_tier(place, takers, limited=False)
            if chosen is not None:
                return chosen
        return None

    def _open_tiers(self, tiers: int, takers: Mask) -> Iterator[int]:
        """The places of those of so many tiers that are open. Asking for the next tells that this one was full."""
        rule, before, suits = self.first.rule, list[Passed](), self._suits()
        self.waits, self.full, self.at_fill = {}, [], set()
        full_s = full_for(self.clocks, self.federation, self.first.workload, rule)
        for place in range(tiers):
            wait = wait_for(rule.tiers[place], before, self.outage_grace_s) if not self.waits else None
            if self.waits:
                wait = Wait(rule.tiers[place].name, rule.tiers[place].open_after_s or 0.0, 0.0)
            if wait is not None:
                self.waits[place] = wait
                continue
            yield place
            at = rule.members[place]
            if takers[at].any():
                self.full.append(place)
            before.append(passed(self.federation, suits, at, bool(takers[at].any()), full_s[place]))

    def prospects(self) -> dict[int, int]:
        """The clusters on which each role alone would find its room now, with the place of the cluster's tier.

        Only those of tiers that are open once the tiers before them are full.
        """
        takers = self._takers()
        could = takers & (self.fits >= self.total)
        return {
            one: place
            for place in self._open_tiers(len(self.first.rule.tiers), takers)
            for one in self.first.rule.members[place].tolist()
            if could[one]
        }

    def allowance(self, place: int) -> tuple[str, int] | None:
        """How much of which resource may still be taken in a tier before it takes this workload no more.

        None where its fill does not bound it.
        """
        rule, asked = self.first.rule, self.asked()
        ppm = rule.tiers[place].fill_to_ppm
        potential = any(turn.room.extra[rule.members[place]].any() for turn in self.turns)
        fill = tier_fill(self.federation, rule, place, asked, potential=potential) if ppm < FULL_PPM else None
        if fill is None:
            return None
        but_the_last = asked - self.turns[-1].role.requests
        return fill.resource, (ppm * fill.allocatable - 1) // FULL_PPM - fill.used - but_the_last[fill.resource]

    def _suits(self) -> Mask:
        suits: Mask = np.logical_and.reduce([turn.eligibility.suits for turn in self.turns])
        return suits

    def _takers(self) -> Mask:
        """Clusters that would take all of it if they had room."""
        open_ = np.logical_and.reduce([turn.eligibility.open for turn in self.turns])
        takers: Mask = open_ & (self.first.maxima >= self.total) & ~self.weightless
        return takers

    @property
    def weightless(self) -> Mask:
        """Clusters to which the policy gives no weight, by what is written or by an expression."""
        none: Mask = self.first.desk[:, WEIGHT] == 0
        return none

    def _in_tier(self, place: int, takers: Mask, *, limited: bool) -> int | None:
        rule = self.first.rule
        at = rule.members[place]
        for potential in (False, True):
            if potential and not any(turn.room.extra[at].any() for turn in self.turns):
                break
            if limited and not self._below_fill(place, potential):
                self.at_fill.add(place)
                continue
            weights = self._weights(place, potential)
            ranked = at[np.lexsort((at, -weights, at != (-1 if self.hint is None else self.hint)))]
            for one in ranked.tolist():
                if takers[one] and self._bind(one, potential):
                    return int(one)
        return None

    def _below_fill(self, place: int, potential: bool) -> bool:
        asked = self.asked()
        fill = tier_fill(self.federation, self.first.rule, place, asked, potential=potential)
        return below_fill(fill, self.first.rule.tiers[place].fill_to_ppm, asked - self.turns[-1].role.requests)

    def asked(self) -> Resources:
        """What all of it asks for."""
        return sum((turn.role.requests * turn.wanted for turn in self.turns), Resources())

    def _weights(self, place: int, potential: bool) -> Array:
        """The tier's weights; by room, how many replicas of it (or, with several roles, how much of it) would fit."""
        rule = self.first.rule
        at = rule.members[place]
        if len(at) and rule.weights[at[0]] >= 0:
            return rule.weights[at]
        reach = [turn.held + turn.room.more + potential * turn.room.extra for turn in self.turns]
        if len(self.turns) > 1:
            reach = [1000 * room // max(1, turn.wanted) for room, turn in zip(reach, self.turns, strict=True)]
        weight_by = rule.tiers[place].weight_by
        if weight_by == "room":
            weights: Array = np.minimum.reduce([*reach, np.full_like(reach[0], WEIGHT_MAX)])[at]
        elif weight_by in BY_STATE:
            weights = fit(self.federation, self.asked(), np.zeros_like(self.held))[at]
        else:
            asked = [(turn.role.requests, turn.eligibility.shape, turn.wanted) for turn in self.turns]
            weights = by_rule(self.federation, weight_by, self.first.workload, asked, at)
        return weighed_down(weights, self.first.desk[at, NEAR])

    def _bind(self, at: int, potential: bool) -> bool:
        """Take the room of all that is missing on one cluster, role by role on the same nodes; all or nothing."""
        federation = self.federation
        missing = [max(0, turn.wanted - int(turn.held[at])) for turn in self.turns]
        if not any(missing):
            return True
        for turn, lacking in zip(self.turns, missing, strict=True):
            room = int(turn.room.more[at]) + (int(turn.room.extra[at]) if potential else 0)
            if lacking > room:
                return False
        saved = federation.save()
        found = 0
        for turn, lacking in zip(self.turns, missing, strict=True):
            shape = turn.eligibility.shape if potential else federation.nodes.only_existing(turn.eligibility.shape)
            replicas = np.zeros(len(federation.names), dtype=np.int64)
            replicas[at] = min(lacking, federation.still_allowed(shape, at))
            left = federation.take(shape, replicas, turn.until)
            found += int(replicas[at] - left[at]) + min(turn.wanted, int(turn.held[at]))
        kept = federation.broken_promise(at, found) if found == self.total else None
        if found == self.total and kept is None:
            return True
        federation.restore(saved)
        self.fits[at] = found
        if kept is not None:
            for turn in self.turns:
                turn.room.kept[at] = kept
        return False

    def _at(self, chosen: int | None, turn: Turn) -> Array:
        placed = np.zeros(len(self.federation.names), dtype=np.int64)
        if chosen is not None:
            placed[chosen] = turn.wanted
        return placed

    def _filling(self, turn: Turn, placed: Array) -> Filling:
        weights = np.where(self.weightless, 0, UNWEIGHED)
        return Filling(placed, weights, waits=self.waits, at_fill=self.at_fill, full=self.full)
