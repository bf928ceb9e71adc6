"""From a run to its record."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence

from federator.model.cluster import Cluster
from federator.model.resources import CPU
from federator.simulator.answer import mean, percentiles, run_document
from federator.simulator.filling import filler_rows, kept_at_looks
from federator.simulator.history import Array, History
from federator.simulator.looks import Looks
from federator.simulator.measures import HOUR_S, Told
from federator.simulator.record import FaultRow, Points, QueueRow, Record, RefusedRow
from federator.simulator.run import Run

MOST_POINTS = 400
"""Of a distribution so many points are kept, evenly spread over its ranks."""
MOST_ROWS = 200
"""Of queues and reasons so many are kept, those with most first."""
SERIES = ("production", "lost", "backfill", "backfill lost", "queue", "cost", "carbon_g")


def recorded(run: Run, name: str, looks: Looks) -> Record:
    """What is kept of a run that ``looks`` watched."""
    history, until_s = run.measures.history, run.ended_s
    spans = len(history.starts_s(until_s))
    span_s = history.span_s
    told, waiting = run.measures.workloads, _waiting(run)
    clusters = run.story.federation.clusters
    return Record(
        name=name,
        until_s=until_s,
        span_s=span_s,
        figures=run_document(run),
        cores={one.name: _plain(_cores(one) + history.means("nodes", one.name, until_s)) for one in clusters},
        foreign={one.name: one.foreign[CPU] / 1000 for one in clusters},
        series={kind: _series(history, kind, until_s) for kind in SERIES}
        | {"waiting": _series(waiting, "waiting", until_s)},
        moves=_plain(history.counts("moves", "", until_s)),
        preemptions=_plain(history.counts("preemptions", "", until_s)),
        fairness=fairness(told, span_s, spans),
        waits=distribution(_waits(told)),
        slowdowns=distribution([one.slowdown for one in told if fared(one)]),
        queues=queue_rows(told, history, until_s),
        looks_s=[look.at_s for look in looks.looks],
        refused={
            reason: [look.by_reason[reason] for look in looks.looks]
            for reason in sorted({reason for look in looks.looks for reason in look.by_reason})
        },
        reasons=_reasons(looks, until_s),
        faults=[
            FaultRow(one.cluster, one.words, one.at_s, min(until_s, one.ends_s or until_s), one.by_chance)
            for one in run.story.faults
            if one.at_s < until_s
        ],
        fillers=filler_rows(run.measures),
        evictions={
            cause: _plain(history.counts("evictions", cause, until_s)) for cause in sorted(history.names("evictions"))
        },
        kept=kept_at_looks(looks),
        quick=not run.plan_s and bool(told),
    )


def _cores(cluster: Cluster) -> float:
    return sum(flavor.allocatable[CPU] * flavor.count for flavor in cluster.flavors or ()) / 1000


def _plain(values: Array) -> list[float]:
    return [round(value, 6) + 0.0 for value in values.tolist()]


def _series(history: History, kind: str, until_s: float) -> dict[str, list[float]]:
    return {name: _plain(history.means(kind, name, until_s)) for name in history.names(kind)}


def _waiting(run: Run) -> History:
    """Workloads that have not started, by queue."""
    history, told = History(run.measures.history.span_s), run.measures.workloads
    left_s = [one.started_s if one.started_s is not None else one.ended_s for one in told]
    history.lasted(
        [("waiting", one.queue) for one in told],
        [one.submitted_s for one in told],
        [run.ended_s if at_s is None else at_s for at_s in left_s],
        [1.0] * len(told),
    )
    return history


def _waits(told: Sequence[Told]) -> list[float]:
    return [one.wait_s for one in told if one.started_s is not None and not one.stood]


def fared(one: Told) -> bool:
    """Whether its slowdown counts: it finished, and all of its life was in this run."""
    return one.ended_s is not None and not one.failed and not one.stood


def fairness(told: Sequence[Told], span_s: float, spans: int) -> list[float | None]:
    """Jain's index of the mean slowdowns of queues, of all that has finished by the end of each span."""
    finished = sorted(filter(fared, told), key=lambda one: one.ended_s or 0)
    sums: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, int] = defaultdict(int)
    found: list[float | None] = []
    total = squares = 0.0
    at = 0
    for span in range(spans):
        last = span == spans - 1
        while at < len(finished) and (last or (finished[at].ended_s or 0) <= (span + 1) * span_s):
            queue = finished[at].queue
            before = sums[queue] / counts[queue] if counts[queue] else 0.0
            sums[queue] += finished[at].slowdown
            counts[queue] += 1
            after = sums[queue] / counts[queue]
            total += after - before
            squares += after * after - before * before
            at += 1
        found.append(round(total * total / (len(counts) * squares), 6) if counts else None)
    return found


def distribution(values: Sequence[float]) -> Points:
    """(value, the part of all that does not exceed it), thinned evenly over ranks; the least and the most are in."""
    ordered, count = sorted(values), len(values)
    if not ordered:
        return []
    ranks = sorted({round(step * (count - 1) / (MOST_POINTS - 1)) for step in range(MOST_POINTS)})
    kept = dict.fromkeys(ordered[rank] for rank in ranks)
    return [(round(value, 6), round(bisect_right(ordered, value) / count, 6)) for value in kept]


def queue_rows(told: Sequence[Told], history: History, until_s: float) -> list[QueueRow]:
    """The queues, those with most workloads first."""
    by_queue: defaultdict[str, list[Told]] = defaultdict(list)
    for one in told:
        by_queue[one.queue].append(one)
    known = set(history.names("queue"))
    most = sorted(by_queue.items(), key=lambda pair: (-len(pair[1]), pair[0]))[:MOST_ROWS]
    return [_queue_row(queue, mine, history if queue in known else None, until_s) for queue, mine in most]


def _queue_row(queue: str, mine: Sequence[Told], history: History | None, until_s: float) -> QueueRow:
    waits = sorted(_waits(mine))
    finished = [one for one in mine if one.ended_s is not None and not one.failed]
    slowdowns = sorted(one.slowdown for one in mine if fared(one))
    core_s = None
    if history is not None:
        starts_s = history.starts_s(until_s)
        lengths = [min(history.span_s, until_s - start_s) for start_s in starts_s.tolist()]
        core_s = float(history.means("queue", queue, until_s) @ lengths)
    return QueueRow(
        queue=queue, submitted=len(mine), finished=len(finished),
        started=sum(one.started_s is not None for one in mine),
        failed=sum(one.failed for one in mine),
        wait_s={"mean": mean(waits), **percentiles(waits, 50, 95), "max": round(waits[-1], 6) if waits else 0},
        slowdown={"mean": mean(slowdowns), **percentiles(slowdowns, 95)},
        core_h=None if core_s is None else round(core_s / HOUR_S, 6),
    )  # fmt: skip


def _reasons(looks: Looks, until_s: float) -> list[RefusedRow]:
    """Every look counts until the next."""
    hours: defaultdict[tuple[str, str], float] = defaultdict(float)
    ends = [*(look.at_s for look in looks.looks[1:]), until_s]
    for look, ends_s in zip(looks.looks, ends, strict=True) if looks.looks else ():
        for key, replicas in look.by_cluster.items():
            hours[key] += replicas * (ends_s - look.at_s) / HOUR_S
    most = sorted(hours.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_ROWS]
    return [RefusedRow(*key, round(value, 6), looks.words[key]) for key, value in most]
