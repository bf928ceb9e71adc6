"""Service under ``order: fit``: among equals nobody is first, so that most of what is free is put to use.

Equals are those alike in all that comes before the order (``order.rank``). They are matched with what is free
(``engine/matching.py``), then take turns: at the first each gets as many as were matched, where they were matched and
nodes have room for them, the largest first, because small ones still fit between large ones; at the second what it
lacks, where anything is left. So nobody takes the room that another was matched with. Who is not divided by foresight
has the first turn only, and gets all that fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import lcm
from typing import Protocol

from federator.engine.matching import Share
from federator.engine.order import rank
from federator.engine.outcome import Outcome
from federator.engine.queue_shares import capacity_of
from federator.model.plan import Snapshot
from federator.model.resources import Resources
from federator.model.workload import Workload


class Server(Protocol):
    """What the planner does for a workload at its turn."""

    def holds(self, workload: Workload) -> bool:
        """Whether any cluster holds some of it."""

    def match(self, workloads: Sequence[Workload]) -> Mapping[str, Share]:
        """Match those of these that wait and are divided by foresight with what is free now."""

    def has_room(self, workload: Workload) -> int:
        """How many of the replicas that it was matched with have room where they were matched, as things stand."""

    def serve_first(self) -> Mapping[str, Outcome | None]:
        """Those for which others have given way, up to what that gives them; None for one that is recorded."""

    def serve(self, workload: Workload) -> None:
        """All of it, at once; the answer is recorded."""

    def go_on(self, workload: Workload, begun: Outcome) -> None:
        """All that one lacks who has had a part already; the answer is recorded."""

    def portion(self, workload: Workload, begun: Outcome | None, replicas: int) -> Outcome | None:
        """So many more replicas; None where that was the last of it, or not all found a place: it is recorded."""


class OpenService:
    """Serves the workloads of one snapshot, given in the order of service as far as there is one."""

    def __init__(self, snapshot: Snapshot, workloads: Iterable[Workload]) -> None:
        self._workloads = tuple(workloads)
        self._rank = rank(snapshot)
        self._capacity = capacity_of(snapshot.clusters)
        self._scale = lcm(*(amount for amount in self._capacity.values() if amount > 0))
        self._sizes: dict[Resources, int] = {}

    def run(self, server: Server) -> None:
        """Serve everybody, equals after equals."""
        begun = server.serve_first()
        for _, equals in groupby(self._workloads, key=self._rank):
            self._serve(server, sorted(equals, key=self._size, reverse=True), begun)

    def _serve(self, server: Server, equals: Sequence[Workload], first: Mapping[str, Outcome | None]) -> None:
        """Serve these, at the first turn what was matched and at the second the rest; they keep their order."""
        begun = dict(first)
        shares = server.match([workload for workload in equals if workload.name not in begun])
        late = list[Workload]()
        for workload in equals:
            share = shares.get(workload.name)
            portion = self._portion(server, workload, share) if share is not None else None
            if share is None or portion == share.lacking:
                self._finish(server, workload, begun)
                continue
            late.append(workload)
            if portion:
                begun[workload.name] = server.portion(workload, None, portion)
        for workload in late:
            self._finish(server, workload, begun)

    @staticmethod
    def _portion(server: Server, workload: Workload, share: Share) -> int:
        """How many replicas it gets at the first turn; one that was matched with fewer than it starts with, those."""
        least = 0 if server.holds(workload) else min(workload.min_replicas, share.lacking)
        if share.matched < least:
            return least if share.matched > 0 else 0
        portion = server.has_room(workload)
        return portion if portion >= least else 0

    def _finish(self, server: Server, workload: Workload, begun: Mapping[str, Outcome | None]) -> None:
        if workload.name not in begun:
            server.serve(workload)
        elif (outcome := begun[workload.name]) is not None:
            server.go_on(workload, outcome)

    def _size(self, workload: Workload) -> int:
        """The largest part of any resource of the federation that a replica asks for, on a scale that they all have."""
        return max(self._part(role.requests) for role in workload.roles)

    def _part(self, requests: Resources) -> int:
        if requests not in self._sizes:
            wholes = ((amount, self._capacity.get(name, 0)) for name, amount in requests.items_)
            parts = (amount * (self._scale // whole) for amount, whole in wholes if whole > 0)
            self._sizes[requests] = max(parts, default=0)
        return self._sizes[requests]
