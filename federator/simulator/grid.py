"""Stories of single jobs on many clusters, told without intents and without what clusters say of them.

Where only room decides and nothing goes wrong, a job of one replica waits, starts where the planner's turn says, and
ends: all that lies between comes to nothing. Property tests tell such stories both ways. What is not such a story is
left to the whole simulator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heappop, heappush
from time import perf_counter

from federator.clusters.binder import Pool
from federator.model.plan import Placement
from federator.model.workload import Lifetime, Workload
from federator.simulator.events import tell_events
from federator.simulator.lines import Lines
from federator.simulator.measures import Measures, Told
from federator.simulator.standing import as_seen
from federator.simulator.story import Arrival, Story
from federator.simulator.world import restricted


class NotSingle(Exception):
    """A workload asks for more than can be told here."""


@dataclass(slots=True, eq=False)
class Job:
    """A job that has come and has not ended."""

    workload: Workload
    run_s: float
    told: Told


class Grid:
    """One story in which only room decides (``starters.only_room_decides``). ``tell`` gives when it ended."""

    def __init__(self, story: Story) -> None:
        federation = story.federation
        self.measures = Measures(federation.clusters)
        self.plan_s: list[float] = []
        """The seconds that turns took, by the times at which there were any."""
        self.skipped = 0
        """How often nobody could start."""
        self.waiting = 0
        self._story = story
        self._clusters = {cluster.name: cluster for cluster in federation.clusters}
        self._pools = {name: Pool(one.flavors or (), one.binding) for name, one in self._clusters.items()}
        for name, pool in self._pools.items():
            as_seen(pool, self._clusters[name].flavors or ())
        self._lines: Lines[Job] = Lines(federation, self._pools)
        self._heard: dict[str, None] = {}
        """Clusters on whose nodes something has changed since turns were taken last."""
        self._number = 0
        self._running: list[tuple[float, int, float, Job, str, str]] = []
        """(end, number, start, job, cluster, node), a heap."""

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self._running)

    def tell(self) -> float:
        """Let happen what happens; returns the moment at which it ended. Raises NotSingle."""
        ended_s = tell_events(self._story, self._running, self._arrive, self._end, self._serve)
        self._stop_all(ended_s)
        return ended_s

    def _arrive(self, one: Arrival, now_s: float) -> None:
        workload = one.workload
        told = Told(workload.name, workload.queue, workload.replicas, now_s, one.run_s)
        self.measures.workloads.append(told)
        if workload.replicas != 1 or workload.lifetime is not Lifetime.BATCH or workload.backfill:
            raise NotSingle(workload.name)
        if not self._lines.know((workload,)):
            self._lay_out()
        self._stand(Job(workload, one.run_s, told))
        self.waiting += 1

    def _lay_out(self) -> None:
        """Lay the tables out anew, and have those that wait stand in line again."""
        waiting = self._lines.standing()
        self._lines.lay_out(replace(one, flavors=self._pools[name].flavors()) for name, one in self._clusters.items())
        self._heard.clear()
        for job in waiting:
            self._stand(job)

    def _stand(self, job: Job) -> None:
        if not self._lines.stand(job):
            raise NotSingle(job.workload.name)

    def _serve(self, now_s: float) -> None:
        """Start all that may start, until nobody else may."""
        if not self.waiting:
            return
        while True:
            begun, asked = perf_counter(), self._lines.turns
            heard, self._heard = self._heard, {}
            starts = self._lines.serve(heard)
            if self._lines.turns > asked:
                self.plan_s.append(perf_counter() - begun)
            if not starts:
                self.skipped += 1
                return
            for job, (placed,) in starts:
                self._start(job, placed, now_s)

    def _start(self, job: Job, placed: Placement, now_s: float) -> None:
        workload, name = job.workload, placed.cluster
        (role,) = workload.roles
        flavors = restricted(workload, role, self._clusters[name])
        nodes = self._pools[name].bind(role.requests, 1, flavors, role.tolerations)
        if not nodes:
            raise NotSingle(workload.name)  # it waits at its cluster
        self._heard[name] = None
        self._number += 1
        self.waiting -= 1
        job.told.started_s = now_s
        heappush(self._running, (now_s + job.run_s, self._number, now_s, job, name, nodes[0]))

    def _end(self, now_s: float) -> None:
        _, _, start_s, job, name, node = heappop(self._running)
        self._pools[name].release(node, job.workload.roles[0].requests)
        self._heard[name] = None
        job.told.ended_s = now_s
        self._used(job, name, node, start_s, now_s)

    def _stop_all(self, ended_s: float) -> None:
        """The run is over: count what runs until now, cluster by cluster."""
        order = {name: at for at, name in enumerate(self._clusters)}
        for _, _, start_s, job, name, node in sorted(self._running, key=lambda one: (order[one[4]], one[1])):
            self._used(job, name, node, start_s, ended_s)

    def _used(self, job: Job, name: str, node: str, start_s: float, ends_s: float) -> None:
        role = job.workload.roles[0]
        places = ((self._pools[name].nodes[node].flavor, 1),)
        self.measures.used(self._clusters[name], job.workload, role, places, start_s, ends_s)
