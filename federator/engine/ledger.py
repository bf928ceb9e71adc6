"""The algebra of quotas, for one resource.

A queue's or cohort's **claim** is its quota and what those below it lend. It **keeps** what it does not lend (claim
less lending limit) and the rest stands in its parent, for all. What a queue may still use is what is left of the kept,
and from the parent no more than is free there, nor more than what it lent plus its borrowing limit. Kueue's algebra,
in trees. A resource for which nobody in a tree has a quota has no limit there but borrowing limits.
"""

from __future__ import annotations

from federator.engine.forest import NOBODY, Forest
from federator.model.resources import Resources


class Ledger:
    """One resource in the forest: claims and limits of every node, and what is used below it.

    ``used`` of a cohort is what those below it take from it: their use beyond what they keep for themselves; ``total``
    is all that they use.
    """

    __slots__ = ("borrowing", "claim", "forest", "governed", "kept", "reach", "total", "used")

    def __init__(self, forest: Forest, resource: str) -> None:
        count = len(forest.nodes)
        self.forest = forest
        self.claim = [_amount(node.quota, resource) or 0 for node in forest.nodes]
        self.kept = [0] * count
        self.borrowing = [_amount(node.borrowing_limit, resource) for node in forest.nodes]
        self.used = [0] * count
        self.total = [0] * count
        named = {forest.paths[n][0] for n, node in enumerate(forest.nodes) if _amount(node.quota, resource) is not None}
        self.governed = [path[0] in named for path in forest.paths]
        """Whether anybody in the node's tree has a quota of it."""
        for node in sorted(range(count), key=lambda n: -len(forest.paths[n])):
            lending = _amount(forest.nodes[node].lending_limit, resource)
            parent = forest.parents[node]
            if parent == NOBODY:
                continue
            self.kept[node] = 0 if lending is None else max(0, self.claim[node] - lending)
            self.claim[parent] += self.claim[node] - self.kept[node]
        self.reach = self._reaches()
        """The most that a node could ever use."""

    def _reaches(self) -> list[int]:
        reach = list(self.claim)
        for node in sorted(range(len(reach)), key=lambda n: len(self.forest.paths[n])):
            parent, limit = self.forest.parents[node], self.borrowing[node]
            if parent != NOBODY:
                most = self.kept[node] + reach[parent]
                reach[node] = most if limit is None else min(most, self.claim[node] + limit)
        return reach

    def left(self, queue: int) -> int | None:
        """What the queue may still take; None: without limit. Never negative."""
        return self.binding(queue)[0]

    def binding(self, queue: int) -> tuple[int | None, int, bool]:
        """What is left, the node whose limit says so, and whether that is its borrowing limit (else its claim)."""
        path = self.forest.paths[queue]
        top = path[0]
        free = max(0, self.claim[top] - self.used[top]) if self.governed[top] else None
        holder, borrows = top, False
        for node in path[1:]:
            kept, used, limit = self.kept[node], self.used[node], self.borrowing[node]
            if limit is not None:
                most = self.claim[node] - (used if used > kept else kept) + limit
                most = most if most > 0 else 0
                if free is None or most < free:
                    free, holder, borrows = most, node, True
            if free is not None and used < kept:
                free += kept - used
        return free, holder, borrows

    def add(self, queue: int, amount: int) -> None:
        """Count what a queue takes (or gives back: a negative amount), up to where it stays within what is kept."""
        used, kept, in_all, beyond = self.used, self.kept, self.total, amount
        for node in reversed(self.forest.paths[queue]):
            in_all[node] += amount
            before = used[node] - kept[node]
            used[node] += beyond
            after = before + beyond
            # How far it was beyond what it keeps, and is now (asked thousands of times in a plan: no calls here).
            beyond = (after if after > 0 else 0) - (before if before > 0 else 0)

    def borrows(self, node: int, more: int = 0) -> int:
        """How far beyond its claim a node would be with so much more; 0 where nothing limits it."""
        return max(0, self.used[node] + more - self.claim[node]) if self.governed[node] else 0

    def copy(self) -> Ledger:
        """The same, to try something out on. Claims and limits never change, what is used does."""
        other = object.__new__(Ledger)
        for name in Ledger.__slots__:
            setattr(other, name, getattr(self, name))
        other.used, other.total = list(self.used), list(self.total)
        return other


def _amount(limits: Resources | None, resource: str) -> int | None:
    """A limit of zero differs from none."""
    return limits[resource] if limits is not None and resource in limits else None
