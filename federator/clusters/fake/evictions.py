"""Backfill gives way at a fake cluster: at once, on the nodes where others were bound in its place."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING

from federator.clusters.fake.parts import NONE, FakeIntent
from federator.clusters.losses import Held
from federator.model.backfill import lost_s
from federator.model.indexset import IndexSet
from federator.model.intent import PREEMPTED

if TYPE_CHECKING:
    from federator.clusters.fake.world import FakeCluster


def make_room(cluster: FakeCluster, now_s: float) -> float:
    """End what has to give way, what loses least first; how long that takes, in seconds."""
    waits_s = 0.0
    for node in cluster.pool.overfull() if cluster.pool is not None else ():
        fillers = [one for one in cluster.intents.values() if one.order.backfill and node.name in one.seats]
        for intent in sorted(fillers, key=lambda one: _turn(one, now_s)):
            for index in reversed(list(intent.seats.get(node.name, NONE))):
                if not node.overfull:
                    break
                cluster.fail(intent, IndexSet.of([index]), now_s, PREEMPTED, None, own_fault=False)
                waits_s = max(waits_s, min(intent.order.grace_s, cluster.settings.stop_time_s))
    return waits_s


def held(cluster: FakeCluster, now_s: float) -> Iterator[Held]:
    """All replicas of backfill that have a node."""
    for intent in cluster.intents.values():
        if intent.order.backfill:
            for node, requests, seated in intent.seats_of(intent.there):
                yield from repeat((node, _lost_s(intent, now_s), requests), len(seated))


def _turn(one: FakeIntent, now_s: float) -> tuple[float, float, str]:
    """When it has to give way: of those that lose as much the youngest first."""
    return _lost_s(one, now_s), -one.created_s, one.order.intent.id


def _lost_s(one: FakeIntent, now_s: float) -> float:
    return lost_s(now_s - one.created_s, one.order.checkpoint_every_s)
