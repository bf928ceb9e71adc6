"""A run as the JSON document that ``federator simulate -o json`` prints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from federator.simulator.measures import Told
from federator.simulator.run import Run

DIGITS = 6


def run_document(run: Run) -> dict[str, Any]:
    """The figures of a run; ``engine`` alone may differ between two runs of one story."""
    told, measures = run.measures.workloads, run.measures
    finished = [one for one in told if one.ended_s is not None and not one.failed]
    fared = [one for one in finished if not one.stood]
    waits = sorted(one.wait_s for one in told if one.started_s is not None and not one.stood)
    slowdowns = sorted(one.slowdown for one in fared)
    utilization = measures.utilization(run.ended_s)
    return {
        "seed": run.story.seed,
        "simulated_s": _round(run.ended_s),
        "jobs": {
            "submitted": len(told), "finished": len(finished), "running": run.running, "waiting": run.waiting,
            "failed": sum(one.failed for one in told),
        },
        "wait_s": {"mean": mean(waits), **percentiles(waits, 50, 95, 99), "max": _round(waits[-1]) if waits else 0},
        "bounded_slowdown": {"mean": mean(slowdowns), **percentiles(slowdowns, 95)},
        "makespan_s": _round(makespan(told, run.ended_s)),
        "utilization": {c: {name: _round(part) for name, part in parts.items()} for c, parts in utilization.items()},
        "backfill": {
            "cpu_s_useful": _round(sum(measures.backfill_useful_s.values())),
            "cpu_s_lost": _round(sum(measures.backfill_lost_s.values())),
            "evictions": measures.evictions,
        },
        "preemptions": measures.preemptions,
        "moves": measures.moves,
        "nodes_lost": measures.nodes_lost,
        "leases_void": measures.leases_void,
        "transferred_bytes": measures.transferred_bytes,
        "cost": _round(sum(measures.cost.values())),
        "carbon_g": _round(sum(measures.carbon_g.values())),
        "clusters": {
            name: {
                "first_start_s": measures.first_s.get(name), "cost": _round(measures.cost[name]),
                "carbon_g": _round(measures.carbon_g[name]), "cpu_s_lost": _round(measures.lost_s[name]),
            }
            for name in utilization
        },
        "fairness_jain": _round(jain(fared)),
        "engine": {
            "plans": len(run.plan_s), "skipped": run.skipped, "wall_s": round(run.wall_s, 3),
            "plan_ms": percentiles(sorted(took * 1000 for took in run.plan_s), 50, 99),
        },
    }  # fmt: skip


def makespan(told: Sequence[Told], ended_s: float) -> float:
    """From the first submission to the last end (or the run's, for what has not ended)."""
    if not told:
        return 0.0
    ends = [one.ended_s if one.ended_s is not None else ended_s for one in told]
    return max(ends) - min(one.submitted_s for one in told)


def jain(finished: Sequence[Told]) -> float:
    """Jain's index of the mean bounded slowdowns of queues: 1 where all are alike."""
    by_queue: defaultdict[str, list[float]] = defaultdict(list)
    for one in finished:
        by_queue[one.queue].append(one.slowdown)
    means = [sum(values) / len(values) for _, values in sorted(by_queue.items())]
    return sum(means) ** 2 / (len(means) * sum(mean * mean for mean in means)) if means else 1.0


def percentiles(values: Sequence[float], *ranks: int) -> dict[str, float]:
    """Of sorted values, the smallest that so many per cent do not exceed."""
    return {f"p{rank}": _round(values[-(-len(values) * rank // 100) - 1]) if values else 0 for rank in ranks}


def mean(values: Sequence[float]) -> float:
    return _round(sum(values) / len(values)) if values else 0


def _round(value: float) -> float:
    return round(value, DIGITS)
