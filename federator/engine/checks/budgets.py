"""No queue is led beyond its budget, and none is blamed that could still pay.

What a replica costs depends on the nodes it uses first, which is the planner's affair: here it costs at least what it
would on the cheapest nodes that it may use, and at most what it would on the dearest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from math import ceil

from federator.engine.checks.facts import Facts, Key
from federator.model.budget import Cost
from federator.model.cluster import Cluster, Flavor
from federator.model.policy import Queue
from federator.model.reasons import Reason
from federator.model.resources import Resources, is_bytes
from federator.model.workload import Role, Workload

Extreme = Callable[[list[Fraction]], Fraction]


def _least(prices: list[Fraction]) -> Fraction:
    return min(prices)


def _most(prices: list[Fraction]) -> Fraction:
    return max(prices)


_HAIR = Fraction(1, 10**6)
"""Costs are rounded: to the millionth of a unit of money, or to the milligram."""


def budgets_kept(facts: Facts) -> Iterator[str]:
    """What starts anew costs no more than is left, even at the least; what costs nothing may start in any case."""
    for queue in _with_budget(facts):
        for what, most in _budget(queue).items():
            new = _total(facts, facts.new, queue, what, _least)
            left = most - _spent(facts, queue, what) - _remaining(facts, queue, what, _least)
            if new > max(Fraction(0), left) + _HAIR * (1 + sum(facts.new.values())):
                yield f"queue {queue.name}: what starts anew costs {float(new):g} of {what}, {float(left):g} are left"


def blamed_budgets_are_spent(facts: Facts) -> Iterator[str]:
    """A budget that would surely pay for one more replica keeps none off a cluster."""
    for refusal in facts.plan.refusals:
        workload, role = facts.workloads[refusal.workload], facts.role(refusal.workload, refusal.role)
        if workload.gang is not None or len(workload.roles) > 1:
            continue
        for name, verdict in refusal.reasons.items():
            if verdict.reason is Reason.OVER_BUDGET and more_by_budget(facts, workload, role, facts.clusters[name]) > 0:
                yield f"{workload.name}: a budget is said to keep it off {name}, but pays for more"


def more_by_budget(facts: Facts, workload: Workload, role: Role, cluster: Cluster) -> int:
    """How many more replicas the budget of its queue surely pays for on a cluster after the whole plan."""
    more = 2**40
    for queue in _with_budget(facts):
        for what, most in _budget(queue).items() if queue.name == workload.queue else ():
            left = most - _spent(facts, queue, what) - _remaining(facts, queue, what, _most)
            left -= _total(facts, facts.new, queue, what, _most)
            each = _each(facts, workload, role, cluster, what, _most)
            if each > 0:
                more = min(more, max(0, int(left // (each + _HAIR))))
    return more


def _with_budget(facts: Facts) -> Iterator[Queue]:
    return (queue for queue in facts.snapshot.queues if queue.budget is not None)


def _budget(queue: Queue) -> Mapping[str, Fraction]:
    """In units of money and kilograms."""
    budget = queue.budget
    found = {} if budget is None else {"money": budget.money_micro, "carbon": budget.carbon_mg}
    return {what: Fraction(most, 10**6) for what, most in found.items() if most is not None}


def _spent(facts: Facts, queue: Queue, what: str) -> Fraction:
    cost = next((one.cost for one in facts.snapshot.spent if one.queue == queue.name), Cost())
    return Fraction(cost.money_micro if what == "money" else cost.carbon_mg, 10**6)


def _duration_s(facts: Facts, workload: Workload) -> int:
    known = workload.duration_s
    return ceil(facts.snapshot.planning.unknown_duration_s if known is None else known)


def _remaining(facts: Facts, queue: Queue, what: str, extreme: Extreme) -> Fraction:
    """What that which runs has still to cost."""
    total = Fraction(0)
    for holding in facts.snapshot.holdings:
        key = (holding.workload, holding.role, holding.cluster)
        if not facts.held.get(key) or facts.workloads[holding.workload].queue != queue.name:
            continue
        workload, role = facts.workloads[holding.workload], facts.role(holding.workload, holding.role)
        each = _hourly(facts, workload, role, facts.clusters[holding.cluster], what, extreme)
        known = workload.duration_s
        duration = facts.snapshot.planning.unknown_duration_s if known is None else known
        total += each * max(0, ceil(duration - holding.age_s)) / 3600 * holding.replicas
    return total


def _total(facts: Facts, counts: Mapping[Key, int], queue: Queue, what: str, extreme: Extreme) -> Fraction:
    total = Fraction(0)
    for (name, role, cluster), count in counts.items():
        workload = facts.workloads[name]
        if workload.queue == queue.name:
            one = _each(facts, workload, facts.role(name, role), facts.clusters[cluster], what, extreme)
            total += one * count
    return total


def _each(facts: Facts, workload: Workload, role: Role, cluster: Cluster, what: str, extreme: Extreme) -> Fraction:
    return _hourly(facts, workload, role, cluster, what, extreme) * _duration_s(facts, workload) / 3600


def _hourly(facts: Facts, workload: Workload, role: Role, cluster: Cluster, what: str, extreme: Extreme) -> Fraction:
    """What a replica costs in an hour, in units of money or kilograms of CO2."""
    if what == "carbon":
        watts = Fraction(0)
        for name in role.requests:
            watts += Fraction(cluster.power_w.get(name, 0)) * _natural(role.requests, name)
        return watts / 1000 * Fraction(cluster.carbon_g_per_kwh) / 1000
    usable = [one for one in cluster.flavors or () if facts.usable(workload, role, cluster, one)]
    return extreme([_price(role, cluster, flavor) for flavor in usable or cluster.flavors or (None,)])


def _price(role: Role, cluster: Cluster, flavor: Flavor | None) -> Fraction:
    own = flavor.price if flavor is not None else {}
    total = Fraction(0)
    for name in role.requests:
        per_unit = Fraction(own.get(name, cluster.price.get(name, 0)))
        total += per_unit * role.requests[name] / 10**6 / (1000 if name == "cpu" else 1)
    return total


def _natural(requests: Resources, name: str) -> Fraction:
    """Cores, GiB or pieces."""
    return Fraction(requests[name], 1000 if name == "cpu" else 2**30 if is_bytes(name) else 1)
