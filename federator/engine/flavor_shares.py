"""What explain tells of each flavor of each cluster: when it is used, what more fits there, and why nothing may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from federator.engine.feasibility import flavor_verdict, too_big
from federator.engine.federation import Federation
from federator.engine.lots import NO_NODES
from federator.engine.rows import count_rooms
from federator.engine.shapes import ALLOWED, RANK
from federator.engine.turn import Turn
from federator.model.plan import FlavorShare
from federator.model.reasons import Verdict


def flavor_shares(federation: Federation, turn: Turn) -> Iterator[FlavorShare]:
    """Of every flavor, by cluster, in the order in which it is used there; those that may not be used come last."""
    nodes, shape = federation.nodes, turn.eligibility.shape
    costs = federation.prices.money(turn.role.requests)
    found: dict[tuple[int, str], FlavorShare] = {}
    ranks: dict[int, set[int]] = {}
    for lot, (may, rank, _) in zip(nodes.lots, shape.terms.tolist(), strict=True):
        if may:
            ranks.setdefault(lot.cluster, set()).add(rank)
    for at, lot in enumerate(nodes.lots):
        if lot.flavor is NO_NODES:
            continue
        allowed = bool(shape.terms[at, ALLOWED])
        more, extra = count_rooms(nodes.rows, nodes.blocks, at, at + 1, shape.asked, shape.terms)
        key = (lot.cluster, lot.flavor.name)
        if lot.potential:  # the flavor's nodes that exist come right before those that could
            found[key] = replace(found[key], extra=extra, boot_s=lot.flavor.boot_time_s)
            continue
        found[key] = FlavorShare(
            role=turn.role.name,
            cluster=federation.names[lot.cluster],
            flavor=lot.flavor.name,
            rank=1 + sum(rank < shape.terms[at, RANK] for rank in ranks[lot.cluster]) if allowed else None,
            room=more,
            extra=extra,
            price=int(costs[at]) / 1e9,
            verdict=None if allowed else _why_not(federation, turn, at),
        )
    yield from sorted(found.values(), key=lambda one: (one.cluster, one.rank or len(nodes.lots) + 1, one.flavor))


def _why_not(federation: Federation, turn: Turn, at: int) -> Verdict:
    lot = federation.nodes.lots[at]
    cluster = federation.clusters[lot.cluster]
    verdict = flavor_verdict(turn.workload, turn.role, cluster, lot.flavor)
    return verdict or too_big(turn.role.requests, replace(cluster, flavors=(lot.flavor,)))
