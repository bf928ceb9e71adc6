"""What queues with a budget have spent in the period that runs: what runs now is added every so often, and written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from federator.daemon.draft import Draft
from federator.daemon.state import State
from federator.engine.budgets import running_costs
from federator.engine.spending import counted_on, spent_by
from federator.model.budget import Spending, Spent
from federator.model.plan import Snapshot
from federator.ports import Store

VALUE = "spent"
"""Its name among the store's values."""


class SpendingKeeper:
    """Keeps ``state.spending``. The time in which no daemon ran costs as if what runs at its end had run all along."""

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


def known(state: State, at_s: float) -> tuple[Spent, ...]:
    """What queues have spent in the periods that run."""
    return spent_by(state.queues, state.spending, state.spent, at_s)


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
