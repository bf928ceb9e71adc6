"""Service by fair shares: what runs keeps its place first, then queues take turns, a portion of a workload at a time.

A turn is as long as the queue stays first, and at least a hundredth of the federation, so that a queue is never ahead
of its share by more than that (or by one gang, or the least number that a workload starts with).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

from federator.engine.allowance import Allowance
from federator.engine.arrays import total
from federator.engine.fair_order import FairOrder, Head
from federator.engine.federation import Federation
from federator.engine.outcome import Outcome
from federator.engine.queue_shares import by_queue, kinds
from federator.engine.shares import Shares
from federator.engine.whole_cores import CORES
from federator.model.plan import Snapshot
from federator.model.resources import Resources
from federator.model.workload import Workload

PORTION = 100
"""Equals take turns at every hundredth of the federation."""


class Server(Protocol):
    """What the planner does for a workload at its turn."""

    def holds(self, workload: Workload) -> bool:
        """Whether any cluster holds some of it."""

    def wanted(self, workload: Workload) -> int:
        """How many replicas there should be of a workload of one role."""

    def serve(self, workload: Workload) -> None:
        """All of it, at once; the answer is recorded."""

    def serve_first(self) -> Mapping[str, Outcome | None]:
        """Those for which others have given way, up to what that gives them; None for one that is recorded."""

    def keep(self, workload: Workload) -> Outcome | None:
        """What it holds, and nothing new; None where that was all, or it starts together: it is recorded."""

    def portion(self, workload: Workload, begun: Outcome | None, replicas: int) -> Outcome | None:
        """So many more replicas; None where that was the last of it, or not all found a place: it is recorded."""


class FairService:
    """Serves the workloads of one snapshot, which are given in the order within their queues."""

    def __init__(
        self,
        snapshot: Snapshot,
        federation: Federation,
        allowance: Allowance,
        workloads: Iterable[Workload],
    ) -> None:
        offered = federation.nodes.offered(potential=False).sum(axis=0).tolist()
        self._capacity = dict(zip(federation.nodes.resources, offered, strict=True))
        self._capacity.pop(CORES, None)
        self._workloads = tuple(workloads)
        lately = {one.queue: one.lately for one in snapshot.usage}
        demand = by_queue(kinds((w.queue, role.requests, role.replicas) for w in self._workloads for role in w.roles))
        self.shares = Shares(allowance.quotas, self._capacity, lately, demand)
        self._begun: dict[str, Outcome] = {}

    def run(self, server: Server) -> None:
        """Serve everybody."""
        lines: dict[str, deque[Workload]] = {}
        begun_first = server.serve_first()
        for workload in self._workloads:
            if workload.name in begun_first:
                begun = begun_first[workload.name]
                if begun is None:
                    continue
                self._begun[workload.name] = begun
            elif server.holds(workload):
                begun = server.keep(workload)
                if begun is None:
                    continue
                self._begun[workload.name] = begun
            lines.setdefault(workload.queue, deque()).append(workload)
        order = FairOrder(self.shares, (_head(line[0]) for _, line in sorted(lines.items())))
        while (head := order.first()) is not None:
            line = lines[head.queue]
            if self._serve(server, order, line[0]):
                line.popleft()
            order.put(head.queue, _head(line[0]) if line else None)

    def _serve(self, server: Server, order: FairOrder, workload: Workload) -> bool:
        """Serve the first of a queue once; whether it is done."""
        if _together(workload):
            server.serve(workload)
            return True
        begun = self._begun.get(workload.name)
        waiting = server.wanted(workload) - (total(begun.filling.placed) if begun else 0)
        least = max(self._least(workload.roles[0].requests), 0 if begun else workload.min_replicas)
        outcome = server.portion(workload, begun, order.stretch(workload.queue, waiting, max(1, least)))
        if outcome is None:
            return True
        self._begun[workload.name] = outcome
        return False

    def _least(self, requests: Resources) -> int:
        """How many replicas are a hundredth of the federation."""
        counts = [self._capacity.get(name, 0) // (PORTION * asked) for name, asked in requests.items_ if asked > 0]
        return max(1, min(counts, default=1))


def _together(workload: Workload) -> bool:
    return workload.gang is not None or len(workload.roles) > 1


def _head(workload: Workload) -> Head:
    amounts = workload.total_requests if _together(workload) else workload.roles[0].requests
    return Head(workload.queue, amounts, workload.priority, workload.submitted_at_s, workload.name)
