"""What queues may still spend while one plan is made, of money and of CO2, and how work is kept within it.

A replica is expected to cost its rate on the nodes that it uses first, for as long as it is expected to run, rounded
up; what runs has still to cost the rest of that. Where a division would cost too much, the dearest clusters are left
out, one after the other, so that the work goes to cheaper ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from federator.engine.arrays import Array
from federator.engine.federation import Federation
from federator.engine.filling import BOUND, EXTRA, MORE
from federator.engine.purse import CARBON, MONEY, Purse
from federator.engine.tiers import Filling
from federator.engine.turn import Turn
from federator.model.budget import Cost
from federator.model.plan import Holding, Snapshot
from federator.model.policy import Queue
from federator.model.workload import Role, Workload

Left = dict[tuple[str, str], int]
"""By queue and by what is spent (``MONEY``, ``CARBON``), in nano-units or micrograms; below zero where it is passed."""

BOUNDS = [BOUND, MORE, EXTRA]
"""The columns of a desk that say how many more replicas may start."""

_MOST = 2**62


class Budgets:
    """The purses of all queues that have a budget. Where none has, nothing is ever asked."""

    def __init__(self, snapshot: Snapshot, federation: Federation) -> None:
        self._federation = federation
        self._unknown_s = snapshot.planning.unknown_duration_s
        spent = {one.queue: one.cost for one in snapshot.spent}
        self._periods = {queue.name: queue.budget.period_s for queue in snapshot.queues if queue.budget is not None}
        self._left: Left = {}
        for queue in snapshot.queues:
            self._left |= _left(queue, spent.get(queue.name, Cost()))
        if self._left:
            self._set_aside(snapshot)

    def _set_aside(self, snapshot: Snapshot) -> None:
        """What runs has still to cost something."""
        for holding, workload, what, rates in self.running(snapshot):
            duration_s = max(0.0, self._duration_s(workload) - holding.age_s)
            self._left[workload.queue, what] -= int(_cost(rates, duration_s)[0]) * holding.replicas

    def running(self, snapshot: Snapshot) -> Iterator[tuple[Holding, Workload, str, Array]]:
        """What is held of queues with a budget, and what a replica costs there for an hour (one number), of each of
        what there is a budget for. What a lost cluster held counts as gone."""
        roles = {(w.name, role.name): (w, role) for w in snapshot.workloads if self.bounds(w.queue) for role in w.roles}
        for holding in snapshot.holdings:
            workload, role = roles.get((holding.workload, holding.role), (None, None))
            at = self._federation.index.get(holding.cluster)
            if workload is None or role is None or at is None or self._federation.lost[at]:
                continue
            for what, rates in self._rates(workload, role):
                yield holding, workload, what, rates[at : at + 1]

    def _duration_s(self, workload: Workload) -> float:
        return self._unknown_s if workload.duration_s is None else workload.duration_s

    def _rates(self, workload: Workload, role: Role) -> Iterator[tuple[str, Array]]:
        """What a replica costs for an hour on each cluster, of what its queue has a budget for."""
        federation, prices = self._federation, self._federation.prices
        for what, by_lot in ((MONEY, prices.money), (CARBON, prices.carbon)):
            if (workload.queue, what) in self._left:
                rule = federation.governing.rule(workload)
                shape = federation.feasibility.of(workload, role, rule, ()).shape
                yield what, prices.first_choice(by_lot(role.requests), shape)

    def bounds(self, queue: str) -> bool:
        """Whether the queue has a budget."""
        return queue in self._periods

    def admit(self, turn: Turn) -> None:
        """Let the role have no more on any cluster than its queue could pay for there."""
        queue = turn.workload.queue
        if queue not in self._periods:
            return
        for what, rates in self._rates(turn.workload, turn.role):
            each, left = _cost(rates, self._duration_s(turn.workload)), self._left[queue, what]
            turn.purses.append(Purse(queue, what, self._periods[queue], left, each, each))
            affordable = np.where(each > 0, min(max(0, left), _MOST) // np.maximum(each, 1), _MOST)
            turn.desk[:, BOUND] = np.minimum(turn.desk[:, BOUND], affordable)

    def within(self, turn: Turn, fill: Callable[[], Filling]) -> Filling:
        """Fill; where that would cost too much, close the dearest clusters as far as it takes, and fill anew."""
        filling = fill()
        if not any(_passes(turn, purse, filling) for purse in turn.purses):
            return filling
        turn.look_everywhere()
        before = turn.desk[:, BOUNDS].copy()
        while over := next((purse for purse in turn.purses if _passes(turn, purse, filling)), None):
            filling = _save(turn, over, fill)
        turn.desk[:, BOUNDS] = before
        return filling

    def keep_out(self, turns: Sequence[Turn]) -> None:
        """Leave roles that must be on one cluster no room where they, together, would cost too much."""
        gang = turns[0].workload.gang
        if not turns[0].purses or (gang is not None and gang.scope != "cluster"):
            return
        for at, purse in enumerate(turns[0].purses):
            needed = _together(turns, at)
            short = needed > max(0, purse.left)
            for turn in turns:
                turn.look_everywhere()
                turn.desk[short, MORE] = turn.desk[short, EXTRA] = 0
                turn.purses[at] = replace(turn.purses[at], needed=needed)

    def take(self, turn: Turn, placed: Array) -> None:
        """Spend what the role is expected to cost where it starts anew."""
        for purse in turn.purses:
            self._left[purse.queue, purse.what] -= purse.cost(np.maximum(placed - turn.held, 0))

    def save(self) -> Left:
        """What is left now, to go back to."""
        return dict(self._left)

    def restore(self, saved: Left) -> None:
        """Go back to it."""
        self._left = dict(saved)


def running_costs(snapshot: Snapshot) -> dict[tuple[str, str], int]:
    """What the work of queues with a budget that runs costs for an hour: by queue and by what is spent (``MONEY``,
    ``CARBON``), in nano-units or micrograms. What has not begun yet costs nothing."""
    costs: dict[tuple[str, str], int] = {}
    for holding, workload, what, rates in Budgets(snapshot, Federation(snapshot)).running(snapshot):
        each, runs = int(rates[0]), holding.replicas - holding.unbound
        costs[workload.queue, what] = costs.get((workload.queue, what), 0) + each * runs
    return costs


def _left(queue: Queue, spent: Cost) -> Left:
    left: Left = {}
    budget = queue.budget
    if budget is not None and budget.money_micro is not None:
        left[queue.name, MONEY] = 1000 * (budget.money_micro - spent.money_micro)
    if budget is not None and budget.carbon_mg is not None:
        left[queue.name, CARBON] = 1000 * (budget.carbon_mg - spent.carbon_mg)
    return left


def _together(turns: Sequence[Turn], purse: int) -> Array:
    """What all that these roles do not hold on a cluster costs there, by cluster."""
    costs = [0] * len(turns[0].held)
    for turn in turns:
        missing = np.maximum(0, turn.wanted - turn.held).tolist()
        for at, (each, count) in enumerate(zip(turn.purses[purse].each.tolist(), missing, strict=True)):
            costs[at] += each * count
    return np.array([min(cost, _MOST) for cost in costs], dtype=np.int64)


def _cost(rates: Array, duration_s: float) -> Array:
    """Rates for an hour (up to 2**40), for so long; rounded up to seconds, what is very long to minutes."""
    time, hour = -int(-duration_s // 1), 3600
    if time >= 2**22:
        time, hour = min(-(-time // 60), 2**22), 60
    cost: Array = -(-rates * time // hour)
    return cost


def _passes(turn: Turn, purse: Purse, filling: Filling) -> bool:
    grown = np.maximum(filling.placed - turn.held, 0)
    return bool(grown[purse.each > 0].any()) and purse.cost(grown) > max(0, purse.left)


def _save(turn: Turn, purse: Purse, fill: Callable[[], Filling]) -> Filling:
    """Close as many of the dearest clusters as it takes, and open the last of them as far as the budget goes."""
    dearest = np.lexsort((np.arange(len(purse.each)), -purse.each))
    dearest = dearest[purse.each[dearest] > 0]
    before = turn.desk[:, BOUNDS].copy()

    def bounded(closed: int, opened: int) -> Filling:
        """Filled with the first so many closed, and the next one open for so many replicas."""
        turn.desk[:, BOUNDS] = before
        _bound(turn, dearest[:closed], 0)
        _bound(turn, dearest[closed : closed + 1], opened)
        return fill()

    most = max(1, turn.wanted)
    closed = _first(0, len(dearest), lambda count: not _passes(turn, purse, bounded(count, most)))
    opened = _first(0, most, lambda spared: not _passes(turn, purse, bounded(closed - 1, most - spared)))
    return bounded(closed - 1, most - opened)


def _bound(turn: Turn, at: Array, most: int) -> None:
    desk = turn.desk
    desk[at, BOUND] = np.minimum(desk[at, BOUND], most)
    desk[at, MORE] = np.minimum(desk[at, MORE], most)
    desk[at, EXTRA] = np.minimum(desk[at, EXTRA], desk[at, BOUND] - desk[at, MORE])


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """A number above ``low`` for which it holds while it does not for the one before; it is taken to hold at ``high``
    and not at ``low``."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
