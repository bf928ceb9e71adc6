"""A simulated cluster: nodes that bind as its scheduler would, replicas that run their time, nodes that boot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from random import Random

from federator.clusters.binder import Pool
from federator.model.cluster import Cluster, Flavor, NodeGroup, Running
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, ObservedIntent
from federator.model.resources import Resources
from federator.model.workload import Lifetime, Role, Workload
from federator.simulator.measures import Measures
from federator.simulator.standing import UsedRoom, as_seen
from federator.simulator.timeline import END, OTHER, Timeline

NONE = IndexSet()
Seats = tuple[tuple[str, IndexSet], ...]


@dataclass(slots=True, eq=False)
class Batch:
    """Replicas of one intent that started together, and end together, ``badly`` or not; ``ends_s`` None: a service."""

    seats: Seats
    indices: IndexSet
    starts_s: float
    ends_s: float | None
    badly: bool = False


@dataclass(slots=True, eq=False)
class Job:
    """What the cluster has of one intent. ``seen``: what it says of it, until that changes."""

    workload: Workload
    role: Role
    run_s: float
    flavors: tuple[str, ...]
    unbound: IndexSet
    batches: list[Batch] = field(default_factory=list)
    succeeded: IndexSet = NONE
    failed: dict[int, Failure] = field(default_factory=dict)


class Site:
    """One cluster. Calls come with the time; what is to happen later it notes in the timeline."""

    def __init__(self, cluster: Cluster, timeline: Timeline, measures: Measures, seed: int, *, tells: bool) -> None:
        """``tells``: whether it says of its nodes what runs on each."""
        self.crashing = 0.0
        """The part of what starts that fails."""
        self._random = Random(f"{seed}/crash/{cluster.name}")
        self.cluster = cluster
        self.pool = Pool(cluster.flavors or (), cluster.binding)
        as_seen(self.pool, cluster.flavors or ())
        self._used = UsedRoom(self.pool)
        self.jobs: dict[str, Job] = {}
        self.news: dict[str, None] = {}
        """Intents of which it has something new to say."""
        self.changed = True
        """Whether its nodes are not as they were when it was last asked for its flavors."""
        self._timeline, self._measures, self._tells = timeline, measures, tells
        self._waiting: dict[str, None] = {}
        self._coming = Counter[str]()
        self._slower = 1.0
        self._runs: dict[str, Counter[tuple[str, str, float]]] = {}
        self._shown: tuple[Flavor, ...] = ()

    def submit(
        self, intent_id: str, workload: Workload, role: Role, indices: IndexSet, run_s: float,
        flavors: tuple[str, ...], now_s: float,
    ) -> None:  # fmt: skip
        """Take an intent's replicas."""
        self.jobs[intent_id] = Job(workload, role, run_s, flavors, indices)
        self._bind(intent_id, now_s)

    def stand(
        self, intent_id: str, workload: Workload, role: Role, indices: IndexSet, run_s: float,
        flavors: tuple[str, ...], age_s: float, unbound: int,
    ) -> None:  # fmt: skip
        """Have replicas from the beginning, for so long already; ``unbound`` of them do not show in what is free."""
        job = self.jobs[intent_id] = Job(workload, role, run_s, flavors, indices)
        nodes = self._used.seat(role.requests, len(indices) - unbound, flavors, role.tolerations)
        nodes += self.pool.bind(role.requests, len(indices) - len(nodes), flavors, role.tolerations)
        bound = indices.first(len(nodes))
        job.unbound -= bound
        service = workload.lifetime is Lifetime.SERVICE
        batch = Batch(tuple(_seated(bound, nodes)), bound, -age_s, None if service else max(0.0, run_s - age_s))
        if bound:
            job.batches.append(batch)
            self._note(job, batch.seats, -age_s, 1)
            if batch.ends_s is not None:
                self._timeline.at(batch.ends_s, END, partial(self._end, intent_id, job, batch))
        if job.unbound:
            self._waiting[intent_id] = None
        self.news[intent_id] = None
        self.changed = True

    def remove(self, intent_id: str, indices: IndexSet | None, now_s: float) -> None:
        """Stop an intent, or some of its replicas; what they have done is lost."""
        job = self.jobs.get(intent_id)
        if job is None:
            return
        leaving = IndexSet.join(r for b in job.batches for r in b.indices.ranges) if indices is None else indices
        job.unbound -= leaving
        for batch in job.batches:
            self._stop(job, batch, batch.indices & leaving, now_s, useful=False)
        job.batches = [batch for batch in job.batches if batch.indices]
        if indices is None:
            del self.jobs[intent_id]
            self._waiting.pop(intent_id, None)
        self.news[intent_id] = None
        self._bind_waiting(now_s)

    def slow_down(self, factor: float, now_s: float) -> None:
        """From now on everything takes so many times as long as it should; what runs, for what is left of it."""
        change, self._slower = factor / self._slower, factor
        for intent_id, job in self.jobs.items():
            for batch in job.batches:
                if batch.ends_s is not None:
                    batch.ends_s = now_s + (batch.ends_s - now_s) * change
                    self._timeline.at(batch.ends_s, END, partial(self._end, intent_id, job, batch))

    def observed(self, intent_id: str) -> ObservedIntent | None:
        """What it says of an intent; None: it has nothing of it."""
        job = self.jobs.get(intent_id)
        if job is None:
            return None
        running = IndexSet.join(r for batch in job.batches for r in batch.indices.ranges)
        return ObservedIntent(intent_id, job.unbound, running, job.succeeded, tuple(job.failed.values()), len(running))

    def flavors(self, now_s: float) -> tuple[Flavor, ...]:
        """Its nodes, with what is free on them (and what runs there, where it tells)."""
        if self.changed or self._tells:
            self._shown = (
                tuple(self._told(f, now_s) for f in self.pool.flavors()) if self._tells else self.pool.flavors()
            )
            self.changed = False
        return self._shown

    def room(self) -> list[tuple[Resources, int]] | None:
        """What is free on its nodes, and on how many; None: more nodes may be added."""
        flavors = self.pool.flavors()
        if any(flavor.max_count > flavor.count for flavor in flavors):
            return None
        return [(group.free, group.count) for flavor in flavors for group in flavor.nodes]

    def stop_all(self, now_s: float) -> None:
        """The run is over: count what runs until now."""
        for job in self.jobs.values():
            for batch in job.batches:
                self._measures.used(
                    self.cluster, job.workload, job.role, self._places(batch.seats), batch.starts_s, now_s
                )

    # Nodes

    def _bind(self, intent_id: str, now_s: float) -> None:
        job = self.jobs[intent_id]
        nodes = self.pool.bind(job.role.requests, len(job.unbound), job.flavors, job.role.tolerations)
        if nodes:
            bound = job.unbound.first(len(nodes))
            job.unbound -= bound
            seats = tuple(_seated(bound, nodes))
            may_fail = self.crashing > 0 and job.workload.lifetime is Lifetime.BATCH
            bad = IndexSet.of(index for index in bound if may_fail and self._random.random() < self.crashing)
            self._start(intent_id, job, seats, bound - bad, now_s)
            for index in bad:
                self._start(intent_id, job, seats, IndexSet.of([index]), now_s, self._random.random())
        self.news[intent_id] = None
        self.changed = True
        if job.unbound:
            self._waiting[intent_id] = None
            self._boot_for(job, now_s)
        else:
            self._waiting.pop(intent_id, None)

    def _start(
        self, intent_id: str, job: Job, seats: Seats, indices: IndexSet, now_s: float, part: float | None = None
    ) -> None:
        """Let some of those on these seats run: to their end, or for a part of that, and fail."""
        mine = tuple((node, some) for node, seated in seats if (some := seated & indices))
        if not mine:
            return
        runs_s = job.run_s * self._slower * (1.0 if part is None else part)
        ends_s = None if job.workload.lifetime is Lifetime.SERVICE else now_s + runs_s
        batch = Batch(mine, indices, now_s, ends_s, part is not None)
        job.batches.append(batch)
        self._note(job, mine, now_s, 1)
        if ends_s is not None:
            self._timeline.at(ends_s, END, partial(self._end, intent_id, job, batch))

    def _bind_waiting(self, now_s: float) -> None:
        for intent_id in list(self._waiting):
            self._bind(intent_id, now_s)

    def _boot_for(self, job: Job, now_s: float) -> None:
        """See that nodes come for replicas that have none."""
        for flavor in self.pool.open_flavors(job.flavors, job.role.tolerations):
            fits = job.role.requests.count_in(flavor.allocatable) or 0
            wanted = min(-(-len(job.unbound) // fits) if fits else 0, flavor.max_count - flavor.count)
            for _ in range(wanted - self._coming[flavor.name]):
                self._coming[flavor.name] += 1
                self._timeline.at(now_s + flavor.boot_time_s, OTHER, partial(self._booted, flavor.name))
            if wanted > 0:
                return

    def _booted(self, flavor: str, now_s: float) -> None:
        self._coming[flavor] -= 1
        if self.pool.grow(flavor):
            self.changed = True
            self._measures.grown(self.cluster, flavor, now_s)
            self._bind_waiting(now_s)

    # Ends

    def _end(self, intent_id: str, job: Job, batch: Batch, now_s: float) -> None:
        """A batch has run its time, unless it was stopped, or takes longer or less long by now."""
        if self.jobs.get(intent_id) is not job or batch not in job.batches or batch.ends_s != now_s:
            return
        if batch.badly:
            job.failed.update({index: Failure(index, "Error", exit_code=1) for index in batch.indices})
        else:
            job.succeeded |= batch.indices
        self._stop(job, batch, batch.indices, now_s, useful=not batch.badly)
        job.batches.remove(batch)
        self.news[intent_id] = None
        self._bind_waiting(now_s)

    def _stop(self, job: Job, batch: Batch, indices: IndexSet, now_s: float, *, useful: bool) -> None:
        leaving = tuple((node, mine) for node, seated in batch.seats if (mine := seated & indices))
        for node, mine in leaving:
            self.pool.release(node, job.role.requests, len(mine))
        self._note(job, leaving, batch.starts_s, -1)
        self._measures.used(self.cluster, job.workload, job.role, self._places(leaving), batch.starts_s, now_s, useful)
        batch.seats = tuple((node, left) for node, seated in batch.seats if (left := seated - indices))
        batch.indices -= indices
        self.changed = True

    def _places(self, seats: Seats) -> Iterator[tuple[Flavor, int]]:
        for node, mine in seats:
            yield self.pool.nodes[node].flavor, len(mine)

    # What runs on each node

    def _note(self, job: Job, seats: Seats, starts_s: float, sign: int) -> None:
        if self._tells:
            key = job.workload.name, job.role.name, starts_s
            for node, mine in seats:
                runs = self._runs.setdefault(node, Counter())
                runs[key] += sign * len(mine)
                if not runs[key]:
                    del runs[key]

    def _told(self, flavor: Flavor, now_s: float) -> Flavor:
        groups = Counter[tuple[Resources, tuple[tuple[tuple[str, str, float], int], ...]]]()
        for name, node in self.pool.nodes.items():
            if node.flavor.name == flavor.name:
                groups[Resources.of(node.free), tuple(sorted(self._runs.get(name, {}).items()))] += 1
        nodes = tuple(
            NodeGroup(free, count, tuple(Running(w, r, n, now_s - since_s) for (w, r, since_s), n in runs))
            for (free, runs), count in groups.items()
        )
        return replace(flavor, nodes=nodes)


def _seated(indices: IndexSet, nodes: list[str]) -> Iterator[tuple[str, IndexSet]]:
    """Whose seats are on which node; ``nodes`` has one for each index, alike ones together."""
    for node, seats in groupby(nodes):
        mine = indices.first(sum(1 for _ in seats))
        indices -= mine
        yield node, mine
