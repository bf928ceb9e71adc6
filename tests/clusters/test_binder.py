"""Pretended nodes are filled as a member of their habit would fill them, and never beyond what they have."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from federator.clusters.binder import KEYS, Node, Pool
from federator.model.cluster import Binding, Flavor, NodeGroup
from federator.model.resources import CPU, MEMORY, Resources


def flavor(name: str, count: int, cpu: int, memory: int = 100) -> Flavor:
    size = Resources.of({CPU: cpu, MEMORY: memory})
    return Flavor(name, count, size, (NodeGroup(size, count),))


def test_the_habits_choose_different_nodes() -> None:
    one = Resources.of({CPU: 2})
    chosen = {}
    for binding in Binding:
        pool = Pool([flavor("wide", 1, 10), flavor("narrow", 1, 5)], binding)
        pool.take("wide-0", Resources.of({CPU: 5, MEMORY: 60}))
        chosen[binding] = pool.bind(one, 1)
    assert chosen == {
        Binding.SPREAD: ["narrow-0"],
        Binding.BALANCE: ["narrow-0"],
        Binding.PACK: ["wide-0"],
        Binding.FRAGMENTATION_AWARE: ["wide-0"],
    }
    tight = Pool([flavor("wide", 1, 10), flavor("narrow", 1, 3)], Binding.FRAGMENTATION_AWARE)
    assert tight.bind(one, 1) == ["narrow-0"]


def test_balance_looks_at_what_is_used_more_and_spread_at_both_together() -> None:
    one = Resources.of({CPU: 1, MEMORY: 1})
    for binding, chosen in ((Binding.SPREAD, "first-0"), (Binding.BALANCE, "second-0")):
        pool = Pool([flavor("first", 1, 100), flavor("second", 1, 100)], binding)
        pool.take("first-0", Resources.of({CPU: 60}))
        pool.take("second-0", Resources.of({CPU: 40, MEMORY: 40}))
        assert pool.bind(one, 1) == [chosen]


shapes = st.builds(
    lambda cpu, memory: Resources.of({CPU: cpu, MEMORY: memory}), st.integers(0, 6), st.integers(0, 60)
).filter(bool)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 12)), min_size=1, max_size=3),
    st.lists(st.tuples(shapes, st.integers(1, 20)), max_size=6),
    st.sampled_from(list(Binding)),
)
def test_no_node_is_ever_promised_more_than_it_has_and_room_comes_back(
    sizes: list[tuple[int, int]], orders: list[tuple[Resources, int]], binding: Binding
) -> None:
    flavors = [flavor(f"f{i}", count, cpu) for i, (count, cpu) in enumerate(sizes)]
    pool = Pool(flavors, binding)
    empty = pool.flavors()
    bound = []
    for requests, count in orders:
        room = sum(group.count * (requests.count_in(group.free) or 0) for f in pool.flavors() for group in f.nodes)
        nodes = pool.bind(requests, count)
        assert len(nodes) == min(count, room), "every replica that fits gets a node"
        bound += [(node, requests) for node in nodes]
        assert all(amount >= 0 for f in pool.flavors() for group in f.nodes for amount in group.free.values())
    for node, requests in bound:
        pool.release(node, requests)
    assert pool.flavors() == empty


def test_others_are_bound_beside_backfill_and_then_in_its_place() -> None:
    """Two nodes of 4 cores. Backfill fills one and half of the other; it counts as free."""
    pool = Pool([flavor("n", 2, 4)], Binding.PACK)
    one = Resources.of({CPU: 1})
    empty = pool.flavors()
    assert len(pool.bind(one, 6, below=True)) == 6
    assert pool.flavors() == empty
    assert pool.bind(one, 2) == ["n-1", "n-1"]
    assert not pool.overfull()
    assert pool.bind(one, 3, below=True) == [], "backfill itself finds no room"
    assert len(pool.bind(Resources.of({CPU: 4}), 1)) == 1
    (node,) = pool.overfull()
    pool.release(node.name, one, 4, below=True)
    assert not pool.overfull()
    assert pool.bind(Resources.of({CPU: 3}), 1) == []


def _naive(pool: Pool, binding: Binding, requests: Resources, count: int) -> list[str]:
    """The same choice, asking every node for every replica; nothing is taken."""
    free = {name: dict(node.free) for name, node in pool.nodes.items()}
    chosen: list[str] = []
    for _ in range(count):
        open_to_it = []
        for place, (name, node) in enumerate(pool.nodes.items()):
            now = Node(name, node.flavor)
            now.free = free[name]
            if now.holds(requests):
                open_to_it.append((KEYS[binding](now, requests), place, name))
        if not open_to_it:
            break
        name = min(open_to_it)[2]
        for resource, amount in requests.items_:
            free[name][resource] -= amount
        chosen.append(name)
    return sorted(chosen)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(list(Binding)),
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 40), st.integers(1, 6), st.booleans()), max_size=8),
)
def test_alike_nodes_taken_together_are_chosen_as_one_by_one(
    binding: Binding, asked: list[tuple[int, int, int, bool]]
) -> None:
    pool = Pool([flavor("wide", 3, 10), flavor("narrow", 4, 5, 50)], binding)
    for cpu, memory, count, goes in asked:
        requests = Resources.of({CPU: cpu, MEMORY: memory})
        expected = _naive(pool, binding, requests, count)
        chosen = pool.bind(requests, count)
        assert sorted(chosen) == expected
        for name in chosen if goes else ():
            pool.release(name, requests)
    shown = {f.name: sum(group.count for group in f.nodes) for f in pool.flavors()}
    assert shown == {"wide": 3, "narrow": 4}
