"""What comes of filling the tiers for one role, as the rest of the planner reads it. The filling itself is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from federator.engine.aims import take_aims
from federator.engine.arrays import Array, total
from federator.engine.division import REPLICAS_MAX, WEIGHT_MAX, divide
from federator.engine.federation import Federation
from federator.engine.filling import (
    AIM,
    AT_FILL,
    BY_FORESIGHT,
    BY_ROOM,
    FIRM,
    FIT,
    FIT_SCALE,
    FULL,
    FULL_S,
    HOME,
    NEAR,
    OPEN,
    PLACED,
    UNWEIGHED,
    USED,
    WAITS,
    WEIGHT,
    Times,
    fill_tiers,
)  # fmt: skip
from federator.engine.foresight import aimed
from federator.engine.governing import BY_RULE, NO_TIER, Rule
from federator.engine.nearness import weighed_down
from federator.engine.opening import Clocks, Wait
from federator.engine.turn import Turn
from federator.model.plan import shape_key
from federator.model.workload import Workload


@dataclass(slots=True, eq=False)
class Filling:
    """What came of it: ``placed`` by cluster, and how the tiers stood.

    ``weights`` are those used, where a tier was divided. ``waits`` are the tiers that are not open (by place),
    ``at_fill`` those that stopped at their fillTo, ``full`` those that turned replicas away (or would have).
    """

    placed: Array
    weights: Array
    waits: Mapping[int, Wait] = field(default_factory=dict)
    at_fill: Iterable[int] = ()
    full: Iterable[int] = ()

    @property
    def total(self) -> int:
        """How many replicas have a place."""
        return total(self.placed)


def unweighed(placed: Array) -> Filling:
    """So many replicas, without any tier having been looked at."""
    return Filling(placed, np.full(len(placed), UNWEIGHED, dtype=np.int64))


def fill(federation: Federation, turn: Turn, firm: Array, afresh: bool, clocks: Clocks, grace_s: float) -> Filling:
    """Fill the tiers for one role. ``afresh``: what runs in a tier is divided anew, but for the firm replicas.

    ``grace_s`` is the outage grace: how long a silent tier holds up those after it, where they do not say.
    """
    home = firm
    if turn.holds:
        may_stay = turn.eligibility.suits & ~federation.draining
        firm = np.minimum(firm, turn.maxima)
        home = np.minimum(np.where(may_stay, turn.held, firm), turn.maxima)
        if total(firm) > turn.admitted:
            return _scale_in(turn, firm, home)
    nodes, shape, desk = federation.nodes, turn.eligibility.shape, turn.desk
    if turn.unasked and turn.aims is not None and not turn.holds and take_aims(
        nodes.rows, nodes.blocks, nodes.first_lots, shape.asked, shape.terms,
        turn.kind.members, desk, turn.tiers, turn.admitted,
    ):  # fmt: skip
        return unweighed(desk[:, PLACED].copy())
    turn.weigh()
    desk[:, FIRM], desk[:, HOME], desk[:, USED] = firm, home, UNWEIGHED
    turn.tiers[:, AT_FILL] = turn.tiers[:, FULL] = 0
    turn.times[:, WAITS] = OPEN
    if clocks:
        turn.times[:, FULL_S] = full_for(clocks, federation, turn.workload, turn.rule)
    legal = fill_tiers(
        nodes.rows, nodes.blocks, nodes.sums, nodes.first_lots, shape.asked, shape.terms,
        turn.kind.members, desk, turn.tiers, turn.times, turn.admitted, afresh, grace_s,
    )  # fmt: skip
    if not legal:
        raise ValueError(f"weights go up to {WEIGHT_MAX}, replicas up to {REPLICAS_MAX}")
    return Filling(
        desk[:, PLACED].copy(),
        desk[:, USED].copy(),
        waits_of(turn.rule, turn.times[:, WAITS], grace_s),
        turn.tiers[:, AT_FILL].nonzero()[0].tolist(),
        turn.tiers[:, FULL].nonzero()[0].tolist(),
    )


def waits_of(rule: Rule, times: Times, grace_s: float) -> dict[int, Wait]:
    """The tiers that are not open (``times`` by place): the first by its own rule, those after it because that one is
    not."""
    waits: dict[int, Wait] = {}
    for place in (times != OPEN).nonzero()[0].tolist():
        tier = rule.tiers[place]
        default = 0.0 if waits else grace_s
        after = default if tier.open_after_s is None else tier.open_after_s
        waits[place] = Wait(tier.name, after, float(times[place]))
    return waits


def full_for(clocks: Clocks, federation: Federation, workload: Workload, rule: Rule) -> list[float]:
    """For how long each tier has been full for such workloads, in seconds; 0 where no clock runs."""
    policy, shape, now = rule.policy.name, shape_key(workload), federation.at_s
    return [now - clocks.get((policy, tier.name, shape), now) for tier in rule.policy.tiers]


def tier_weights(federation: Federation, turn: Turn, place: int, wanted: int, reach: Array) -> Array:
    """The weights of a tier's clusters, which can hold up to ``reach`` each."""
    at = turn.rule.members[place]
    turn.weigh()
    weights = turn.desk[at, WEIGHT]
    room = np.where(federation.unknown[at], np.minimum(reach, wanted), reach) if federation.any_unknown else reach
    fits = np.maximum(np.minimum(room, 1), room * turn.desk[at, FIT] >> FIT_SCALE)
    by_rule = np.minimum(np.where(weights == BY_ROOM, room, fits), WEIGHT_MAX)
    found: Array = np.where(weights < 0, by_rule, weights)
    if len(at) and turn.rule.weights[at[0]] == BY_RULE:
        found = weighed_down(found, turn.desk[at, NEAR])
        if weights[0] == BY_FORESIGHT:
            found = aimed(turn.desk[at, AIM], found)
    return found


def _scale_in(turn: Turn, firm: Array, home: Array) -> Filling:
    """Fewer are wanted than run: what runs is the cap, tier by tier, and what no tier has goes first."""
    result = unweighed(np.zeros_like(firm))
    left = turn.admitted
    for place, at in enumerate(turn.rule.members):
        runs = firm[at]
        wanted = min(left, total(runs))
        if wanted > 0:
            turn.look(place)
            weights = tier_weights(turn.federation, turn, place, wanted, home[at] + turn.room.more[at])
            result.placed[at] = _shrink(wanted, weights, runs, turn.minima[at])
            left -= wanted
    stray = np.where(turn.rule.tier == NO_TIER, firm, 0)
    result.placed += np.clip(left - (np.cumsum(stray) - stray), 0, stray)
    return result


def _shrink(wanted: int, weights: Array, runs: Array, minima: Array) -> Array:
    """Divide fewer replicas than run, with what runs as caps; clusters without weight lose theirs first."""
    kept = divide(wanted, weights, np.zeros_like(runs), np.minimum(minima, runs), runs)
    if total(kept) < wanted:
        kept = divide(wanted, np.ones_like(weights), kept, np.zeros_like(runs), runs)
    return kept
