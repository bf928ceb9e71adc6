"""What comes of filling the tiers for one role, as the rest of the planner reads it. The filling itself is compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from federator.engine.arrays import Array, total
from federator.engine.division import REPLICAS_MAX, WEIGHT_MAX, divide
from federator.engine.federation import Federation
from federator.engine.filling import BY_ROOM, OPEN, UNWEIGHED, Case, Result, fill_tiers
from federator.engine.governing import NO_TIER
from federator.engine.opening import Clocks, Wait
from federator.engine.turn import Turn
from federator.model.plan import shape_key


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
        if total(firm) > turn.wanted:
            return _scale_in(turn, firm, home)
    clusters, tiers, room = len(firm), len(turn.rule.tiers), turn.room
    result = Result(
        placed=np.empty(clusters, dtype=np.int64),
        weights=np.full(clusters, UNWEIGHED, dtype=np.int64),
        more=room.more,
        extra=room.extra,
        looked=turn.looked,
        waits=np.full(tiers, OPEN),
        at_fill=np.zeros(tiers, dtype=np.bool_),
        full=np.zeros(tiers, dtype=np.bool_),
    )
    case = Case(
        wanted=turn.wanted,
        holds=turn.holds,
        afresh=afresh,
        autoscaled=federation.nodes.any_potential,
        grace_s=grace_s,
        held=turn.held,
        firm=firm,
        home=home,
        bound=room.bound,
        minima=turn.minima,
        maxima=turn.maxima,
        full_s=_full_s(clocks, federation, turn),
    )
    if not fill_tiers(federation.land, turn.kind, case, result):
        raise ValueError(f"weights go up to {WEIGHT_MAX}, replicas up to {REPLICAS_MAX}")
    return Filling(
        result.placed,
        result.weights,
        _waits(turn, result, grace_s),
        result.at_fill.nonzero()[0].tolist(),
        result.full.nonzero()[0].tolist(),
    )


def _waits(turn: Turn, result: Result, grace_s: float) -> dict[int, Wait]:
    """The tiers that are not open: the first by its own rule, those after it because that one is not."""
    waits: dict[int, Wait] = {}
    for place in (result.waits != OPEN).nonzero()[0].tolist():
        tier = turn.rule.tiers[place]
        default = 0.0 if waits else grace_s
        after = default if tier.open_after_s is None else tier.open_after_s
        waits[place] = Wait(tier.name, after, float(result.waits[place]))
    return waits


def _full_s(clocks: Clocks, federation: Federation, turn: Turn) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """For how long each tier has been full for such workloads."""
    if not clocks:
        return np.zeros(len(turn.rule.tiers))
    return np.array([federation.at_s - since(clocks, federation, turn, place) for place in range(len(turn.rule.tiers))])


def since(clocks: Clocks, federation: Federation, turn: Turn, place: int) -> float:
    """Since when the tier has been full for such workloads; now, where no clock runs."""
    policy = turn.rule.policy
    key = (policy.name, policy.tiers[place].name, shape_key(turn.workload))
    return clocks.get(key, federation.at_s) if clocks else federation.at_s


def tier_weights(federation: Federation, turn: Turn, place: int, wanted: int, reach: Array) -> Array:
    """The weights of a tier's clusters, which can hold up to ``reach`` each."""
    at = turn.rule.members[place]
    weights = turn.kind.weights[at]
    room = np.where(federation.unknown[at], np.minimum(reach, wanted), reach) if federation.any_unknown else reach
    return np.where(weights == BY_ROOM, np.minimum(room, WEIGHT_MAX), weights)


def _scale_in(turn: Turn, firm: Array, home: Array) -> Filling:
    """Fewer are wanted than run: what runs is the cap, tier by tier, and what no tier has goes first."""
    result = unweighed(np.zeros_like(firm))
    left = turn.wanted
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
