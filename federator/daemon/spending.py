"""What queues with a budget have spent in the period that runs: what runs now is added every so often, and written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from federator.daemon.draft import Draft
from federator.daemon.state import Spending, State
from federator.engine.budgets import running_costs
from federator.engine.purse import CARBON, MONEY
from federator.model.budget import Budget, Cost, Spent
from federator.model.plan import Snapshot
from federator.ports import Store

VALUE = "spent"
"""Its name among the store's values."""
HOUR_S = 3600.0


class SpendingKeeper:
    """Keeps ``state.spending``. The time between two countings costs as if what runs at its end had run all along.

    So does the time in which no daemon ran. A period begins at a whole multiple of its length since 1970.
    """

    def __init__(self, state: State, store: Store, planners: Executor, every_s: float) -> None:
        self._state, self._store, self._planners, self._every_s = state, store, planners, every_s

    async def keep_up(self, seen: Snapshot) -> None:
        """Count and write, where it is time to. Raises StoreUnavailable, and then nothing has changed."""
        state, at_s = self._state, seen.at_s
        since_s = at_s if state.spending_s is None else state.spending_s
        if state.spending_s is not None and 0 <= at_s - since_s < self._every_s:
            return
        if not any(queue.budget is not None for queue in seen.queues):
            return
        rates = await asyncio.get_running_loop().run_in_executor(self._planners, running_costs, seen)
        counted = counted_on(seen, state.spending, rates, min(since_s, at_s))
        async with state.writing:
            draft = Draft(state, at_s)
            draft.values[VALUE] = as_value(counted, at_s)
            await draft.commit(self._store)
        state.spending, state.spending_s = counted, at_s


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


def known(state: State, at_s: float) -> tuple[Spent, ...]:
    """What queues have spent: the more of what is counted in the period that runs and what their documents say."""
    found = {one.queue: one.cost for one in state.spent}
    for queue in state.queues:
        had = state.spending.get(queue.name)
        if queue.budget is None or had is None or had.began_s != _began_s(queue.budget, at_s):
            continue
        said = found.get(queue.name, Cost())
        found[queue.name] = Cost(
            max(said.money_micro, had.money_nano // 1000), max(said.carbon_mg, had.carbon_ug // 1000)
        )
    return tuple(Spent(queue, cost) for queue, cost in sorted(found.items()))


def _began_s(budget: Budget, at_s: float) -> float:
    """When the period that runs began."""
    return at_s // budget.period_s * budget.period_s


def as_value(counted: Mapping[str, Spending], at_s: float) -> dict[str, Any]:
    """What is stored: by queue when its period began, money in nano-units and CO2 in micrograms; and as of when."""
    return {
        "at": at_s,
        "queues": {name: [one.began_s, one.money_nano, one.carbon_ug] for name, one in counted.items()},
    }


def of_value(value: Any) -> tuple[dict[str, Spending], float | None]:
    """What was stored, and as of when; None where there is nothing, so that counting begins anew."""
    if not value:
        return {}, None
    return {name: Spending(*had) for name, had in value["queues"].items()}, float(value["at"])
