"""Shares: who has much and who has little, for the order of service and for preemption.

Two different questions. **What is borrowed** (``borrowed``): the dominant resource share of Kueue, what a queue or
cohort uses beyond its claim as a part of what its parent could lend, by weight. Preemption goes by it.

**Standing** (``Shares``): who is served next. Among those that compete for the same (the children of a cohort, or the
federation's tops), the one with the lowest (use with its head - what it is owed) / weight. Use is the largest part
of any resource: of what the cohort could use, or of the federation's capacity where nobody has a quota. Owed is
``EMPHASIS`` times what the weights would have given it of all that was used lately, less what it had lately; but at
most half of the former, or one head where that is more. So one that had much yields to one that had little; yet it
keeps at least half of what its weight gives, and a newcomer gets at most half more. What was had lately tends to the
weights. Where the parts of all are smaller than one workload, the debt of one head lets them take turns.

Arithmetic is in integers and fractions of them; nothing depends on the order of lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from federator.engine.forest import NOBODY, Forest
from federator.engine.parts import demand_capped
from federator.engine.quotas import Quotas
from federator.model.policy import lately_per_unit

Share = Fraction | float
"""A fraction, or math.inf."""
EMPHASIS = 8
Amounts = Mapping[str, int]


def borrowed(quotas: Quotas, node: int) -> tuple[Share, str]:
    """The dominant share of a queue or cohort, and its resource: 0 and "" where it borrows nothing or has no parent.

    Infinite where it borrows with a weight of 0.
    """
    share, dominant = beyond(quotas, node)
    weight = quotas.forest.nodes[node].weight
    return (share / weight if weight else math.inf if share else share), dominant


def beyond(quotas: Quotas, node: int) -> tuple[Fraction, str]:
    """The same, whatever the weight."""
    tree = quotas.forest
    parent, share, dominant = tree.parents[node], Fraction(0), ""
    if parent == NOBODY:
        return share, dominant
    for resource, ledger in sorted(quotas.ledgers.items()):
        more, lendable = ledger.borrows(node), ledger.reach[parent]
        if more > 0 and lendable > 0 and Fraction(more, lendable) > share:
            share, dominant = Fraction(more, lendable), resource
    return share, dominant


@dataclass(frozen=True, slots=True)
class Level:
    """Those that compete with each other, on one scale where all is a whole number: ``unit`` is the whole of any
    resource.

    ``per`` is how much one unit of a resource counts; ``lift`` makes shares of different weights comparable (0 for
    weight 0); ``due`` is what the weights give, ``owed`` that less what was had lately, times EMPHASIS; both in units.
    """

    unit: int
    per: Amounts
    lift: Mapping[int, int]
    due: Mapping[int, int]
    owed: Mapping[int, int]

    def part(self, amounts: Amounts) -> int:
        """The largest part of any resource, in units."""
        return max((amount * self.per.get(resource, 0) for resource, amount in amounts.items()), default=0)


Standing = tuple[bool, int]
"""Comparable among those of one level, the lowest first."""


class Shares:
    """The standings of all queues and cohorts at one plan. Reads what is used now from ``quotas``, so it stays true.

    ``capacity``: the federation's, by resource. ``lately``: by queue, in billionths (``QueueUsage``). ``demand``: what
    each queue's work uses and waits for, together; a queue that is not named is not active. None: all ask for all.
    """

    def __init__(
        self,
        quotas: Quotas,
        capacity: Amounts,
        lately: Mapping[str, Amounts] | None = None,
        demand: Mapping[str, Amounts] | None = None,
    ) -> None:
        self.quotas = quotas
        self.capacity = {resource: amount for resource, amount in capacity.items() if amount > 0}
        tree = quotas.forest
        self.lately = sums(tree, lately or {})
        self.demand = None if demand is None else sums(tree, demand)
        self.levels = {parent: self._level(parent) for parent in sorted(set(tree.parents))}

    def total(self, parent: int) -> Amounts:
        """What the children of ``parent`` compete for: what it could use of each resource, else the federation's."""
        total = dict(self.capacity)
        for resource, ledger in self.quotas.ledgers.items():
            if parent != NOBODY and ledger.governed[parent]:
                total[resource] = ledger.reach[parent]
        return {resource: amount for resource, amount in total.items() if amount > 0}

    def _level(self, parent: int) -> Level:
        tree, total = self.quotas.forest, self.total(parent)
        nodes = tree.below(parent)
        heavy = math.lcm(*(tree.nodes[node].weight or 1 for node in nodes))
        lift = {node: heavy // weight if (weight := tree.nodes[node].weight) else 0 for node in nodes}
        had = {node: lately_part(self.lately.get(node, {}), total) for node in nodes}
        due = self._due(nodes, total, had)
        owed = {node: EMPHASIS * (due[node] - had[node]) for node in nodes}
        fractions = (*due.values(), *owed.values())
        unit = 2 * math.lcm(*total.values(), *(one.denominator for one in fractions))
        return Level(
            unit=unit,
            per={resource: unit // amount for resource, amount in total.items()},
            lift=lift,
            due={node: int(due[node] * unit) for node in nodes},
            owed={node: int(owed[node] * unit) for node in nodes},
        )

    def _due(self, nodes: tuple[int, ...], total: Amounts, had: Mapping[int, Fraction]) -> dict[int, Fraction]:
        """What the weights give, to no one more than it asks for, of all that the active ones had lately."""
        tree = self.quotas.forest
        asked = {node: self._asked(node, total) for node in nodes}
        active = [node for node in nodes if asked[node]]
        names = {str(node): node for node in active}
        weights = {name: tree.nodes[node].weight for name, node in names.items()}
        parts = demand_capped(weights, {name: asked[node] for name, node in names.items()})
        whole = sum(parts.values()) or Fraction(1)
        had_by_all = sum((had[node] for node in active), Fraction(0))
        due = {names[name]: part / whole * had_by_all for name, part in parts.items()}
        return {node: due.get(node, Fraction(0)) for node in nodes}

    def _asked(self, node: int, total: Amounts) -> Fraction:
        if self.demand is None:
            return Fraction(1)
        asked = self.demand.get(node, {})
        return max((Fraction(asked[r], total[r]) for r in asked if r in total), default=Fraction(0))

    def standing(self, node: int, more: Amounts, head: Amounts) -> Standing:
        """The standing of a queue or cohort that uses so much more; ``head`` is what one step of it takes."""
        level = self.levels[self.quotas.forest.parents[node]]
        used, per = 0, level.per
        for resource, worth in per.items():
            ledger = self.quotas.ledgers.get(resource)
            amount = (ledger.total[node] if ledger else 0) + more.get(resource, 0)
            used = max(used, amount * worth)
        most = max(level.due[node] // 2, level.part(head))
        lift = level.lift[node]
        return (True, used) if not lift else (False, (used - max(-most, min(most, level.owed[node]))) * lift)

    def used(self, node: int) -> Fraction:
        """The largest part of any resource that a queue or cohort uses now, of the federation's capacity."""
        ledgers = self.quotas.ledgers
        parts = (Fraction(ledgers[r].total[node], all_) for r, all_ in self.capacity.items() if r in ledgers)
        return max(parts, default=Fraction(0))

    def had(self, node: int) -> Fraction:
        """The same of what it had lately."""
        return lately_part(self.lately.get(node, {}), self.capacity)


def sums(tree: Forest, by_queue: Mapping[str, Amounts]) -> dict[int, dict[str, int]]:
    """Amounts of queues, and their sums for every cohort above them."""
    sums: dict[int, dict[str, int]] = {}
    for queue, amounts in by_queue.items():
        for node in tree.paths[tree.queues[queue]] if queue in tree.queues else ():
            here = sums.setdefault(node, {})
            for resource, amount in amounts.items():
                here[resource] = here.get(resource, 0) + amount
    return sums


def lately_part(had: Amounts, total: Amounts) -> Fraction:
    """The largest part of any resource of what was had lately (in billionths), of these amounts."""
    parts = (Fraction(had[r], total[r] * lately_per_unit(r)) for r in had if r in total)
    return max(parts, default=Fraction(0))
