"""The federation with what has to give way on its way out: what the planner sees next, in this plan or a later one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from federator.model.plan import Displacement, Holding, Plan, Preemption, Snapshot
from federator.model.workload import Workload

PATIENCE_S = 600.0
"""What has to give way should be gone by then."""
FORGOTTEN_S = 3600.0
"""Who displaced whom is remembered for so long."""


def giving_way(
    snapshot: Snapshot, preemptions: Sequence[Preemption], kept: Mapping[str, int] = MappingProxyType({})
) -> Snapshot:
    """The snapshot with these replicas leaving, and with the memory of who displaced whom. ``kept``: how many replicas
    those have in all for which room was on its way before."""
    leaving: Counter[tuple[str, str, str]] = Counter()
    place = max((one.place for one in snapshot.displacements), default=0)
    gains: dict[tuple[str, str], int] = {}
    for one in preemptions:
        leaving[one.workload, one.role, one.cluster] += one.replicas
        gains[one.by, one.workload] = one.gains
    takers = {taker for taker, _ in gains}
    old = [
        replace(one, gains=0 if one.workload in takers else min(one.gains, kept.get(one.workload, one.gains)))
        for one in snapshot.displacements
        if (one.workload, one.victim) not in gains
    ]
    new = [
        Displacement(*pair, place=place + number, gains=count) for number, (pair, count) in enumerate(gains.items(), 1)
    ]
    holdings = (_without(h, leaving.get((h.workload, h.role, h.cluster), 0)) for h in snapshot.holdings)
    displacements = sorted((*old, *new), key=lambda one: (one.workload, one.victim))
    return replace(snapshot, holdings=tuple(holdings), displacements=tuple(displacements))


def _without(holding: Holding, replicas: int) -> Holding:
    """The holding once so many more are leaving: those not on a node yet, then the youngest."""
    if not replicas:
        return holding
    unbound = min(replicas, holding.unbound)
    waves, left = [], replicas
    for age_s, count in sorted(holding.waves):
        if count > left:
            waves.append((age_s, count - left))
        left = max(0, left - count)
    return replace(
        holding,
        replicas=holding.replicas - replicas,
        unbound=holding.unbound - unbound,
        age_s=waves[0][0] if waves else holding.age_s,
        leaving=holding.leaving + replicas,
        leaving_unbound=holding.leaving_unbound + unbound,
        waves=tuple(waves),
    )


def waiting(snapshot: Snapshot, at_once: Callable[[Workload], int]) -> Mapping[str, int]:
    """The workloads for which room is on its way, in the order in which others gave way to them; and how many replicas
    each then has in all. One that has had to give way itself since then waits like everybody, and so does one to which
    that is of no use any more, because more than that must start ``at_once``."""
    held: Counter[str] = Counter()
    if snapshot.displacements:
        for holding in snapshot.holdings:
            held[holding.workload] += holding.replicas
    lost = {one.victim: (-one.age_s, one.place) for one in sorted(snapshot.displacements, key=_oldest_first)}
    found: dict[str, int] = {}
    for one in sorted(snapshot.displacements, key=_oldest_first):
        since = lost.get(one.workload)
        if one.gains > held[one.workload] and (since is None or since < (-one.age_s, one.place)):
            found[one.workload] = max(one.gains, found.get(one.workload, 0))
    known = {workload.name: workload for workload in snapshot.workloads if workload.name in found}
    return {name: gains for name, gains in found.items() if name in known and gains >= at_once(known[name])}


def gave_way_in_vain(snapshot: Snapshot, plan: Plan) -> frozenset[str]:
    """Those for whom others give way in a plan of this snapshot, and who have nothing of it: what becomes free
    for several at once may be bound otherwise than what becomes free for one after the other."""
    takers = {one.by for one in plan.preemptions}
    if not takers:
        return frozenset()
    gained = {one.workload for one in plan.reservations}
    held = Counter[tuple[str, str, str]]()
    for holding in snapshot.holdings:
        held[holding.workload, holding.role, holding.cluster] += holding.replicas
    for lost in plan.preemptions:
        held[lost.workload, lost.role, lost.cluster] -= lost.replicas
    for one in plan.placements:
        if one.workload in takers and one.replicas > held[one.workload, one.role, one.cluster]:
            gained.add(one.workload)
    return frozenset(takers - gained)


def remembered(snapshot: Snapshot, plan: Plan) -> tuple[Displacement, ...]:
    """What the next snapshot should know of who displaced whom: until it is forgotten, or one of them is not there any
    more. A workload that has what it gained, or has waited for it too long, waits like everybody from then on."""
    made = giving_way(snapshot, plan.preemptions).displacements
    if not made:
        return ()
    takers, there = {one.workload for one in made}, {workload.name for workload in snapshot.workloads}
    placed: Counter[str] = Counter()
    for placement in plan.placements:
        if placement.workload in takers:
            placed[placement.workload] += placement.replicas
    kept = (one for one in made if {one.workload, one.victim} <= there and one.age_s < FORGOTTEN_S)
    return tuple(
        replace(one, gains=0) if placed[one.workload] >= one.gains or one.age_s > PATIENCE_S else one for one in kept
    )


def _oldest_first(one: Displacement) -> tuple[float, int, str, str]:
    return -one.age_s, one.place, one.workload, one.victim
