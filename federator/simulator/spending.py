"""What queues with a budget spend in a run: added up as the daemon does, each time before anything changes."""

from __future__ import annotations

from federator.engine.budgets import running_costs
from federator.engine.spending import counted_on, next_period_s, spent_by
from federator.model.budget import Spending, Spent
from federator.model.plan import Snapshot


class Spendings:
    """The budgets of a run."""

    def __init__(self, federation: Snapshot) -> None:
        self._queues, self._said = federation.queues, federation.spent
        self._counted: dict[str, Spending] = {}
        self._longest_s = max((one.budget.period_s for one in federation.queues if one.budget), default=0.0)
        self.needed = self._longest_s > 0
        """Whether any queue has a budget."""

    def count(self, seen: Snapshot, since_s: float) -> None:
        """Count what was spent since then; the snapshot shows what has run all that time."""
        self._counted = counted_on(seen, self._counted, running_costs(seen), since_s)

    def spent(self, at_s: float) -> tuple[Spent, ...]:
        """What has been spent in the periods that run."""
        return spent_by(self._queues, self._counted, self._said, at_s) if self.needed else self._said

    def next_look_s(self, now_s: float, changed_s: float) -> float | None:
        """When a period begins that may allow what is refused now; None where none will.

        Once every budget has begun anew since anything changed, all later periods are like these.
        """
        begins_s = next_period_s(self._queues, now_s)
        return None if begins_s is None or begins_s - changed_s > self._longest_s else begins_s
