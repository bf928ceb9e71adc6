"""Work takes the place of backfill where that loses least."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from federator.clusters.binder import KEYS, Lost, Node, Pool
from federator.clusters.losses import Held, Losses
from federator.model.cluster import Binding, Flavor, NodeGroup
from federator.model.resources import CPU, MEMORY, Resources

CORE = Resources.of({CPU: 1000})
SECOND = 1_000_000
"""Of a core, as losses are told."""


def pool(nodes: int, cpu: int, binding: Binding = Binding.SPREAD) -> Pool:
    size = Resources.of({CPU: 1000 * cpu, MEMORY: 100})
    return Pool([Flavor("n", nodes, size, (NodeGroup(size, nodes),))], binding)


def losses(*held: Held) -> Losses:
    return Losses(lambda: held)


def test_what_is_lost_is_counted_from_what_loses_least_and_nothing_twice() -> None:
    ours = pool(1, 4)
    node = ours.nodes["n-0"]
    ours.bind(CORE, 1)
    ours.bind(CORE, 2, below=True)
    lost = losses(("n-0", 30.0, CORE), ("n-0", 5.0, CORE), ("other", 1.0, CORE))
    two, three = (Resources.of({CPU: 1000 * cores}) for cores in (2, 3))
    assert [lost(node, one) for one in (CORE, two, three)] == [0, 5 * SECOND, 35 * SECOND]
    ours.take("n-0", two)
    assert lost(node, CORE) == 30 * SECOND, "what gives way already is lost already"
    wide = Resources.of({CPU: 2000, MEMORY: 1})
    assert losses(("n-0", 5.0, wide), ("n-0", 7.0, CORE))(pool(1, 4).nodes["n-0"], CORE) == 0
    assert losses(("n-0", 3.5, wide))(node, CORE) == 0, "where one that has to go anyway is enough"


def test_work_goes_beside_backfill_first_then_where_it_loses_least_and_where_that_is_equal_by_habit() -> None:
    ours = pool(4, 2)
    ours.bind(CORE, 7, below=True)
    free = next(name for name, node in ours.nodes.items() if node.filled.get(CPU, 0) != 2000)
    saved = {name: at * 10.0 for at, name in enumerate(sorted(ours.nodes.keys() - {free}), start=1)}
    first, second, _ = saved
    held = [(name, lost_s, CORE) for name, lost_s in saved.items() for _ in range(2)] + [(free, 15.0, CORE)]
    assert ours.bind(CORE, 5, lost=losses(*held)) == [free, free, first, first, second]
    assert [node.name for node in ours.overfull()] == sorted([free, first, second])
    same = pool(3, 2)
    same.bind(CORE, 6, below=True)
    alike = losses(*((name, 4.0, CORE) for name in same.nodes for _ in range(2)))
    assert same.bind(CORE, 4, lost=alike) == ["n-0", "n-0", "n-1", "n-2"], "spread"


def test_what_is_held_is_looked_up_only_where_something_has_to_give_way() -> None:
    looked: list[int] = []

    def held() -> Iterator[Held]:
        looked.append(1)
        yield from (("n-0", 1.0, CORE) for _ in range(2))

    ours = pool(1, 4)
    ours.bind(CORE, 2, below=True, lost=Losses(held))
    ours.bind(CORE, 2, lost=Losses(held))
    assert not looked
    ours.bind(CORE, 2, lost=Losses(held))
    assert looked == [1]


@given(
    st.lists(st.lists(st.integers(0, 6), max_size=4), min_size=1, max_size=5),
    st.integers(1, 8),
    st.integers(1, 3),
    st.sampled_from(list(Binding)),
)
def test_each_replica_goes_where_a_plain_search_finds_least(
    nodes: list[list[int]], count: int, cores: int, binding: Binding
) -> None:
    """Equal to looking at every node again before each."""
    held: list[Held] = []
    asked = Resources.of({CPU: 1000 * cores})
    fast, plain = pool(len(nodes), 4, binding), pool(len(nodes), 4, binding)
    for at, saved in enumerate(nodes):
        held += [(f"n-{at}", float(lost_s), CORE) for lost_s in saved]
        for one in (fast, plain):
            one.take(f"n-{at}", CORE, len(saved), below=True)
    found = fast.bind(asked, count, lost=losses(*held))
    searched = plainly(plain, asked, count, losses(*held), binding)
    assert sorted(found) == sorted(searched)
    for name, node in fast.nodes.items():
        assert node.free[CPU] >= 0
        assert node.free == plain.nodes[name].free


def plainly(ours: Pool, asked: Resources, count: int, lost: Lost, binding: Binding) -> list[str]:
    found: list[str] = []
    for fits, loses in ((Node.holds_beside, lambda node, requests: 0), (Node.holds, lost)):
        while len(found) < count:
            places = [(at, node) for at, node in enumerate(ours.nodes.values()) if fits(node, asked)]
            if not places:
                break
            _, node = min(places, key=lambda one: (loses(one[1], asked), KEYS[binding](one[1], asked), one[0]))
            ours.take(node.name, asked)
            found.append(node.name)
    return found
