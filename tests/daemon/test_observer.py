"""When a cluster has something new to offer, shapes that found no node there are tried again."""

from __future__ import annotations

from dataclasses import replace

from federator.daemon.observer import _room_appeared
from federator.model.cluster import Flavor, NodeGroup
from federator.model.intent import Observation
from federator.model.resources import CPU, Resources

NODE = Resources.of({CPU: 4000})
FLAVOR = Flavor("f", 1, NODE, (NodeGroup(Resources(), 1),))


def seen(flavor: Flavor) -> Observation:
    return Observation("c", 0.0, flavors=(flavor,))


def test_a_node_more_of_it_free_or_a_node_that_may_come_is_new_room() -> None:
    more_nodes = replace(FLAVOR, count=2, nodes=(NodeGroup(Resources(), 2),))
    more_free = replace(FLAVOR, nodes=(NodeGroup(NODE, 1),))
    may_come = replace(FLAVOR, max_count=2)
    for better in (more_nodes, more_free, may_come):
        assert _room_appeared(seen(FLAVOR), seen(better))
        assert not _room_appeared(seen(better), seen(FLAVOR)), "less of it is none"
    assert not _room_appeared(seen(FLAVOR), seen(FLAVOR))
