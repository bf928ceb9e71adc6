"""Plans that can start nothing are left out: where nothing that waits fits into what is free, a plan changes nothing.

That holds where running work stays, nobody gives way to others, and no tier waits for a clock. A property test tells
each story twice, with and without.
"""

from __future__ import annotations

from collections.abc import Sequence

from federator.engine.heads import heads_stay
from federator.model.cluster import Health
from federator.model.plan import Snapshot
from federator.model.policy import Rebalance
from federator.model.resources import Resources
from federator.model.workload import Workload
from federator.simulator.world import World


def stays_as_it_is(federation: Snapshot) -> bool:
    """Whether only what waits, and room for it, make a plan differ from what is."""
    if federation.cohorts or any(queue.cohort for queue in federation.queues):
        return False  # who has borrowed may have to give way
    if any(cluster.draining for cluster in federation.clusters):
        return False  # what runs there moves when room comes free elsewhere
    return all(
        policy.stay.rebalance is Rebalance.NEVER
        and policy.preempt in ("never", "backfill")
        and policy.replicas is None
        and not any(tier.open_after_s for tier in policy.tiers)
        for policy in federation.policies
    )


def nothing_can_start(world: World, now_s: float) -> bool:
    """Whether it is certain that no replica that waits has room."""
    world.look(now_s)
    if heads_stay(world.story.federation.planning) and not _heads_known(world):
        return False
    if any(member.lag_s for member in world.members.values()):
        return False  # what planning sees is not what there is
    rooms = [member.site.room() for member in world.members.values() if member.health is Health.UP]
    asked: set[tuple[Resources, int]] = set()
    for live in world.waiting.values():
        if live.service or live.part is None:
            return False
        asked.update(_needs(live.part.workload))
    return not any(_fits(requests, replicas, room) for requests, replicas in asked for room in rooms)


def _heads_known(world: World) -> bool:
    """Whether each queue in which something waits has its head."""
    known = {world.lives[head.workload].workload.queue for head in world.heads if head.workload in world.lives}
    return {live.workload.queue for live in world.waiting.values()} <= known


def _needs(workload: Workload | None) -> list[tuple[Resources, int]]:
    """What must be free in one cluster, at the least, for anything of it to start."""
    if workload is None:
        return []
    whole = workload.gang is not None and workload.gang.scope == "cluster"
    return [(role.requests, role.replicas if whole else 1) for role in workload.roles]


def _fits(requests: Resources, replicas: int, room: Sequence[tuple[Resources, int]] | None) -> bool:
    """``room``: what is free on nodes, and on how many; None: nodes may be added."""
    if room is None:
        return True
    found = 0
    for free, nodes in room:
        each = requests.count_in(free)
        if each is None:
            return True
        found += each * nodes
        if found >= replicas:
            return True
    return False
