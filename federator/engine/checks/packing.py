"""Whether replicas of several shapes fit nodes together: a packing found, a proof that there is none, or neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from federator.model.resources import Resources

_STEPS = 20_000
"""What the exhaustive search may cost."""


@dataclass(frozen=True, slots=True)
class Item:
    """``count`` replicas that ask for the same and may use the same flavors."""

    requests: Resources
    flavors: frozenset[str]
    count: int


@dataclass(frozen=True, slots=True)
class Node:
    """What is free on one node."""

    flavor: str
    free: Resources


def impossible(nodes: Sequence[Node], items: Sequence[Item]) -> str | None:
    """Why the items cannot all be on the nodes; None if they can, or if a search found no proof."""
    reason = _too_many_of_one(nodes, items) or _too_much_in_all(nodes, items)
    if reason is not None or _packs(nodes, items):
        return reason
    if _search(nodes, items) is False:
        return "no packing of the promised replicas exists"
    return None


def _too_many_of_one(nodes: Sequence[Node], items: Sequence[Item]) -> str | None:
    """For one shape alone, the sum over the nodes is exact."""
    groups = Counter(nodes)
    alike: Counter[tuple[Resources, frozenset[str]]] = Counter()
    for item in items:
        alike[item.requests, item.flavors] += item.count
    for (requests, flavors), count in alike.items():
        counts = [(requests.count_in(node.free), many) for node, many in groups.items() if node.flavor in flavors]
        if any(fits is None for fits, _ in counts):
            continue
        room = sum((fits or 0) * many for fits, many in counts)
        if count > room:
            return f"{count} replicas of {dict(requests.items_)}, room for {room}"
    return None


def _too_much_in_all(nodes: Sequence[Node], items: Sequence[Item]) -> str | None:
    """The items that may use only some flavors must not ask for more than those have in all."""
    for flavors in {item.flavors for item in items} | {frozenset(node.flavor for node in nodes)}:
        asked, free = Resources(), Resources()
        for item in items:
            if item.flavors <= flavors:
                asked = asked + item.requests * item.count
        for node, many in Counter(nodes).items():
            if node.flavor in flavors:
                free = free + node.free * many
        if not asked.fits_in(free):
            return f"{dict(asked.items_)} in all, {dict(free.items_)} is free"
    return None


def _largest_first(items: Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (len(item.flavors), [-amount for _, amount in item.requests.items_]))


def _packs(nodes: Sequence[Node], items: Sequence[Item]) -> bool:
    """Whether one of some simple habits packs them all."""
    choices: tuple[Callable[[Resources], object], ...] = (
        lambda free: 0,
        lambda free: [amount for _, amount in free.items_],
        lambda free: [-amount for _, amount in free.items_],
    )
    return any(_packs_by(nodes, order, choice) for order in (items, _largest_first(items)) for choice in choices)


def _packs_by(nodes: Sequence[Node], items: Sequence[Item], choice: Callable[[Resources], object]) -> bool:
    free = [node.free for node in nodes]
    for item in items:
        for _ in range(item.count if item.requests.items_ else 1):
            fitting = [
                at for at, node in enumerate(nodes) if node.flavor in item.flavors and item.requests.fits_in(free[at])
            ]
            if not fitting:
                return False
            best = min(fitting, key=lambda at: (choice(free[at]), at))
            free[best] = free[best] - item.requests
    return True


def _search(nodes: Sequence[Node], items: Sequence[Item]) -> bool | None:
    """Try everything, largest first, alike nodes once; None where that takes too long."""
    replicas = [item for item in _largest_first(items) for _ in range(item.count)]
    free = [node.free for node in nodes]
    steps = 0

    def place(at: int) -> bool | None:
        nonlocal steps
        if at == len(replicas):
            return True
        steps += 1
        if steps > _STEPS:
            return None
        item, tried = replicas[at], set[tuple[str, Resources]]()
        for node in range(len(nodes)):
            state = (nodes[node].flavor, free[node])
            if state in tried or nodes[node].flavor not in item.flavors or not item.requests.fits_in(free[node]):
                continue
            tried.add(state)
            free[node] = state[1] - item.requests
            found = place(at + 1)
            free[node] = state[1]
            if found is not False:
                return found
        return False

    return place(0) if len(replicas) < 500 else None
