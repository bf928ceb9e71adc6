"""Small stories for tests, in few words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from federator.model.cluster import Cluster
from federator.model.plan import Snapshot
from federator.model.policy import GangSearch, Planning
from federator.model.workload import Gang
from federator.simulator.measures import Told
from federator.simulator.run import Run
from federator.simulator.story import Arrival, Story
from tests.engine.build import workload
from tests.simulator.oracle import Job

PLAIN = Planning(blocked_head="wait", gang_search=GangSearch(budget=0.0))


def story(clusters: Sequence[Cluster], arrivals: Iterable[Arrival], planning: Planning = PLAIN, **more: Any) -> Story:
    """A story; what belongs to a snapshot is given to it."""
    known = {name: more.pop(name) for name in list(more) if name in Snapshot.__dataclass_fields__}
    coming = tuple(arrivals)
    return Story(Snapshot(clusters=tuple(clusters), planning=planning, **known), lambda: iter(coming), **more)


def arrival(name: str, at_s: float, run_s: float, replicas: int = 1, **more: Any) -> Arrival:
    """A workload that arrives; its user expects what it takes, unless told otherwise."""
    more.setdefault("duration_s", run_s)
    return Arrival(at_s, workload(name, replicas, submitted_at_s=at_s, **more), run_s)


def batch(jobs: Iterable[Job]) -> list[Arrival]:
    """Jobs as workloads whose replicas, of one core each, start together in one cluster."""
    return [
        arrival(f"j{job.number:04}", job.submit_s, job.run_s, job.processors, duration_s=job.expected_s, gang=Gang())
        for job in sorted(jobs, key=lambda job: (job.submit_s, job.number))
    ]


def told(run: Run, name: str) -> Told:
    """What became of a workload."""
    return next(one for one in run.measures.workloads if one.name == name)


def journal(run: Run) -> list[tuple[object, ...]]:
    """What became of all of them, and the sums."""
    measures = run.measures
    lives = [(one.name, one.started_s, one.ended_s, one.failed) for one in measures.workloads]
    use = sorted((cluster, sorted(used.items())) for cluster, used in measures.use.items())
    return [*lives, use, round(sum(measures.cost.values()), 9), measures.moves, run.ended_s, run.running, run.waiting]
