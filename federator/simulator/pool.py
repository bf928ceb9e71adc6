"""Stories of rigid jobs on one pool of cores, told without the planner, some hundred times as fast.

A job here is all on the pool or not at all, and any free cores do, so that what the planner decides comes to a few
lines for each rule. Property tests tell such stories both ways. What is not such a story is left to the planner.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from operator import itemgetter
from typing import NamedTuple

from federator.engine.ends import milliseconds
from federator.engine.ground import Ground
from federator.engine.order import FIFO, FOUND, ORDERS
from federator.model.cluster import Cluster, Flavor
from federator.model.plan import Head, Snapshot
from federator.model.policy import OVERRUN_S, Planning
from federator.model.resources import CPU
from federator.model.selectors import ANYWHERE
from federator.model.whole_cores import takes_more
from federator.model.workload import Lifetime, Role, Workload
from federator.simulator.events import tell_events
from federator.simulator.looks import Looks
from federator.simulator.measures import AT_ONCE, Measures, Ran, Rate, Told
from federator.simulator.pool_looks import PoolLooks
from federator.simulator.story import Arrival, Story

OVERRUN_MS = milliseconds(OVERRUN_S)
MOST_KNOWN = 4096


class Kind(NamedTuple):
    """What is known of jobs that are alike."""

    like: Workload
    cores: int
    replicas: int
    rate: Rate


class Job(NamedTuple):
    """A job; by its first fields in the order of service. No two have one name."""

    urgency: int
    """0 less its priority."""
    place: float
    """What the order says."""
    submitted_s: float
    name: str
    cores: int
    """In millicores, as all amounts of cpu."""
    lasts_ms: int
    """What is expected."""
    arrival: Arrival
    told: Told
    rate: Rate


Line = tuple[int, float, Job]
"""When a job is expected to end, and when it started."""


def pool_of(federation: Snapshot) -> tuple[Cluster, Flavor] | None:
    """The one cluster, and its one flavor, of a federation that has nothing else that planning reads."""
    others = (
        federation.policies,
        federation.queues,
        federation.cohorts,
        federation.limits,
        federation.spent,
        federation.fillers,
    )
    order = federation.planning.order
    if any(others) or federation.usage or order in FOUND or order not in ORDERS or len(federation.clusters) != 1:
        return None
    if federation.planning.backfilling == "conservative":
        return None
    cluster = federation.clusters[0]
    plain = Cluster(
        cluster.name, cluster.labels, cluster.provider, binding=cluster.binding, flavors=cluster.flavors,
        abilities=cluster.abilities, price=cluster.price, carbon_g_per_kwh=cluster.carbon_g_per_kwh,
        power_w=cluster.power_w,
    )  # fmt: skip
    flavors = cluster.flavors or ()
    if cluster != plain or len(flavors) != 1 or flavors[0].taints or flavors[0].max_count > flavors[0].count:
        return None
    return cluster, flavors[0]


class NotAPool(Exception):
    """A workload asks for more than can be told here."""


class Pool:
    """One story. ``tell`` gives when it ended."""

    def __init__(self, story: Story, cluster: Cluster, flavor: Flavor, looks: Looks | None = None) -> None:
        """``looks``, if any, look at what waits now and then, and ask the planner why."""
        self.measures = Measures((cluster,))
        self.plan_s: list[float] = []
        self.skipped = 0
        self._looks = None if looks is None else PoolLooks(looks, story.federation, cluster, flavor, Ground())
        self._story, self._planning = story, story.federation.planning
        self._cluster, self._flavor = cluster, flavor
        self._place = None if self._planning.order == FIFO else ORDERS[self._planning.order]
        self._free = self._whole = flavor.allocatable[CPU] * flavor.count
        self._unit = 0
        """What every replica asks for, where there are several nodes."""
        self._queue: str | None = None
        self._waiting: list[Job] = []
        self._running: list[tuple[float, int, float, Line, Job]] = []
        """(end, number, start, its line in what is expected, job), a heap."""
        self._expected: list[Line] = []
        """Sorted; where backfilling asks for them."""
        self._foresees = self._planning.backfilling != "none"
        self._known: dict[int, Kind] = {}
        """By the identity of ``like``."""
        self._ran: list[Ran] = []
        """What is not in the measures yet."""
        self._one_line = self._planning.backfilling == "once" or (
            self._planning.backfilling == "none" and self._planning.blocked_head != "pass"
        )
        self._least = 0
        """No job that waits takes fewer cores than so many, as far as is known."""
        self._number = 0
        self._head: Job | None = None
        self._reserved_ms = 0
        self._serve = _rule(self._planning)

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def tell(self) -> float:
        """Let happen what happens; returns the moment at which it ended. Raises NotAPool."""
        ended_s = tell_events(self._story, self._running, self._arrive, self._end, self._serve_and_look)
        for _, _, start_s, _, job in self._running:
            self._ran.append((job.rate, job.told.queue, start_s, ended_s))
        self.measures.ran(self._cluster, self._ran)
        return ended_s

    def _serve_and_look(self, now_s: float) -> None:
        if self._waiting and self._free >= self._least:
            self._serve(self, now_s, milliseconds(now_s))
        if self._looks is not None:
            self._looks.look(now_s, self._runs(), [job.arrival.workload for job in self._waiting], self._heads())

    def _runs(self) -> Iterator[tuple[Workload, float]]:
        """What runs, and since when."""
        return ((job.arrival.workload, start_s) for _, _, start_s, _, job in self._running)

    def _heads(self) -> tuple[Head, ...]:
        """Who stays the first, with its reservation where one is made."""
        if self._head is None:
            return ()
        name, replicas = self._head.name, self._head.told.replicas
        if self._planning.backfilling != "once":
            return (Head(name),)
        return (Head(name, self._reserved_ms / 1000, ((self._cluster.name, replicas),)),)

    def _arrive(self, one: Arrival, now_s: float) -> None:
        submitted_s, like, run_s, name, expected_s = one
        if not name:
            name, submitted_s, expected_s = like.name, like.submitted_at_s, like.duration_s
        kind = self._known.get(id(like))
        if kind is None or kind.like is not like:
            kind = self._kind(like)
        told = Told(name, like.queue, kind.replicas, now_s, run_s)
        self.measures.workloads.append(told)
        if expected_s is None:
            expected_s = self._planning.unknown_duration_s
        place = 0.0 if self._place is None else self._place(one.workload, self._planning)
        lasts_ms = milliseconds(expected_s)
        job = Job(-like.priority, place, submitted_s, name, kind.cores, lasts_ms, one, told, kind.rate)
        self._least = min(self._least, kind.cores)
        if not self._waiting or self._waiting[-1] < job:
            self._waiting.append(job)
        else:
            insort(self._waiting, job)

    def _kind(self, like: Workload) -> Kind:
        """What is known of all jobs that are like this. Raises NotAPool."""
        role, gang = like.roles[0], like.gang
        if self._queue is None:
            self._queue, self._unit = like.queue, role.requests[CPU]
        cores = self._cores(like.roles)
        if (
            not 0 < cores <= self._whole
            or not (role.replicas == 1 or (gang is not None and gang.scope == "cluster"))
            or like.lifetime is not Lifetime.BATCH or like.needs or like.parallelism is not None
            or (self._one_line and like.queue != self._queue) or like.clusters != ANYWHERE
        ):  # fmt: skip
            raise NotAPool(like.name)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        rate = self.measures.rate(self._cluster, self._flavor, role.requests, role.replicas)
        kind = self._known[id(like)] = Kind(like, cores, role.replicas, rate)
        return kind

    def _cores(self, roles: tuple[Role, ...]) -> int:
        """What jobs of these roles take; 0: they are not for a pool."""
        role = roles[0]
        alike = self._flavor.count == 1 or (
            role.requests[CPU] == self._unit > 0 and self._flavor.allocatable[CPU] % self._unit == 0
        )
        if len(roles) != 1 or len(role.requests) != 1 or role.limits or role.flavors != ANYWHERE or not alike:
            return 0
        if self._cluster.whole_cores and takes_more(role.requests):
            return 0
        return role.requests[CPU] * role.replicas

    def start(self, job: Job, now_s: float, now_ms: int) -> None:
        """Start a job that fits; whoever asks takes it off the line."""
        self._number += 1
        self._free -= job.cores
        job.told.started_s = now_s
        line = now_ms + job.lasts_ms, now_s, job
        heappush(self._running, (now_s + job.arrival.run_s, self._number, now_s, line, job))
        if self._foresees:
            insort(self._expected, line)

    def _end(self, now_s: float) -> None:
        _, _, start_s, line, job = heappop(self._running)
        self._free += job.cores
        job.told.ended_s = now_s
        if self._foresees:
            del self._expected[bisect_right(self._expected, line) - 1]
        self._ran.append((job.rate, job.told.queue, start_s, now_s))
        if len(self._ran) >= AT_ONCE:
            self.measures.ran(self._cluster, self._ran)
            self._ran = []

    # Rules

    def serve_all(self, now_s: float, now_ms: int) -> None:
        """Whoever fits starts."""
        left = []
        for job in self._waiting:
            if job.cores <= self._free:
                self.start(job, now_s, now_ms)
            else:
                left.append(job)
        self._waiting = left
        self._least = min((job.cores for job in left), default=0)

    def serve_in_line(self, now_s: float, now_ms: int) -> None:
        """Nobody passes the first that does not fit."""
        waiting, started = self._waiting, 0
        while started < len(waiting) and waiting[started].cores <= self._free:
            self.start(waiting[started], now_s, now_ms)
            started += 1
        del waiting[:started]

    def serve_behind_head(self, now_s: float, now_ms: int) -> None:
        """Nobody passes the first that does not fit, and it stays the first."""
        while self._waiting:
            job = self._head or self._waiting[0]
            if job.cores > self._free:
                self._head = job
                return
            self._head = None
            self._waiting.remove(job)
            self.start(job, now_s, now_ms)

    def serve_once(self, now_s: float, now_ms: int) -> None:
        """The same, but what is expected to end before the head's reservation, made once, passes as it came."""
        known = self._head
        self.serve_behind_head(now_s, now_ms)
        head = self._head
        if head is None:
            return
        if head is not known:
            self._reserved_ms = self._earliest(head.cores, now_ms)[0]
        passing = [
            job
            for job in self._waiting
            if job.cores <= self._free and now_ms + job.lasts_ms < self._reserved_ms and job is not head
        ]
        for job in sorted(passing, key=lambda job: (job.urgency, job.submitted_s, job.name)):
            if job.cores <= self._free:
                self._waiting.remove(job)
                self.start(job, now_s, now_ms)

    def serve_easy(self, now_s: float, now_ms: int) -> None:
        """Whoever fits passes the first that does not, unless that delays the start that it can expect now."""
        self.serve_in_line(now_s, now_ms)
        waiting = self._waiting
        fitting = [job for job in waiting if job.cores <= self._free] if self._free else []
        if not fitting:  # the first is not among them
            self._least = min((job.cores for job in waiting), default=0)
            return
        at_ms, spare = self._earliest(waiting[0].cores, now_ms)
        started = set()
        for job in fitting:
            long = now_ms + job.lasts_ms > at_ms
            if job.cores <= self._free and not (long and job.cores > spare):
                spare -= job.cores if long else 0
                self.start(job, now_s, now_ms)
                started.add(job.name)
        if started:
            self._waiting = [job for job in waiting if job.name not in started]

    def _earliest(self, cores: int, now_ms: int) -> tuple[int, int]:
        """When so many cores are expected to be free, and how many then are beyond them, with what ends counted job by
        job until there are enough."""
        coming = self._expected
        begun = bisect_right(coming, now_ms, key=itemgetter(0))
        if begun:  # these should have ended
            coming = sorted([(now_ms + OVERRUN_MS, *line[1:]) for line in coming[:begun]] + coming[begun:])
        free, at_ms = self._free, now_ms
        for ends_ms, _, job in coming:
            free, at_ms = free + job.cores, ends_ms
            if free >= cores:
                break
        return at_ms, free - cores


def _rule(planning: Planning) -> Callable[[Pool, float, int], None]:
    if planning.backfilling in ("easy", "once"):
        return Pool.serve_easy if planning.backfilling == "easy" else Pool.serve_once
    return {"pass": Pool.serve_all, "wait": Pool.serve_in_line, "stay": Pool.serve_behind_head}[planning.blocked_head]
