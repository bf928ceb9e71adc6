"""Binding in bulk takes the nodes that binding one replica after the other would take."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.engine import balance, binding
from federator.engine.binding import HABITS, bind
from federator.engine.nodes import WHOLE_NODE, Nodes
from federator.engine.rows import COUNT, FREE, LENGTH, START
from federator.model.cluster import Binding, Cluster, Flavor, NodeGroup
from federator.model.resources import Resources
from tests.interpreted import interpreted

Free = tuple[int, ...]


@dataclass
class OneByOne:
    """Every node by itself, in the order of their numbers, and the rules as they are written down."""

    resources: tuple[str, ...]
    habit: Binding
    nodes: list[tuple[str, Free, int]] = field(default_factory=list)
    """(flavor, free, use)."""

    def bind(self, flavors: dict[str, Flavor], requests: Resources, ranks: dict[str, int]) -> bool:
        """Bind one replica; False if it finds no node."""
        asked = tuple(requests[name] for name in self.resources)
        step = {name: max(1, _use(flavor, requests)) for name, flavor in flavors.items()}

        def fits(at: int) -> int:
            return min((free // ask for free, ask in zip(self.nodes[at][1], asked, strict=True) if ask), default=1)

        def height(at: int) -> int:
            flavor, free, _ = self.nodes[at]
            left = dict(zip(self.resources, (f - a for f, a in zip(free, asked, strict=True)), strict=True))
            whole = flavors[flavor].allocatable
            return max((whole[r] - left[r]) * WHOLE_NODE // whole[r] for r in ("cpu", "memory") if whole[r])

        def preference(at: int) -> tuple[object, ...]:
            flavor, _, use = self.nodes[at]
            habits = {
                Binding.SPREAD: (use + step[flavor],),
                Binding.BALANCE: (height(at), use + step[flavor]),
                Binding.PACK: (-use,),
                Binding.FRAGMENTATION_AWARE: (fits(at), -use),
            }
            return (ranks[flavor], *habits[self.habit], at)

        could = [at for at in range(len(self.nodes)) if fits(at) > 0]
        if not could:
            return False
        best = min(could, key=preference)
        flavor, free, use = self.nodes[best]
        left = tuple(amount - ask for amount, ask in zip(free, asked, strict=True))
        self.nodes[best] = (flavor, left, use + step[flavor])
        return True


def _use(flavor: Flavor, taken: Resources) -> int:
    return sum(
        taken[name] * WHOLE_NODE // flavor.allocatable[name] for name in ("cpu", "memory") if flavor.allocatable[name]
    )


def state(nodes: Nodes, cluster: int) -> Counter[tuple[str, Free]]:
    """How many nodes of a cluster have what free, by flavor."""
    found: Counter[tuple[str, Free]] = Counter()
    for lot in np.flatnonzero(nodes.home == cluster).tolist():
        start, length = nodes.blocks[lot, START], nodes.blocks[lot, LENGTH]
        for row in nodes.rows[start : start + length].tolist():
            found[nodes.lots[lot].flavor.name, tuple(row[FREE:])] += row[COUNT]
    assert nodes.sums[0, cluster].tolist() == [
        sum(free[at] * count for (_, free), count in found.items()) for at in range(len(nodes.resources))
    ]
    return found


@st.composite
def members(draw: st.DrawFn, name: str) -> Cluster:
    made = []
    for at in range(draw(st.integers(1, 2))):
        whole = Resources.of(
            {"cpu": draw(st.integers(1, 12)), "memory": draw(st.integers(1, 12)), "gpu": draw(st.sampled_from((0, 2)))}
        )
        groups = [
            NodeGroup(
                Resources.of({key: whole[key] * draw(st.integers(0, 4)) // 4 for key in whole}), draw(st.integers(1, 5))
            )
            for _ in range(draw(st.integers(1, 3)))
        ]
        made.append(Flavor(f"f{at}", sum(group.count for group in groups), whole, tuple(groups)))
    return Cluster(name, flavors=tuple(made), binding=draw(st.sampled_from(Binding)))


shapes = st.builds(
    lambda cpu, memory, gpu: Resources.of({"cpu": cpu, "memory": memory, "gpu": gpu}),
    st.integers(0, 4),
    st.integers(0, 4),
    st.sampled_from((0, 0, 1)),
).filter(bool)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[list[Cluster], list[tuple[Resources, list[int]]]]:
    clusters = [draw(members(name)) for name in ("a", "b")[: draw(st.integers(1, 2))]]
    asked = draw(
        st.lists(
            st.tuples(shapes, st.lists(st.integers(0, 30), min_size=len(clusters), max_size=len(clusters))),
            min_size=1,
            max_size=4,
        )
    )
    return clusters, asked


def compare(clusters: list[Cluster], asked: list[tuple[Resources, list[int]]]) -> None:
    """Bind the same in bulk and one by one, and compare all nodes after every shape."""
    nodes = Nodes(clusters, ("cpu", "memory", "gpu"))
    habits = np.array([HABITS[cluster.binding] for cluster in clusters])
    singles = []
    for cluster in clusters:
        single = OneByOne(nodes.resources, cluster.binding)
        for flavor in cluster.flavors or ():
            found = [(tuple(-group.free[name] for name in nodes.resources), group) for group in flavor.nodes]
            for _, group in sorted(found, key=lambda pair: pair[0]):
                free = tuple(group.free[name] for name in nodes.resources)
                single.nodes += [(flavor.name, free, _use(flavor, flavor.allocatable - group.free))] * group.count
        singles.append(single)
    for requests, counts in asked:
        rank = np.array([int(bool(lot.flavor.allocatable["gpu"]) and not requests["gpu"]) for lot in nodes.lots])
        shape = nodes.shape(requests, np.ones(len(nodes.lots), dtype=bool), rank)
        left = bind(nodes, shape, np.array(counts, dtype=np.int64), habits)
        for at, (cluster, single) in enumerate(zip(clusters, singles, strict=True)):
            flavors = {flavor.name: flavor for flavor in cluster.flavors or ()}
            ranks = {name: int(bool(f.allocatable["gpu"]) and not requests["gpu"]) for name, f in flavors.items()}
            bound = sum(single.bind(flavors, requests, ranks) for _ in range(counts[at]))
            assert counts[at] - bound == left[at], cluster.binding
            assert Counter((flavor, free) for flavor, free, _ in single.nodes) == state(nodes, at), cluster.binding


@settings(max_examples=100, deadline=None)
@given(jobs())
def test_bulk_is_one_by_one(job: tuple[list[Cluster], list[tuple[Resources, list[int]]]]) -> None:
    compare(*job)


@settings(max_examples=40, deadline=None)
@given(jobs())
def test_a_search_for_the_height_is_one_by_one(job: tuple[list[Cluster], list[tuple[Resources, list[int]]]]) -> None:
    """The way taken for many replicas gives the same for few."""
    with pytest.MonkeyPatch.context() as patch:
        interpreted(patch, binding, balance)
        patch.setattr(binding, "_FEW", 0)
        patch.setattr(balance, "FEW", 0)
        compare(*job)


def test_a_bulk_binding_that_packs_where_it_should_spread_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake."""
    whole = Resources.of({"cpu": 8, "memory": 8})
    clusters = [Cluster("a", flavors=(Flavor("f", 4, whole, (NodeGroup(whole, 4),)),))]
    asked = [(Resources.of({"cpu": 1, "memory": 1}), [6])]
    compare(clusters, asked)
    monkeypatch.setitem(HABITS, Binding.SPREAD, HABITS[Binding.PACK])
    with pytest.raises(AssertionError):
        compare(clusters, asked)


