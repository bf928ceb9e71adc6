"""Binds replicas to nodes as a member of the given habit would: for clusters whose nodes are only pretended."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby, islice

from federator.model.cluster import Binding, Flavor, NodeGroup
from federator.model.indexset import IndexSet
from federator.model.resources import CPU, MEMORY, Resources
from federator.model.selectors import Toleration

NOTHING = Resources()
Alike = tuple[str, tuple[tuple[str, int], ...], tuple[tuple[str, int], ...], bool]
"""In what nodes are alike: their flavor, what is free, what fills them, whether they are down."""


class Node:
    """One node: its flavor, what is free on it now, and what backfill uses of that (changed in place)."""

    __slots__ = ("_sizes", "alike", "down", "filled", "flavor", "free", "name")

    def __init__(self, name: str, flavor: Flavor) -> None:
        self.name = name
        self.flavor = flavor
        self._sizes = flavor.allocatable[CPU], flavor.allocatable[MEMORY]
        self.free = dict(flavor.allocatable.items_)
        self.filled: dict[str, int] = {}
        self.down = False
        self.alike: Alike = (flavor.name, (), (), False)

    def use(self, requests: Resources = NOTHING) -> int:
        """How full the node is with one more such replica: the shares of its cpu and memory added, in 2**-30."""
        return sum(self.shares(requests))

    def shares(self, requests: Resources) -> tuple[int, int]:
        """Of its cpu and of its memory, in 2**-30: what would be used with one more such replica."""
        free, (cpu, memory) = self.free, self._sizes
        return (
            ((cpu - free.get(CPU, 0) + requests[CPU]) << 30) // cpu if cpu else 0,
            ((memory - free.get(MEMORY, 0) + requests[MEMORY]) << 30) // memory if memory else 0,
        )

    def fits(self, requests: Resources) -> int:
        """How many more such replicas fit."""
        return min((self.free.get(name, 0) // amount for name, amount in requests.items_), default=1 << 30)

    def holds(self, requests: Resources) -> bool:
        """Whether one more such replica fits, if backfill gives way."""
        free = self.free
        for name, amount in requests.items_:
            if free.get(name, 0) < amount:
                return False
        return not self.down

    def holds_beside(self, requests: Resources) -> bool:
        """Whether one more such replica fits beside what fills the node."""
        filled = self.filled
        return self.holds(requests) and not (
            filled and any(self.free.get(name, 0) - filled.get(name, 0) < amount for name, amount in requests.items_)
        )

    @property
    def empty(self) -> bool:
        """Whether nothing is on it, backfill included."""
        return not any(self.filled.values()) and all(
            self.free.get(name, 0) == amount for name, amount in self.flavor.allocatable.items_
        )

    @property
    def overfull(self) -> bool:
        """Whether backfill has to give way here."""
        return any(amount > self.free.get(name, 0) for name, amount in self.filled.items())


Fits = Callable[[Node, Resources], bool]
Lost = Callable[[Node, Resources], int]
"""What backfill loses if one more such replica takes its place on a node."""
KEYS: Mapping[Binding, Callable[[Node, Resources], tuple[int, ...]]] = {
    Binding.SPREAD: lambda node, requests: (node.use(requests),),
    Binding.BALANCE: lambda node, requests: (max(node.shares(requests)), node.use(requests)),
    Binding.PACK: lambda node, _: (-node.use(),),
    Binding.FRAGMENTATION_AWARE: lambda node, requests: (node.fits(requests), -node.use()),
}
"""The least goes first: the node used least with the replica, the one whose more used resource is, the fullest, the one
that holds the fewest more."""


class Pool:
    """The nodes of a cluster.

    The habits are those that planning counts with (``KEYS``); ties go to the first node. Nodes of a flavor are called
    ``FLAVOR-0``, ``FLAVOR-1`` ... What is bound ``below`` all others fills what they leave, and counts as free: others
    are bound beside it as long as there is room, then in its place, and the node is ``overfull`` until some of it goes.
    """

    def __init__(self, flavors: Iterable[Flavor], binding: Binding) -> None:
        self._flavors = tuple(flavors)
        self._binding = binding
        self.nodes = {f"{f.name}-{i}": Node(f"{f.name}-{i}", f) for f in self._flavors for i in range(f.count)}
        self._freed: defaultdict[str, list[str]] = defaultdict(list)
        """By flavor, the names of nodes that were there."""
        self._listed = list(self.nodes.values())
        self._places = {name: place for place, name in enumerate(self.nodes)}
        self._alike: dict[Alike, list[int]] = {}
        """The places of alike nodes, in their order, so that a thousand of them cost as much as one."""
        for place in range(len(self._listed)):
            self._sort_in(place)
        self._shown: tuple[Flavor, ...] | None = None
        self._filled = 0
        """How many replicas are bound below all others."""

    def _sort_in(self, place: int) -> None:
        node = self._listed[place]
        node.alike = node.flavor.name, tuple(node.free.items()), tuple(node.filled.items()), node.down
        insort(self._alike.setdefault(node.alike, []), place)

    def _sort_out(self, place: int) -> None:
        before = self._listed[place].alike
        places = self._alike[before]
        if len(places) == 1:
            del self._alike[before]
        else:
            del places[bisect_left(places, place)]

    def _resort(self, place: int) -> None:
        """See that a node that has changed is among its like."""
        self._sort_out(place)
        self._sort_in(place)
        self._shown = None

    def set_free(self, name: str, free: Mapping[str, int]) -> None:
        """Let a node have so much free."""
        self.nodes[name].free = dict(free)
        self._resort(self._places[name])

    def bind(
        self,
        requests: Resources,
        count: int,
        flavors: Sequence[str] = (),
        tolerations: Sequence[Toleration] = (),
        *,
        below: bool = False,
        lost: Lost | None = None,
    ) -> list[str]:
        """Take room for up to ``count`` replicas; the node of each, alike ones together. Fewer where room ends.

        ``flavors``: the only ones that may be used; empty: any. Taints that are not tolerated are respected. ``lost``:
        in place of backfill they are bound where it tells least, None: as beside it.
        """
        open_to_it = {flavor.name for flavor in self.open_flavors(flavors, tolerations)}
        chosen: dict[str, int] = {}
        beside: tuple[Fits, ...] = (Node.holds_beside,) if below or self._filled else ()
        for fits in beside if below else (*beside, Node.holds):
            in_place = fits is Node.holds and bool(self._filled)
            least = lost if in_place else None
            choices = self._choices if least is None else partial(self._least_lost, least)
            for node in islice(choices(open_to_it, requests, fits), count - sum(chosen.values())):
                self.take(node.name, requests, below=below)
                chosen[node.name] = chosen.get(node.name, 0) + 1
        return [name for name, times in chosen.items() for _ in range(times)]

    def _choices(self, flavors: Collection[str], requests: Resources, fits: Fits) -> Iterator[Node]:
        """The node for the next replica, again and again; the caller takes its room before it asks again."""
        keys: dict[Alike, tuple[int, ...] | None] = {}
        key_of = KEYS[self._binding]

        def key_for(alike: Alike, place: int) -> tuple[int, ...] | None:
            node = self._listed[place]
            return key_of(node, requests) if alike[0] in flavors and fits(node, requests) else None

        heap = []
        for alike, places in self._alike.items():
            keys[alike] = key = key_for(alike, places[0])
            if key is not None:
                heap.append((key, places[0], alike))
        heapq.heapify(heap)
        while heap:
            _, place, alike = heapq.heappop(heap)
            node = self._listed[place]
            if node.alike != alike:
                continue  # it was offered before it changed
            yield node
            for changed in {alike, node.alike} & self._alike.keys():
                first = self._alike[changed][0]
                if changed not in keys:
                    keys[changed] = key_for(changed, first)
                key = keys[changed]
                if key is not None:
                    heapq.heappush(heap, (key, first, changed))

    def _least_lost(self, lost: Lost, flavors: Collection[str], requests: Resources, fits: Fits) -> Iterator[Node]:
        """As ``_choices``: the node where backfill loses least; of those where it loses as much, by habit."""
        key_of = KEYS[self._binding]

        def entry(place: int, node: Node) -> tuple[int, tuple[int, ...], int]:
            return lost(node, requests), key_of(node, requests), place

        listed = ((place, node) for place, node in enumerate(self._listed) if node.name in self.nodes)
        heap = [entry(place, node) for place, node in listed if node.flavor.name in flavors and fits(node, requests)]
        heapq.heapify(heap)
        while heap:
            place = heapq.heappop(heap)[-1]
            yield self._listed[place]
            if fits(self._listed[place], requests):
                heapq.heappush(heap, entry(place, self._listed[place]))

    def take(self, node: str, requests: Resources, count: int = 1, *, below: bool = False) -> None:
        """Use room on a node (one that is not there any more has none to use)."""
        self._change(node, requests, -count, below)

    def release(self, node: str, requests: Resources, count: int = 1, *, below: bool = False) -> None:
        """Give room on a node back."""
        self._change(node, requests, count, below)

    def overfull(self) -> list[Node]:
        """The nodes on which backfill has to give way."""
        return [node for node in self.nodes.values() if node.overfull] if self._filled else []

    def _change(self, name: str, requests: Resources, count: int, below: bool) -> None:
        node = self.nodes.get(name)
        if node is None:
            return
        amounts, sign = (node.filled, -1) if below else (node.free, 1)
        self._filled -= count if below else 0
        for resource, amount in requests.items_:
            amounts[resource] = amounts.get(resource, 0) + sign * amount * count
        self._resort(self._places[name])

    def grow(self, flavor: str) -> str | None:
        """Add a node of the flavor, if it may have one more; returns its name."""
        place = next(i for i, known in enumerate(self._flavors) if known.name == flavor)
        known = self._flavors[place]
        if known.count >= known.max_count:
            return None
        freed = self._freed[flavor]
        node = Node(freed.pop() if freed else f"{known.name}-{known.count}", known)
        self._recount(place, 1)
        self.nodes[node.name] = node
        self._places[node.name] = len(self._listed)
        self._listed.append(node)
        self._sort_in(self._places[node.name])
        return node.name

    def shrink(self, name: str) -> None:
        """Take an empty node away; ``grow`` may bring it back."""
        flavor = self.nodes.pop(name).flavor.name
        self._sort_out(self._places.pop(name))
        self._freed[flavor].append(name)
        self._recount(next(i for i, known in enumerate(self._flavors) if known.name == flavor), -1)

    def _recount(self, place: int, change: int) -> None:
        known = self._flavors[place]
        changed = replace(known, count=known.count + change)
        self._flavors = (*self._flavors[:place], changed, *self._flavors[place + 1 :])
        self._shown = None

    def open_flavors(self, only: Sequence[str], tolerations: Sequence[Toleration]) -> list[Flavor]:
        """The flavors that replicas may use: among those named (empty: all), with every taint tolerated."""
        return [flavor for flavor in self._flavors if _open(flavor, only, tolerations)]

    def set_down(self, name: str, down: bool) -> None:
        """Take a node out of the cluster, or bring it back; what was taken of it stays taken until released."""
        self.nodes[name].down = down
        self._resort(self._places[name])

    def free_nodes(self) -> Iterator[tuple[str, Mapping[str, int], int]]:
        """Alike nodes: their flavor, what is free on each, how many they are."""
        for (flavor, free, _, down), places in self._alike.items():
            if not down:
                yield flavor, dict(free), len(places)

    def flavors(self) -> tuple[Flavor, ...]:
        """The flavors with what is free on their nodes now, alike nodes grouped."""
        if self._shown is None:
            groups: dict[str, Counter[tuple[tuple[str, int], ...]]] = {f.name: Counter() for f in self._flavors}
            for (flavor, free, _, down), places in self._alike.items():
                if not down:
                    groups[flavor][free] += len(places)
            self._shown = tuple(_shown(flavor, groups[flavor.name]) for flavor in self._flavors)
        return self._shown


def seated(indices: IndexSet, nodes: Sequence[str]) -> Iterator[tuple[str, IndexSet]]:
    """Whose seats are on which of these nodes, of which ``Pool.bind`` gave one for each of the first indices."""
    for node, seats in groupby(nodes):
        mine = indices.first(sum(1 for _ in seats))
        indices -= mine
        yield node, mine


def _open(flavor: Flavor, only: Sequence[str], tolerations: Sequence[Toleration]) -> bool:
    if only and flavor.name not in only:
        return False
    hard = [taint for taint in flavor.taints if taint.effect != "PreferNoSchedule"]
    return all(any(toleration.tolerates(taint) for toleration in tolerations) for taint in hard)


def _shown(flavor: Flavor, free: Counter[tuple[tuple[str, int], ...]]) -> Flavor:
    nodes = tuple(NodeGroup(Resources.of(amounts), count) for amounts, count in sorted(free.items()))
    return replace(flavor, count=free.total(), nodes=nodes)
