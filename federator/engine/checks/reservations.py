"""What is reserved has its room at its time, beside all that then still runs: nothing in the plan delays it.

Where a snapshot does not tell on which nodes replicas run, those that end are taken to have left whichever nodes suit
best: then only what is impossible in any case is seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import inf

from federator.engine.checks.facts import Facts
from federator.engine.checks.packing import Item, Node, impossible
from federator.model.cluster import Cluster, Flavor, NodeGroup
from federator.model.plan import Reservation
from federator.model.policy import OVERRUN_S
from federator.model.reasons import Reason
from federator.model.resources import Resources
from federator.model.workload import Lifetime, Workload


def runs_for_s(facts: Facts, workload: Workload) -> float:
    """How long a replica is expected to run."""
    if workload.lifetime is Lifetime.SERVICE:
        return inf
    return facts.snapshot.planning.unknown_duration_s if workload.duration_s is None else workload.duration_s


def _ends_s(facts: Facts, workload: Workload, age_s: float) -> float:
    left = runs_for_s(facts, workload) - age_s
    return left if left > 0 else OVERRUN_S


def reserved_before_its_end(facts: Facts, workload: Workload, cluster: str) -> Reservation | None:
    """A reservation of somebody else on a cluster that begins while a replica placed now would run."""
    lasts_s = runs_for_s(facts, workload)
    others = (one for one in facts.plan.reservations if one.cluster == cluster and one.workload != workload.name)
    return next((one for one in others if one.at_s < lasts_s), None)


def reservations_kept(facts: Facts) -> Iterator[str]:
    """Reservations are for workloads that wait, for what must start at once, where and when it can."""
    by_workload: dict[str, list[Reservation]] = defaultdict(list)
    for one in facts.plan.reservations:
        by_workload[one.workload].append(one)
    most = {"none": 0, "easy": 1}.get(facts.snapshot.planning.backfilling, facts.snapshot.planning.max_reservations)
    ordinary = by_workload.keys() - gainers(facts)
    if len(ordinary) > most:
        yield f"{len(ordinary)} workloads have reservations, {most} may"
    for name, reservations in by_workload.items():
        yield from _fitting(facts, facts.workloads[name], reservations)
    for cluster in sorted({one.cluster for one in facts.plan.reservations}):
        for at_s in sorted({one.at_s for one in facts.plan.reservations if one.cluster == cluster}):
            yield from _has_room(facts, facts.clusters[cluster], at_s)
    yield from _true_reasons(facts)


def gainers(facts: Facts) -> set[str]:
    """The workloads for which others have given way."""
    return {one.workload for one in facts.snapshot.displacements}


def _fitting(facts: Facts, workload: Workload, reservations: list[Reservation]) -> Iterator[str]:
    """All of what must start at once, at one time, where it may be; and for nothing that runs."""
    name = workload.name
    begun = any(count and key[0] == name for counts in (facts.placed, facts.held) for key, count in counts.items())
    if not any(refusal.workload == name for refusal in facts.plan.refusals):
        yield f"{name} has a reservation, and nothing of it waits"
    wanted = sum(facts.wanted(workload, role) for role in workload.roles)
    together = workload.gang is not None or len(workload.roles) > 1
    needed = wanted if together else 1 if begun else max(1, min(workload.min_replicas, wanted))
    if together and begun:
        yield f"{name} has a reservation, and replicas too"
    reserved = sum(one.replicas for one in reservations)
    refused = sum(refusal.replicas for refusal in facts.plan.refusals if refusal.workload == name)
    if name in gainers(facts) and {one.at_s for one in reservations} == {OVERRUN_S}:
        if not needed <= reserved <= refused:
            yield f"{name}: {reserved} replicas are kept room for, {refused} wait and {needed} start at once"
    elif reserved != needed:
        yield f"{name}: {sum(one.replicas for one in reservations)} replicas are reserved, {needed} start at once"
    if len({one.at_s for one in reservations}) > 1 or min(one.at_s for one in reservations) <= 0:
        yield f"{name} has reservations at {sorted({one.at_s for one in reservations})}"
    scope = workload.gang.scope if workload.gang else "cluster"
    if together and scope == "cluster" and len(reservations) > 1:
        yield f"{name} must be in one cluster, and is reserved on {sorted(one.cluster for one in reservations)}"
    for one in reservations:
        cluster, maximum = facts.clusters[one.cluster], facts.bounds(name, one.cluster).maximum
        if not facts.takes_work(cluster) or not all(facts.suits(workload, role, cluster) for role in workload.roles):
            yield f"{name} is reserved on {one.cluster}, where it may not be"
        if maximum is not None and one.replicas > maximum:
            yield f"{name}: {one.replicas} replicas are reserved on {one.cluster}, policy allows {maximum}"


def _has_room(facts: Facts, cluster: Cluster, at_s: float) -> Iterator[str]:
    """What is reserved for that time or still runs then fits what is free then."""
    asked = [item for one in _reserved_at(facts, cluster, at_s) for item in _items(facts, cluster, one)]
    for counts, aged in ((facts.new, False), (facts.unbound, True)):
        asked += _still_running(facts, cluster, at_s, counts, aged=aged)
    freed, told = _freed(facts, cluster, at_s)
    nodes = [node for flavor in cluster.flavors or () for node in _nodes(facts, cluster, flavor, at_s, freed)]
    reason = impossible(nodes, asked)
    if reason is None and not told:
        total, free = Resources(), cluster.free + freed
        for item in asked:
            total = total + item.requests * item.count
        for flavor in cluster.flavors or ():
            free = free + flavor.allocatable * max(0, flavor.max_count - flavor.count)
        if not total.fits_in(free):
            reason = f"{dict(total.items_)} in all, {dict(free.items_)} is free then"
    if reason is not None:
        yield f"{cluster.name} has no room in {at_s} s for what is reserved there: {reason}"


def _reserved_at(facts: Facts, cluster: Cluster, at_s: float) -> Iterator[Reservation]:
    for one in facts.plan.reservations:
        ends_s = one.at_s + runs_for_s(facts, facts.workloads[one.workload])
        if one.cluster == cluster.name and one.at_s <= at_s < ends_s:
            yield one


def _items(facts: Facts, cluster: Cluster, one: Reservation) -> Iterator[Item]:
    workload = facts.workloads[one.workload]
    for role in workload.roles:
        if len(workload.roles) > 1 and workload.gang is not None and workload.gang.scope != "cluster":
            return  # how many of each role are meant for this cluster is not said
        count = facts.wanted(workload, role) if len(workload.roles) > 1 else one.replicas
        yield _item(facts, cluster, workload.name, role.name, count)


def _item(facts: Facts, cluster: Cluster, workload: str, role_name: str, count: int) -> Item:
    role = facts.role(workload, role_name)
    usable = (f.name for f in cluster.flavors or () if facts.usable(facts.workloads[workload], role, cluster, f))
    return Item(facts.takes(role, cluster), frozenset(usable), count)


def _still_running(
    facts: Facts, cluster: Cluster, at_s: float, counts: Mapping[tuple[str, str, str], int], *, aged: bool
) -> list[Item]:
    """New replicas that run until after that; and those on their way, at their age."""
    items = []
    for (workload, role, where), count in sorted(counts.items()):
        if where != cluster.name or not count:
            continue
        ages = [
            one.age_s
            for one in facts.snapshot.holdings
            if (one.workload, one.role, one.cluster) == (workload, role, where)
        ]
        oldest = max(ages, default=0.0) if aged else 0.0
        if _ends_s(facts, facts.workloads[workload], oldest) > at_s:
            items.append(_item(facts, cluster, workload, role, count))
    return items


def _freed(facts: Facts, cluster: Cluster, at_s: float) -> tuple[Resources, bool]:
    """What those have freed until then of whom it is not told where they run; and whether it is told of all nodes."""
    groups = [group for flavor in cluster.flavors or () for group in flavor.nodes]
    told: dict[tuple[str, str], int] = defaultdict(int)
    for group in groups:
        for run in group.runs or ():
            told[run.workload, run.role] += run.replicas * group.count
    freed = Resources()
    for holding in facts.snapshot.holdings:
        workload = facts.workloads.get(holding.workload)
        if workload is None or holding.cluster != cluster.name:
            continue
        requests = facts.takes(facts.role(holding.workload, holding.role), cluster)
        bound = max(0, holding.replicas - holding.unbound)
        ended = sum(
            n for age, n in _waves(holding.waves, holding.age_s, bound) if _ends_s(facts, workload, age) <= at_s
        )
        ended = min(bound, ended) + holding.leaving - holding.leaving_unbound
        known = min(ended, told[holding.workload, holding.role])
        told[holding.workload, holding.role] -= known
        freed = freed + requests * (ended - known)
    return freed, all(group.runs is not None for group in groups)


def _waves(waves: tuple[tuple[float, int], ...], age_s: float, bound: int) -> tuple[tuple[float, int], ...]:
    return waves or ((age_s, bound),)


def _nodes(facts: Facts, cluster: Cluster, flavor: Flavor, at_s: float, freed: Resources) -> Iterator[Node]:
    """What is free on every node then, at most."""
    for group in flavor.nodes:
        free = group.free.floor() + (_ended_on(facts, cluster, group, at_s) if group.runs is not None else freed)
        most = Resources.of({name: min(free[name], flavor.allocatable[name]) for name in flavor.allocatable})
        yield from [Node(flavor.name, most)] * group.count
    yield from [Node(flavor.name, flavor.allocatable)] * max(0, flavor.max_count - flavor.count)


def _ended_on(facts: Facts, cluster: Cluster, group: NodeGroup, at_s: float) -> Resources:
    ended = Resources()
    for run in group.runs or ():
        workload = facts.workloads.get(run.workload)
        if workload is not None and _ends_s(facts, workload, run.age_s) <= at_s:
            ended = ended + facts.takes(facts.role(run.workload, run.role), cluster) * run.replicas
    return ended


def _true_reasons(facts: Facts) -> Iterator[str]:
    """Only what would run into a reservation is kept out for its sake."""
    for refusal in facts.plan.refusals:
        for name, verdict in refusal.reasons.items():
            if verdict.reason is Reason.RESERVED_FOR_ANOTHER:
                one = reserved_before_its_end(facts, facts.workloads[refusal.workload], name)
                if one is None:
                    yield f"{refusal.workload} is kept out of {name}, where nothing is reserved before it ends"
