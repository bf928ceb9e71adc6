"""Backfill gives way at a fake cluster: at once, on the nodes where others were bound in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from federator.clusters.fake.parts import NONE
from federator.model.indexset import IndexSet
from federator.model.intent import PREEMPTED

if TYPE_CHECKING:
    from federator.clusters.fake.world import FakeCluster


def make_room(cluster: FakeCluster, now_s: float) -> float:
    """End what has to give way, the youngest intents first; how long that takes, in seconds."""
    waits_s = 0.0
    for node in cluster.pool.overfull() if cluster.pool is not None else ():
        fillers = [one for one in cluster.intents.values() if one.order.backfill and node.name in one.seats]
        for intent in sorted(fillers, key=lambda one: (-one.created_s, one.order.intent.id)):
            for index in reversed(list(intent.seats.get(node.name, NONE))):
                if not node.overfull:
                    break
                cluster.fail(intent, IndexSet.of([index]), now_s, PREEMPTED, None, own_fault=False)
                waits_s = max(waits_s, min(intent.order.grace_s, cluster.settings.stop_time_s))
    return waits_s
