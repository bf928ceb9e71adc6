"""The snapshot a plan with preemptions is checked against: what gives way is leaving, and who gains by it is known."""

from __future__ import annotations

from dataclasses import replace

from federator.model.plan import Displacement, Holding, Plan, Snapshot


def with_leaving(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """What the planner says will leave is leaving already, the youngest first."""
    holdings = []
    for holding in snapshot.holdings:
        count = sum(
            one.replicas
            for one in plan.preemptions
            if (one.workload, one.role, one.cluster) == (holding.workload, holding.role, holding.cluster)
        )
        holdings.append(_left(holding, min(count, holding.replicas)) if count else holding)
    pairs = {(one.by, one.workload): one.gains for one in plan.preemptions}
    kept = [
        replace(one, gains=0 if one.workload in {taker for taker, _ in pairs} else one.gains)
        for one in snapshot.displacements
        if (one.workload, one.victim) not in pairs
    ]
    new = [Displacement(*pair, place=1000 + at, gains=gains) for at, (pair, gains) in enumerate(pairs.items())]
    return replace(
        snapshot,
        holdings=tuple(holdings),
        displacements=(*kept, *new),
    )


def _left(holding: Holding, count: int) -> Holding:
    ages = [age_s for age_s, replicas in holding.waves or ((holding.age_s, holding.replicas),) for _ in range(replicas)]
    stays = sorted(ages)[count:]
    from_the_way = min(count, holding.unbound)
    return replace(
        holding,
        replicas=holding.replicas - count,
        unbound=holding.unbound - from_the_way,
        leaving=holding.leaving + count,
        leaving_unbound=holding.leaving_unbound + from_the_way,
        age_s=stays[0] if stays else holding.age_s,
        waves=tuple((age_s, stays.count(age_s)) for age_s in sorted(set(stays))) if holding.waves else (),
    )
