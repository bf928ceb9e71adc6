"""A later tier gets replicas only if every earlier one is full, away for long enough, or cannot take them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from federator.engine.checks.capacity import certain_room
from federator.engine.checks.facts import Facts
from federator.engine.checks.reservations import reserved_before_its_end
from federator.model.cluster import Cluster, Health
from federator.model.plan import shape_key
from federator.model.policy import FULL_PPM
from federator.model.resources import Resources
from federator.model.workload import Workload


def tiers_in_order(facts: Facts) -> Iterator[str]:
    """Looks at workloads that grew in a tier, and at what surely is still free in the tiers before it."""
    for workload in facts.snapshot.workloads:
        growth = _growth(facts, workload)
        for place in range(1, len(facts.policies[workload.name].tiers)):
            if growth.get(place, 0) <= 0:
                continue
            for earlier in range(place):
                yield from _had_room(facts, workload, earlier, place)
                yield from _too_soon(facts, workload, earlier, place)


def _growth(facts: Facts, workload: Workload) -> dict[int, int]:
    growth: dict[int, int] = {}
    for name in facts.clusters:
        place = facts.tier(workload.name, name)
        if place is not None:
            for role in workload.roles:
                key = (workload.name, role.name, name)
                growth[place] = growth.get(place, 0) + facts.placed.get(key, 0) - facts.held.get(key, 0)
    return growth


def _could_take(facts: Facts, workload: Workload, place: int) -> list[Cluster]:
    """Clusters of the tier that would take more of the workload, if they had room and answered."""
    could = []
    together = len(workload.roles) > 1 or (workload.gang is not None and workload.gang.scope == "cluster")
    total = sum(facts.wanted(workload, role) for role in workload.roles)
    for name, cluster in facts.clusters.items():
        if facts.tier(workload.name, name) != place or cluster.cordoned or cluster.draining:
            continue
        maximum = facts.bounds(workload.name, name).maximum
        here = sum(count for (w, _, where), count in facts.placed.items() if (w, where) == (workload.name, name))
        needed = total if together else here + 1
        if (maximum is not None and needed > maximum) or facts.weightless(workload.name, name):
            continue
        if all(facts.suits(workload, role, cluster) for role in workload.roles):
            could.append(cluster)
    return could


def _had_room(facts: Facts, workload: Workload, earlier: int, place: int) -> Iterator[str]:
    if len(workload.roles) > 1 or (workload.gang is not None and workload.gang.scope == "label"):
        return  # whether several roles fit together is not certain from what each finds alone
    role = workload.roles[0]
    needed = facts.wanted(workload, role) if workload.gang is not None and workload.gang.scope == "cluster" else 1
    if not _below_fill(facts, workload, earlier, needed):
        return
    for cluster in _could_take(facts, workload, earlier):
        if reserved_before_its_end(facts, workload, cluster.name):
            continue
        if cluster.health is Health.UP and certain_room(facts, workload, role, cluster) >= needed:
            yield f"{workload.name} grew in tier {place} while {cluster.name} of tier {earlier} had room"


def _below_fill(facts: Facts, workload: Workload, place: int, needed: int) -> bool:
    """Whether the tier, with all that this plan promises there, is still below its fillTo."""
    ppm = facts.policies[workload.name].tiers[place].fill_to_ppm
    if ppm >= FULL_PPM:
        return True
    members = [c for n, c in facts.clusters.items() if facts.tier(workload.name, n) == place and facts.takes_work(c)]
    if any(cluster.flavors is None for cluster in members):
        return True
    whole, used = Resources(), Resources()
    for cluster in members:
        whole = whole + cluster.allocatable
        used = used + cluster.allocatable - cluster.free
        for counts in (facts.new, facts.unbound):
            for (name, role, where), count in counts.items():
                if where == cluster.name:
                    used = used + facts.role(name, role).requests * count
    requests = workload.roles[0].requests
    dominant = [(-Fraction(amount, whole[name]), name) for name, amount in requests.items_ if whole[name] > 0]
    if not dominant:
        return True
    name = min(dominant)[1]
    return (used[name] + requests[name] * (needed - 1)) * FULL_PPM < ppm * whole[name]


def _too_soon(facts: Facts, workload: Workload, earlier: int, place: int) -> Iterator[str]:
    """The tier that grew must have waited for what its openAfter says since the earlier one was full or away."""
    policy = facts.policies[workload.name]
    could = _could_take(facts, workload, earlier)
    if not could:
        return
    after_s = policy.tiers[place].open_after_s
    if all(cluster.health is not Health.UP for cluster in could):
        needed_s = facts.snapshot.planning.outage_grace_s if after_s is None else after_s
        lost = after_s is None and all(cluster.health is Health.LOST for cluster in could)
        if not lost and min(cluster.away_s for cluster in could) < needed_s:
            yield f"{workload.name} grew in tier {place}; tier {earlier} has not been away for {needed_s} s"
        return
    if not after_s:
        return
    key = (policy.name, policy.tiers[earlier].name, shape_key(workload))
    since = {(clock.policy, clock.tier, clock.shape): clock.since_s for clock in facts.snapshot.clocks}.get(key)
    if since is None or facts.snapshot.at_s - since < after_s:
        yield f"{workload.name} grew in tier {place}; tier {earlier} has not been full for {after_s} s"
