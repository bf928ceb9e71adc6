"""Heads that stay, and backfilling with a reservation that is made once (``blockedHead: stay``, ``backfilling: once``).

The first of a queue that does not fit stays its head until it starts, whatever comes. Under ``once`` it gets a
reservation when it becomes the head, from expected ends, which is not changed any more; what is behind it may start,
first come, first served, if it is expected to end before every reservation begins (RLScheduler, SC'20, backfills so).

There is no second way of placing: the planner is asked up to three times. Who the heads are is part of a plan, and of
the next snapshot: nothing is remembered here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from federator.engine.ends import Ends, milliseconds
from federator.engine.order import in_order
from federator.model.plan import Head, Holding, Placement, Plan, Refusal, Reservation, Snapshot
from federator.model.policy import Planning
from federator.model.reasons import Reason, by_reason
from federator.model.workload import Workload

STAY, ONCE = "stay", "once"
Planner = Callable[[Snapshot], Plan]


def heads_stay(planning: Planning) -> bool:
    """Whether plans are made here."""
    return planning.backfilling == ONCE or (planning.backfilling == "none" and planning.blocked_head == STAY)


def plan_with_heads(snapshot: Snapshot, planner: Planner) -> Plan:
    """1 serve the queues up to their heads, 2 reserve for heads that are new, 3 serve what may pass them."""
    asked = replace(snapshot.planning, blocked_head="wait", backfilling="none")
    plain = planner(replace(snapshot, planning=asked))
    waiting = _heads(snapshot, plain)
    if snapshot.planning.backfilling != ONCE or not waiting:
        return replace(plain, heads=tuple(Head(workload.name) for workload in waiting))
    started = replace(snapshot, holdings=tuple(_with_placed(snapshot.holdings, plain.placements)))
    before = {head.workload: head for head in snapshot.heads if head.places}
    heads = tuple(before.get(one.name) or _reserved(started, one, planner) for one in waiting)
    return replace(_passing(started, plain, heads, planner), heads=heads)


def _heads(snapshot: Snapshot, plan: Plan) -> list[Workload]:
    """The first of each queue that waits for anything but another."""
    refused = {r.workload for r in plan.refusals if by_reason(r.reasons).keys() != {Reason.BEHIND_BLOCKED_HEAD}}
    found: dict[str, Workload] = {}
    for workload in in_order(snapshot) if refused else ():
        if workload.name in refused:
            found.setdefault(workload.queue, workload)
    return list(found.values())


def _with_placed(holdings: Sequence[Holding], placements: Iterable[Placement]) -> Iterable[Holding]:
    """What is held when a plan has been carried out; what it has placed is on its way."""
    held = {(one.workload, one.role, one.cluster): one for one in holdings}
    for one in placements:
        key = one.workload, one.role, one.cluster
        old = held.get(key, Holding(*key, replicas=0))
        more = one.replicas - old.replicas
        if more > 0:
            waves = ((0.0, more), *(old.waves or ((old.age_s, old.replicas),))) if old.replicas else ()
            held[key] = replace(old, replicas=one.replicas, unbound=old.unbound + more, age_s=0.0, waves=waves)
    return (held[key] for key in sorted(held))


def _only(snapshot: Snapshot, names: Iterable[str], planning: Planning) -> Snapshot:
    """The federation with what holds something, and of what waits these alone."""
    kept = {*names, *(holding.workload for holding in snapshot.holdings)}
    workloads = tuple(workload for workload in snapshot.workloads if workload.name in kept)
    return replace(snapshot, workloads=workloads, heads=(), planning=planning)


def _reserved(started: Snapshot, head: Workload, planner: Planner) -> Head:
    planning = replace(started.planning, blocked_head="pass", backfilling="easy")
    made = planner(_only(started, [head.name], planning))
    mine = [one for one in made.reservations if one.workload == head.name]
    at_s = max((started.at_s + one.at_s for one in mine), default=None)
    return Head(head.name, at_s, tuple((one.cluster, one.replicas) for one in mine))


def _passing(started: Snapshot, plain: Plan, heads: Sequence[Head], planner: Planner) -> Plan:
    """The plan with what may pass the heads."""
    ends, holding = Ends(started.planning), {one.workload for one in started.holdings}
    left = min((milliseconds(head.at_s - started.at_s) for head in heads if head.at_s is not None), default=None)
    first = {head.workload for head in heads}
    free = {
        workload.name
        for workload in started.workloads
        if workload.name not in first | holding and (left is None or ends.lasts(workload) < left)
    }
    reservations = tuple(
        Reservation(head.workload, cluster, max(0.0, head.at_s - started.at_s), replicas)
        for head in sorted(heads)
        if head.at_s is not None
        for cluster, replicas in head.places
    )
    if not free:
        return replace(plain, reservations=reservations)
    planning = replace(started.planning, order="fifo", blocked_head="pass", backfilling="none")
    passed = planner(_only(started, free, planning))
    return replace(
        plain,
        placements=passed.placements,
        refusals=tuple(_refusals(plain, passed, free)),
        reservations=reservations,
    )


def _refusals(plain: Plan, passed: Plan, free: set[str]) -> Iterable[Refusal]:
    """What still waits, and why: what may not pass waits behind its head."""
    begun = {one.workload for one in passed.placements} & free
    still = [refusal for refusal in passed.refusals if refusal.workload in begun]
    return sorted([*(r for r in plain.refusals if r.workload not in begun), *still], key=lambda r: (r.workload, r.role))
