"""What a queue's budget leaves at a role's turn, of money or of CO2, and what such replicas are expected to cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federator.documents.budget import format_mass, format_money
from federator.documents.quantities import format_duration
from federator.engine.arrays import Array
from federator.model.reasons import Reason, Verdict

MONEY, CARBON = "money", "CO2"


@dataclass(frozen=True, slots=True, eq=False)
class Purse:
    """``left`` and what one replica costs on each cluster (``each``), in nano-units of money or micrograms of CO2.

    ``needed`` is what must be there for any to start on a cluster: the cost of one replica, or of a whole gang.
    """

    queue: str
    what: str
    period_s: float
    left: int
    each: Array
    needed: Array

    def cost(self, grown: Array) -> int:
        """What so many new replicas cost; exact, whatever their number."""
        at = np.flatnonzero(grown)
        return sum(each * count for each, count in zip(self.each[at].tolist(), grown[at].tolist(), strict=True))

    def written(self, amount: int) -> str:
        """An amount for people, rounded up."""
        return (format_money if self.what == MONEY else format_mass)(-(-amount // 1000))

    def over(self, at: int, grown: Array) -> Verdict | None:
        """Why no more start on the cluster beside so many new ones; None where the budget allows it."""
        left, needed = self.left - self.cost(grown), int(self.needed[at])
        if needed <= max(0, left):
            return None
        facts = {
            "queue": self.queue,
            "what": self.what,
            "period": format_duration(self.period_s),
            "left": self.written(max(0, left) // 1000 * 1000),
            "needed": self.written(needed),
        }
        return Verdict(Reason.OVER_BUDGET, facts)
