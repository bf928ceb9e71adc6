"""What may still be had while one plan gives room away: by each queue of its quotas and its limits on some clusters,
its budget, by each role of limits by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from federator.documents.quantities import format_amount
from federator.engine.arrays import Array, total
from federator.engine.budgets import Budgets, Left
from federator.engine.division import divide
from federator.engine.federation import Federation
from federator.engine.filling import BOUND, EXTRA, MORE
from federator.engine.forest import forest
from federator.engine.named_limits import NamedLimits, Saved
from federator.engine.quotas import ClusterCap, Quotas, Shortage
from federator.engine.tiers import Filling
from federator.engine.turn import CapLeft, Turn
from federator.model.plan import Snapshot
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources
from federator.model.workload import Workload


@dataclass(frozen=True, slots=True)
class _Cap:
    """A limit of one queue on some clusters, and which those are."""

    cap: ClusterCap
    members: Array


class Allowance:
    """The quotas of a snapshot's queues, with what they use already. Where nobody has any, nothing is ever asked."""

    def __init__(self, snapshot: Snapshot, federation: Federation) -> None:
        self._federation = federation
        queues = {workload.name: workload.queue for workload in snapshot.workloads}
        self.quotas = Quotas(forest(snapshot.queues, snapshot.cohorts, set(queues.values())))
        self._named = NamedLimits(snapshot, federation.clusters)
        self._budgets = Budgets(snapshot, federation)
        self._bounded = bool(self.quotas.ledgers)
        self._caps = {
            queue: tuple(_Cap(cap, self._matching(cap)) for cap in caps) for queue, caps in self.quotas.caps.items()
        }
        self.counts: bool = self._bounded or bool(self._caps) or snapshot.planning.order == "fair"
        if self.counts:
            self._count_what_runs(snapshot, queues)

    def _matching(self, cap: ClusterCap) -> Array:
        names = self._federation.names
        return np.array([at for at, name in enumerate(names) if cap.holds_for(name)], dtype=np.int64)

    def _count_what_runs(self, snapshot: Snapshot, queues: Mapping[str, str]) -> None:
        federation = self._federation
        requests = {(w.name, role.name): role.requests for w in snapshot.workloads for role in w.roles}
        for holding in snapshot.holdings:
            asked = requests.get((holding.workload, holding.role))
            at = federation.index.get(holding.cluster)
            if asked is not None and at is not None and not federation.lost[at]:
                self.quotas.take(queues[holding.workload], asked * holding.replicas, holding.cluster)

    def only_quotas(self, workload: Workload) -> bool:
        """Whether quotas of its queue at most bound what a workload may have: no limit on some clusters, no budget."""
        return workload.queue not in self._caps and not self._budgets.bounds(workload.queue)

    def most(self, queue: str, requests: Resources, replicas: int) -> tuple[int, Verdict | None]:
        """How many of so many replicas the queue's quotas leave it, and why not all."""
        more = self.quotas.more(queue, requests) if self._bounded else None
        if more is None or more >= replicas:
            return replicas, None
        shortage = self.quotas.shortage(queue, requests)
        return more, None if shortage is None else _verdict(queue, shortage, more)

    def count(self, queue: str, requests: Resources, replicas: int) -> None:
        """Count against its quotas what a queue has from now on; or, where negative, has no more."""
        if self.counts and replicas:
            self.quotas.count(queue, requests, replicas)

    def admit(self, turn: Turn) -> None:
        """Let the role have no more than its queue may still have: in all, and on the clusters of each limit."""
        self._named.admit(turn)
        self._budgets.admit(turn)
        queue, requests = turn.workload.queue, turn.role.requests
        held = total(turn.held)
        more, why = self.most(queue, requests, turn.wanted - held)
        turn.admit(held + more, why)
        for one in self._caps.get(queue, ()):
            left = one.cap.more(requests)
            if left is not None:
                turn.caps.append(CapLeft(one.cap.pattern, one.members, left))
                turn.desk[one.members, BOUND] = np.minimum(turn.desk[one.members, BOUND], left)

    def within(self, turn: Turn, fill: Callable[[], Filling]) -> Filling:
        """Fill; where several clusters of one limit together got more than it leaves, they share that and it is filled
        anew; and where it would cost too much, too."""
        return self._budgets.within(turn, lambda: self._within_caps(turn, fill))

    def _within_caps(self, turn: Turn, fill: Callable[[], Filling]) -> Filling:
        filling = fill()
        for _ in tuple(turn.caps):
            cap = next((one for one in turn.caps if total(_grown(turn, filling)[one.members]) > one.left), None)
            if cap is None:
                break
            grown, nothing = _grown(turn, filling)[cap.members], np.zeros(len(cap.members), dtype=np.int64)
            bound = divide(cap.left, grown, nothing, nothing, grown)
            desk, at = turn.desk, cap.members
            desk[at, BOUND] = bound
            desk[at, MORE] = np.minimum(desk[at, MORE], bound)
            desk[at, EXTRA] = np.minimum(desk[at, EXTRA], bound - desk[at, MORE])
            filling = fill()
        return filling

    def refuses(self, turns: Sequence[Turn]) -> Verdict | None:
        """Why roles that start together may not: a limit, or their queue, has not enough left for all of them."""
        if (reached := self._named.refuses(turns)) is not None or not self._bounded:
            return reached
        queue = turns[0].workload.queue
        missing = _missing(turns)
        shortage = self.quotas.shortage(queue, missing)
        return None if shortage is None or shortage.left >= shortage.needed else _verdict(queue, shortage, 0)

    def keep_out(self, turns: Sequence[Turn]) -> None:
        """Leave roles that start together no room where a limit on some clusters has not enough left for them all."""
        self._named.keep_out(turns)
        self._budgets.keep_out(turns)
        missing = _missing(turns)
        for one in self._caps.get(turns[0].workload.queue, ()):
            if missing and one.cap.more(missing) == 0:
                for turn in turns:
                    turn.look_everywhere()
                    turn.desk[one.members, MORE] = turn.desk[one.members, EXTRA] = 0
                    turn.caps.append(CapLeft(one.cap.pattern, one.members, 0))

    def take_for_now(self, turn: Turn, placed: Array) -> None:
        """Count what the next role of a gang must respect; ``restore`` takes it back."""
        self._named.take(turn, placed)
        self._budgets.take(turn, placed)

    def give_back(self, turn: Turn, placed: Array) -> None:
        """Undo what ``take`` counted for quotas; ``restore`` undoes the rest."""
        if self.counts:
            self._count(turn, placed, -1)

    def save(self) -> tuple[Saved, Left]:
        """What limits by name and budgets leave now, to go back to."""
        return self._named.save(), self._budgets.save()

    def restore(self, saved: tuple[Saved, Left]) -> None:
        """Go back to it."""
        self._named.restore(saved[0])
        self._budgets.restore(saved[1])

    def take(self, turn: Turn, placed: Array) -> None:
        """Count what the role has from now on. A move from one cluster to another counts once."""
        self.take_for_now(turn, placed)
        if self.counts:
            self._count(turn, placed, 1)

    def related(self, one: str, other: str) -> bool:
        """Whether two queues have quotas in one tree of cohorts, so that one may have borrowed of the other."""
        queues, paths = self.quotas.forest.queues, self.quotas.forest.paths
        return self._bounded and paths[queues[one]][0] == paths[queues[other]][0]

    def governed(self, queue: str) -> bool:
        """Whether any resource of the queue's tree has a quota."""
        node = self.quotas.forest.queues[queue]
        return any(ledger.governed[node] for ledger in self.quotas.ledgers.values())

    def free(self, queue: str, amounts: Mapping[str, int], cluster: str, sign: int) -> None:
        """Give back what a queue uses on a cluster (sign 1), as if that had gone; or take it again (-1)."""
        if self.counts:
            (self.quotas.give_back if sign > 0 else self.quotas.take)(queue, amounts, cluster)

    def _count(self, turn: Turn, placed: Array, sign: int) -> None:
        queue, requests = turn.workload.queue, turn.role.requests
        self.count(queue, requests, sign * max(0, total(placed) - total(turn.held)))
        for one in self._caps.get(queue, ()):
            more = total(np.maximum(placed - turn.held, 0)[one.members])
            if more:
                one.cap.add(requests * more, sign)


def _missing(turns: Sequence[Turn]) -> Resources:
    """What all that these roles do not hold yet asks for together."""
    return sum((turn.role.requests * max(0, turn.wanted - total(turn.held)) for turn in turns), Resources())


def _grown(turn: Turn, filling: Filling) -> Array:
    grown: Array = np.maximum(filling.placed - turn.held, 0)
    return grown


def _verdict(queue: str, shortage: Shortage, granted: int) -> Verdict:
    """A shortage as a reason, once so many replicas have been granted."""
    facts = {
        "queue": queue,
        "limit": shortage.limit,
        "holder": shortage.holder,
        "resource": shortage.resource,
        "left": format_amount(shortage.resource, shortage.left - granted * shortage.needed),
        "needed": format_amount(shortage.resource, shortage.needed),
    }
    return Verdict(Reason.OVER_QUOTA, facts)
