"""What each queue had lately, kept up: what it uses now is folded in every so often, and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federator.daemon.draft import Draft
from federator.daemon.snapshots import Snapshots
from federator.daemon.state import State
from federator.engine.decay import lately
from federator.model.policy import Queue
from federator.model.resources import Resources
from federator.ports import Store

VALUE = "lately"
"""Its name among the store's values."""


class UsageKeeper:
    """Keeps ``state.lately``. The time between two foldings counts as if what runs at its end had run all along.

    So does the time in which no daemon ran: what ended meanwhile is not counted for it, what still runs is.
    """

    def __init__(self, state: State, snapshots: Snapshots, store: Store, every_s: float) -> None:
        self._state = state
        self._snapshots = snapshots
        self._store = store
        self._every_s = every_s

    async def keep_up(self, at_s: float) -> None:
        """Fold and write, where it is time to. Raises StoreUnavailable, and then nothing has changed."""
        state = self._state
        since_s = at_s if state.lately_s is None else state.lately_s
        if state.lately_s is not None and 0 <= at_s - since_s < self._every_s:
            return
        await self._snapshots.refresh(at_s)
        folded = self._folded(max(0.0, at_s - since_s))
        if folded or state.lately:
            async with state.writing:
                draft = Draft(state, at_s)
                draft.values[VALUE] = as_value(folded, at_s)
                await draft.commit(self._store)
        state.lately, state.lately_s = folded, at_s

    def _folded(self, elapsed_s: float) -> dict[str, Resources]:
        """What each queue had lately after so much more time; queues of which nothing is left are forgotten."""
        state, used = self._state, self._snapshots.used
        declared = {queue.name: queue for queue in state.queues}
        folded = {}
        for name in sorted({*state.lately, *used}):
            half_life_s = declared.get(name, Queue(name)).half_life_s
            had = lately(state.lately.get(name, Resources()), used.get(name, {}), elapsed_s, half_life_s)
            if had:
                folded[name] = had
        return folded


def as_value(had: Mapping[str, Resources], at_s: float) -> dict[str, Any]:
    """What is stored: the amounts in billionths (see ``QueueUsage``), by queue and resource, and as of when."""
    return {"at": at_s, "queues": {name: dict(amounts.items_) for name, amounts in had.items()}}


def of_value(value: Any) -> tuple[dict[str, Resources], float | None]:
    """What was stored, and as of when; None where there is nothing, so that counting begins anew."""
    if not value or not value["queues"]:
        return {}, None
    return {name: Resources.of(amounts) for name, amounts in value["queues"].items()}, float(value["at"])
