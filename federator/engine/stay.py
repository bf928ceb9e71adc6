"""What may be moved: what runs stays, moves within its budget, and no replica moves twice in a period."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from federator.engine.arrays import Array
from federator.engine.federation import Federation
from federator.engine.governing import NO_TIER
from federator.engine.tiers import Filling
from federator.engine.turn import Turn
from federator.model.plan import Holding
from federator.model.policy import FULL_PPM, Rebalance, Stay

Fill = Callable[[Array, bool], Filling]
"""Fills the tiers with so many firm replicas on each cluster; the second is whether tiers are divided afresh."""


def settle(federation: Federation, turn: Turn, fill: Fill) -> Filling:
    """Place the role: what its policy lets move is placed anew, everything else stays where it is."""
    stay = turn.rule.policy.stay
    if not turn.holds:
        return fill(turn.held, False)
    holdings = federation.holdings(turn.workload.name, turn.role.name)
    loose = np.minimum(loose_replicas(federation, turn.held, holdings, stay), turn.held)
    afresh = stay.rebalance is Rebalance.ALWAYS
    filling = fill(turn.held - loose, afresh)
    if stay.move_budget is None or not loose.any():
        return filling
    allowed = moves_left(stay, turn.wanted, holdings)
    kept = _beyond_budget(federation, turn, filling.placed, allowed)
    return fill(turn.held - kept, afresh) if kept is not None else filling


def loose_replicas(federation: Federation, held: Array, holdings: list[Holding], stay: Stay) -> Array:
    """How many of the held replicas may be placed elsewhere.

    Where a cluster is draining all of them, whatever the policy says. Else, if it lets replicas move at all, those
    that have stayed for minStay and were not moved there within the period; but none on a cluster that is cordoned
    or does not answer.
    """
    draining = federation.draining & ~federation.silent
    loose = np.where(draining, held, 0)
    if stay.rebalance is Rebalance.NEVER:
        return loose
    for holding in holdings:
        at = federation.index[holding.cluster]
        if federation.working[at] and holding.age_s >= stay.min_stay_s:
            loose[at] += max(0, holding.replicas - holding.moved)
    return loose


def moves_left(stay: Stay, replicas: int, holdings: list[Holding]) -> int:
    """How many replicas the budget still lets move in this period: its share of them, at least one."""
    budget = stay.move_budget
    if budget is None:
        return replicas
    return max(0, max(1, replicas * budget.ppm // FULL_PPM) - sum(holding.moved for holding in holdings))


def _beyond_budget(federation: Federation, turn: Turn, placed: Array, allowed: int) -> Array | None:
    """What may leave each cluster if only ``allowed`` moves are; None where the moves are within that.

    Moves off draining clusters cost no budget. Replicas in the last tier leave first.
    """
    surplus = np.maximum(turn.held - placed, 0)
    drained = np.where(federation.draining, surplus, 0)
    moves = min(int(surplus.sum()), int(np.maximum(placed - turn.held, 0).sum()))
    excess = max(0, moves - int(drained.sum())) - allowed
    if excess <= 0:
        return None
    free_to_go = surplus - drained
    tier = np.where(turn.rule.tier == NO_TIER, len(turn.rule.tiers), turn.rule.tier)
    first_to_stay = np.argsort(tier, kind="stable")
    offered = free_to_go[first_to_stay]
    stays = np.zeros_like(placed)
    stays[first_to_stay] = np.clip(excess - (np.cumsum(offered) - offered), 0, offered)
    kept: Array = free_to_go - stays + np.where(federation.draining & ~federation.silent, turn.held, 0)
    return kept
