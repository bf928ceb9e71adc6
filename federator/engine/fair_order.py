"""The order of service by fair shares: whose head is next, as work is admitted.

A tournament from the leaves: every queue sends its head, and among the children of a cohort the first is the one
whose queue has the larger priority; then that which stays within its claim with this head before one that borrows;
then the lower standing with the head (see ``shares``); then the workload's priority, the older, and the name. After an
admission only the path of that queue is judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from federator.engine.forest import NOBODY
from federator.engine.shares import Shares, Standing
from federator.model.policy import Queue

Rank = tuple[int, bool, Standing, int, float, str]
"""The lowest is served first."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a queue would have admitted next: a whole gang, or one replica of a workload that starts one by one."""

    queue: str
    amounts: Mapping[str, int]
    priority: int = 0
    submitted_at_s: float = 0.0
    name: str = ""


class FairOrder:
    """Gives the next head. After ``quotas.take`` for a queue, ``put`` its new head (or None): it is judged anew.

    A step costs as much as the tree is deep, times the logarithm of the number of children.
    """

    def __init__(self, shares: Shares, heads: Iterable[Head]) -> None:
        self.shares = shares
        self.tree = shares.quotas.forest
        self.heads: dict[int, Head | None] = {}
        """By node: a queue's own head, and of a cohort the head of its first child."""
        self._ranks: dict[int, Rank] = {}
        self._heaps: dict[int, list[tuple[Rank, int]]] = {parent: [] for parent in shares.levels}
        for head in heads:
            self.heads[self.tree.queues[head.queue]] = head
        for node in sorted(range(len(self.tree.nodes)), key=lambda n: -len(self.tree.paths[n])):
            self._judge(node)

    def first(self) -> Head | None:
        """The head to be served next; None where no queue has one."""
        best = self._best(NOBODY)
        return None if best is None else self.heads[best]

    def put(self, queue: str, head: Head | None) -> None:
        """The queue's next head; None where it has none, or is to be asked no more."""
        node = self.tree.queues[queue]
        self.heads[node] = head
        for step in reversed(self.tree.paths[node]):
            self._judge(step)

    def stretch(self, queue: str, most: int, at_least: int = 1) -> int:
        """How many replicas like the queue's head may be admitted one after the other before another head is first.

        No more than ``most``; ``at_least`` may be larger than 1, so that equals do not take turns at every replica.
        """
        node = self.tree.queues[queue]
        rivals = {step: self._rival(step) for step in self.tree.paths[node]}
        low, high = min(at_least, most), most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._leads(node, middle, rivals) else (low, middle - 1)
        return low

    def _leads(self, node: int, count: int, rivals: Mapping[int, tuple[Rank, int] | None]) -> bool:
        """Whether the head is still first everywhere once count - 1 like it are admitted."""
        head = self.heads[node]
        if head is None:
            return False
        amounts = {resource: amount * count for resource, amount in head.amounts.items()}
        ranks = {step: self._rank(step, head, amounts) for step in rivals}
        return all(rival is None or (ranks[step], step) < rival for step, rival in rivals.items())

    def _rival(self, node: int) -> tuple[Rank, int] | None:
        """The best rank among the node's siblings, and whose it is."""
        siblings = self.tree.below(self.tree.parents[node])
        return min(((self._ranks[one], one) for one in siblings if one != node and one in self._ranks), default=None)

    def _judge(self, node: int) -> None:
        """Rank a node by its head, or that of its first child."""
        if not isinstance(self.tree.nodes[node], Queue):
            best = self._best(node)
            self.heads[node] = None if best is None else self.heads[best]
        head = self.heads.get(node)
        if head is None:
            self._ranks.pop(node, None)
            return
        rank = self._ranks[node] = self._rank(node, head, head.amounts)
        heappush(self._heaps[self.tree.parents[node]], (rank, node))

    def _rank(self, node: int, head: Head, amounts: Mapping[str, int]) -> Rank:
        """The rank of a node once so much more of its head's queue is admitted."""
        shares = self.shares
        line = self.tree.nodes[self.tree.queues[head.queue]]
        return (
            -line.priority if isinstance(line, Queue) else 0,
            self.tree.parents[node] != NOBODY and shares.quotas.borrows(node, amounts),
            shares.standing(node, amounts, head.amounts),
            -head.priority,
            head.submitted_at_s,
            head.name,
        )

    def _best(self, parent: int) -> int | None:
        """The first of those below ``parent``; ranks that are no longer true are dropped on the way."""
        heap = self._heaps.get(parent, [])
        while heap and self._ranks.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][1] if heap else None
