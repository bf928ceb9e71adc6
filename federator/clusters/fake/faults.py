"""Faults at a fake cluster: what happens to replicas and nodes there. (Those on the way to it: ``provider``.)"""

from __future__ import annotations

from federator.clusters.fake.parts import NONE
from federator.clusters.fake.world import FakeCluster
from federator.model.indexset import IndexSet


def crash(cluster: FakeCluster, intent_id: str, indices: IndexSet, now_s: float, exit_code: int = 1) -> None:
    """Let replicas end with an exit code."""
    cluster.fail(cluster.intents[intent_id], indices, now_s, "Error", exit_code)


def evict(cluster: FakeCluster, intent_id: str, indices: IndexSet, now_s: float) -> None:
    """Take replicas away, through no fault of theirs."""
    cluster.fail(cluster.intents[intent_id], indices, now_s, "Evicted", None, own_fault=False)


def lose_node(cluster: FakeCluster, name: str, now_s: float) -> None:
    """A node breaks, with all that runs on it."""
    assert cluster.pool is not None, "a cluster of unknown room has no nodes to lose"
    cluster.pool.set_down(name, True)
    for intent in list(cluster.intents.values()):
        if seated := intent.seats.get(name, NONE):
            cluster.fail(intent, seated, now_s, "NodeLost", None, own_fault=False)
    cluster.touch()


def mend_node(cluster: FakeCluster, name: str, now_s: float) -> None:
    """A broken node is back, empty."""
    assert cluster.pool is not None, "a cluster of unknown room has no nodes"
    cluster.pool.set_down(name, False)
    cluster.bind_waiting(now_s)
    cluster.touch()