def test_work_without_accelerators_leaves_gpu_nodes_to_others() -> None:
    """Cpu work fills the plain nodes first, though the GPU nodes are emptier."""
    plain, gpu = Resources.of({"cpu": 4}), Resources.of({"cpu": 64, "gpu": 8})
    cluster = Cluster(
        "a", flavors=(Flavor("gpu", 1, gpu, (NodeGroup(gpu, 1),)), Flavor("plain", 2, plain, (NodeGroup(plain, 2),)))
    )
    compare([cluster], [(Resources.of({"cpu": 1}), [9])])


@pytest.mark.parametrize("free", [2**53 - 3, 2**53 - 2, 2**53 - 1, 2**53, 2**60 - 1])
def test_room_is_exact_however_much_is_free(free: int) -> None:
    """Rooms are counted with floats, which hold whole numbers exactly up to 2**53 only."""
    whole = Resources.of({"cpu": 2**60, "memory": 2**60})
    cluster = Cluster(
        "a", flavors=(Flavor("f", 1, whole, (NodeGroup(Resources.of({"cpu": 2**60, "memory": free}), 1),)),)
    )
    nodes = Nodes([cluster], ("cpu", "memory"))
    for asked in (2**30 - 1, 2**20 + 1, free // 3, free // 2 + 1, free, free + 1):
        shape = nodes.shape(Resources.of({"memory": asked}), np.ones(1, dtype=bool), np.zeros(1, dtype=np.int64))
        assert nodes.room(shape).tolist() == [free // asked], asked


def test_a_million_replicas_are_bound_in_a_moment() -> None:
    whole = Resources.of({"cpu": 128_000, "memory": 2**40})
    groups = tuple(NodeGroup(Resources.of({"cpu": 128_000 - at, "memory": 2**40}), 40) for at in range(200))
    nodes = Nodes([Cluster("a", flavors=(Flavor("f", 8000, whole, groups),))], ("cpu", "memory"))
    shape = nodes.shape(Resources.of({"cpu": 1000}), np.ones(1, dtype=bool), np.zeros(1, dtype=np.int64))
    left = bind(nodes, shape, np.array([1_000_000]), np.array([HABITS[Binding.SPREAD]]))
    assert left.tolist() == [0]
    assert int(nodes.free_of("cpu")[0]) == 40 * sum(128_000 - at for at in range(200)) - 1_000_000_000
