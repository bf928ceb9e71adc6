"""What backfill loses where work takes its place, node by node. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from federator.clusters.binder import Node
from federator.model.resources import CPU, Resources

Held = tuple[str, float, Resources]
"""A replica of backfill: its node, the seconds of its work that would be lost, what it holds."""


class Losses:
    """By node, in millionths of a core second: a ``binder.Lost``. Those that lose least give way first.

    It is asked for few of all that is bound, so what is held is looked up when it is asked first.
    """

    def __init__(self, held: Callable[[], Iterable[Held]]) -> None:
        self._held = held
        self._by_node: dict[str, list[tuple[int, Resources]]] | None = None

    def __call__(self, node: Node, requests: Resources) -> int:
        """What is lost on a node beyond what is lost there already if one more such replica is bound to it."""
        if self._by_node is None:
            self._by_node = self._sorted()
        over = {name: amount - node.free.get(name, 0) for name, amount in node.filled.items()}
        return self._lost(node.name, over, requests) - self._lost(node.name, over, Resources())

    def _sorted(self) -> dict[str, list[tuple[int, Resources]]]:
        found: defaultdict[str, list[tuple[int, Resources]]] = defaultdict(list)
        for node, lost_s, holds in self._held():
            found[node].append((round(1000 * lost_s) * holds[CPU], holds))
        for here in found.values():
            here.sort(key=lambda one: one[0])
        return dict(found)

    def _lost(self, node: str, over: Mapping[str, int], requests: Resources) -> int:
        assert self._by_node is not None
        left, lost = {name: amount + requests[name] for name, amount in over.items()}, 0
        for loses, holds in self._by_node.get(node, ()):
            if all(amount <= 0 for amount in left.values()):
                break
            lost += loses
            left = {name: amount - holds[name] for name, amount in left.items()}
        return lost
