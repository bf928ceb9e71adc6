"""Every replica has one answer, every refusal a reason for every cluster, and gangs are whole or absent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from federator.engine.checks.capacity import certain_room
from federator.engine.checks.facts import Facts
from federator.model.cluster import Health
from federator.model.plan import Placement, Refusal
from federator.model.reasons import Reason
from federator.model.workload import Workload


def answered(facts: Facts) -> Iterator[str]:
    """Placed plus refused is wanted, for every role; nothing else is placed, and nothing twice."""
    placements, refusals = facts.plan.placements, facts.plan.refusals
    known = {(w.name, role.name): facts.wanted(w, role) for w in facts.snapshot.workloads for role in w.roles}
    seen = Counter((p.workload, p.role, p.cluster) for p in placements)
    yield from (f"{key} is placed {count} times" for key, count in seen.items() if count > 1)
    sums: Counter[tuple[str, str]] = Counter()
    answers = [(p.workload, p.role, p.replicas) for p in placements] + [
        (r.workload, r.role, r.replicas) for r in refusals
    ]
    for workload, role, replicas in answers:
        if replicas <= 0:
            yield f"{workload}: an answer for {replicas} replicas"
        sums[workload, role] += replicas
    for placement in placements:
        if placement.cluster not in facts.clusters:
            yield f"{placement.workload} is placed on {placement.cluster}, which is not there"
    for key in sums.keys() - known.keys():
        yield f"{key} is answered but was not asked"
    for key, wanted in known.items():
        if sums[key] != wanted:
            yield f"{key}: {wanted} replicas are wanted, {sums[key]} are answered"
    yield from _sorted(placements, refusals)


def _sorted(placements: Sequence[Placement], refusals: tuple[Refusal, ...]) -> Iterator[str]:
    placed = [(p.workload, p.role, p.cluster) for p in placements]
    refused = [(r.workload, r.role) for r in refusals]
    if placed != sorted(placed) or refused != sorted(refused):
        yield "the answers are not sorted"


def refusals_reasoned(facts: Facts) -> Iterator[str]:
    """Every refusal has a reason for every cluster, in words, and none claims a lack of room where there is some."""
    for refusal in facts.plan.refusals:
        if set(refusal.reasons) != set(facts.clusters):
            yield f"{refusal.workload}: reasons for {sorted(refusal.reasons)}, not for every cluster"
            continue
        for name, verdict in refusal.reasons.items():
            if not verdict.message:
                yield f"{refusal.workload}: no words for {name}"
            if verdict.reason is Reason.STAYS_ELSEWHERE and not _gang_rests(facts, refusal.workload):
                yield f"{refusal.workload}: nothing keeps it off {name}, yet it is refused"
            workload, role = facts.workloads[refusal.workload], facts.role(refusal.workload, refusal.role)
            if verdict.reason is Reason.NO_ROOM and certain_room(facts, workload, role, facts.clusters[name]) > 0:
                yield f"{refusal.workload}: {name} is said to have no room, but has some"


def _gang_rests(facts: Facts, name: str) -> bool:
    """Whether a silent cluster holds some of it, so that the rest waits for that cluster."""
    return any(
        count > 0 and workload == name and facts.clusters[cluster].health is not Health.UP
        for (workload, _, cluster), count in facts.held.items()
    )


def gangs_whole(facts: Facts) -> Iterator[str]:
    """A gang is whole, absent, or exactly what silent clusters hold of it; several roles share a cluster."""
    for workload in facts.snapshot.workloads:
        if workload.gang is None and len(workload.roles) == 1:
            continue
        placed = {key: count for key, count in facts.placed.items() if key[0] == workload.name}
        if not placed or _only_believed(facts, placed):
            continue
        missing = [
            r.name
            for r in workload.roles
            if sum(c for k, c in placed.items() if k[1] == r.name) != facts.wanted(workload, r)
        ]
        if missing and not _behind_head(facts, workload):
            yield f"gang {workload.name} is placed in part: not all of {missing}"
        clusters = sorted({cluster for _, _, cluster in placed})
        scope = workload.gang.scope if workload.gang else "cluster"
        if scope == "cluster" and len(clusters) > 1 and not _behind_head(facts, workload):
            yield f"gang {workload.name} of one cluster is placed on {clusters}"
        if scope == "label" and workload.gang and not _behind_head(facts, workload):
            values = {facts.clusters[name].labels.get(workload.gang.label) for name in clusters}
            if len(values) > 1 or None in values:
                yield f"gang {workload.name} is placed on {clusters}, which differ in {workload.gang.label}"


def _only_believed(facts: Facts, placed: dict[tuple[str, str, str], int]) -> bool:
    silent = {name for name, cluster in facts.clusters.items() if cluster.health is not Health.UP}
    return any(key[2] in silent for key in placed) and all(
        count <= facts.held.get(key, 0) for key, count in placed.items()
    )


def _behind_head(facts: Facts, workload: Workload) -> bool:
    """Whether it waits behind a blocked head: then it keeps exactly what it holds."""
    if facts.snapshot.planning.blocked_head != "wait":
        return False
    return all(count <= facts.held.get(key, 0) for key, count in facts.placed.items() if key[0] == workload.name)
