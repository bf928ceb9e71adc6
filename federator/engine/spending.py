"""What queues have spent of their budgets, added up: the daemon and the simulator count alike.

The time between two countings costs as if what runs at its end had run all along. A period begins at a whole multiple
of its length, counted from time 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from federator.engine.purse import CARBON, MONEY
from federator.model.budget import Budget, Cost, Spending, Spent
from federator.model.plan import Snapshot
from federator.model.policy import Queue

HOUR_S = 3600.0


def counted_on(
    seen: Snapshot, before: Mapping[str, Spending], rates: Mapping[tuple[str, str], int], since_s: float
) -> dict[str, Spending]:
    """What each queue with a budget has spent by the time of a snapshot. ``rates`` by the hour have held since then."""
    counted = {}
    for queue in seen.queues:
        if queue.budget is None:
            continue
        began_s = _began_s(queue.budget, seen.at_s)
        had = before.get(queue.name)
        if had is None or had.began_s != began_s:
            had = Spending(began_s)
        hours = (seen.at_s - max(since_s, began_s)) / HOUR_S
        money, carbon = (round(rates.get((queue.name, what), 0) * hours) for what in (MONEY, CARBON))
        counted[queue.name] = replace(had, money_nano=had.money_nano + money, carbon_ug=had.carbon_ug + carbon)
    return counted


def spent_by(
    queues: Iterable[Queue], counted: Mapping[str, Spending], said: Iterable[Spent], at_s: float
) -> tuple[Spent, ...]:
    """What queues have spent: the more of what is counted in the period that runs and what their documents say."""
    found = {one.queue: one.cost for one in said}
    for queue in queues:
        had = counted.get(queue.name)
        if queue.budget is None or had is None or had.began_s != _began_s(queue.budget, at_s):
            continue
        told = found.get(queue.name, Cost())
        found[queue.name] = Cost(
            max(told.money_micro, had.money_nano // 1000), max(told.carbon_mg, had.carbon_ug // 1000)
        )
    return tuple(Spent(queue, cost) for queue, cost in sorted(found.items()))


def next_period_s(queues: Iterable[Queue], at_s: float) -> float | None:
    """When the next period of any budget begins, after this time; None where there is none."""
    budgets = [queue.budget for queue in queues if queue.budget is not None]
    return min((_began_s(budget, at_s) + budget.period_s for budget in budgets), default=None)


def _began_s(budget: Budget, at_s: float) -> float:
    """When the period that runs began."""
    return at_s // budget.period_s * budget.period_s
