"""A simulated cluster: nodes that bind as its scheduler would, replicas that run their time, nodes that boot."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import repeat

from federator.clusters.binder import Pool, seated
from federator.clusters.losses import Held, Losses
from federator.engine.whole_cores import taken
from federator.model.cluster import Cluster, Flavor
from federator.model.indexset import IndexSet
from federator.model.intent import PREEMPTED, Failure, ObservedIntent
from federator.model.resources import Resources
from federator.model.workload import Lifetime, Role, Workload
from federator.simulator.autoscaler import Autoscaler
from federator.simulator.fillers import Fillers
from federator.simulator.luck import Luck
from federator.simulator.measures import Measures
from federator.simulator.replicas import Batch, Job, Seats
from federator.simulator.runs_by_node import RunsByNode
from federator.simulator.standing import UsedRoom, as_seen
from federator.simulator.timeline import END, OTHER, Timeline
from federator.simulator.transfers import Transfers

NODE_LOST, PILOT_LOST = "NodeLost", "PilotLost"
"""Reasons of a Failure: its node broke; nothing was heard of it for so long that it is placed again."""


class Site:
    """One cluster. Calls come with the time; what is to happen later it notes in the timeline."""

    def __init__(
        self,
        cluster: Cluster,
        timeline: Timeline,
        measures: Measures,
        seed: int,
        noisy: dict[str, None],
        *,
        tells: bool,
        fillers: Fillers | None = None,
        transfers: Transfers | None = None,
    ) -> None:
        """``noisy`` are clusters that have news, ``tells``: whether it says of its nodes what runs on each."""
        self.luck = Luck(f"{seed}/crash/{cluster.name}")
        self._ghosts: list[tuple[Job, Batch]] = []
        """What still has its seat, and counts no more."""
        self.cluster = cluster
        self.pool = Pool(cluster.flavors or (), cluster.binding)
        as_seen(self.pool, cluster.flavors or ())
        self._used = UsedRoom(self.pool)
        self.jobs: dict[str, Job] = {}
        self.news: dict[str, None] = {}
        """Intents of which it has something new to say."""
        self._noisy = noisy
        self.changed = True
        """Whether its nodes are not as they were when it was last asked for its flavors."""
        self._timeline, self._measures = timeline, measures
        self._fillers = fillers or Fillers(())
        self._transfers = transfers or Transfers(None, measures)
        self._waiting: dict[str, None] = {}
        self._autoscaler = Autoscaler(cluster, self.pool, timeline, measures, self._node_came, self._node_left)
        self._slower = 1.0
        self._now_s = 0.0
        """The time of the last start, for what has not begun by then."""
        self._runs = RunsByNode() if tells else None
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
        takes = taken(role.requests, self.cluster)
        nodes = self._used.seat(takes, len(indices) - unbound, flavors, role.tolerations)
        nodes += self.pool.bind(takes, len(indices) - len(nodes), flavors, role.tolerations)
        bound = indices.first(len(nodes))
        job.unbound -= bound
        service = workload.lifetime is Lifetime.SERVICE
        batch = Batch(tuple(seated(bound, nodes)), bound, -age_s, None if service else max(0.0, run_s - age_s))
        if bound:
            job.batches.append(batch)
            self._note(job, batch.seats, -age_s)
            if batch.ends_s is not None:
                self._timeline.at(batch.ends_s, END, partial(self._end, intent_id, job, batch))
        if job.unbound:
            self._waiting[intent_id] = None
        self._say(intent_id)
        self.changed = True

    def remove(self, intent_id: str, indices: IndexSet | None, now_s: float, cause: str = "") -> None:
        """Stop an intent, or some of its replicas; what they have done is lost. ``cause``: why, of a filler."""
        job = self.jobs.get(intent_id)
        if job is None:
            return
        leaving = IndexSet.join(r for b in job.batches for r in b.indices.ranges) if indices is None else indices
        job.unbound -= leaving
        for batch in job.batches:
            self._evict(job, batch, batch.indices & leaving, cause, now_s)
            self._stop(job, batch, batch.indices & leaving, now_s, useful=False)
        job.batches = [batch for batch in job.batches if batch.indices]
        if indices is None:
            del self.jobs[intent_id]
            self._waiting.pop(intent_id, None)
        self._say(intent_id)
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
        there = IndexSet.join(r for batch in job.batches for r in batch.indices.ranges)
        coming = IndexSet.join(r for b in job.batches if b.starts_s > self._now_s for r in b.indices.ranges)
        pending, failed = job.unbound | coming, tuple(job.failed.values())
        return ObservedIntent(intent_id, pending, there - coming, job.succeeded, failed, len(there))

    def runs(self, intent_id: str) -> bool:
        """Whether any replica of an intent runs."""
        job = self.jobs.get(intent_id)
        return job is not None and any(batch.starts_s <= self._now_s for batch in job.batches)

    def flavors(self, now_s: float) -> tuple[Flavor, ...]:
        """Its nodes, with what is free on them (and what runs there, where it tells)."""
        if self._runs is not None:
            return self._runs.told(self.pool, now_s)
        if self.changed:
            self._shown, self.changed = self.pool.flavors(), False
        return self._shown

    def room(self) -> list[tuple[Resources, int]] | None:
        """What is free on its nodes, and on how many; None: more nodes may be added."""
        flavors = self.pool.flavors()
        if any(flavor.max_count > flavor.count for flavor in flavors):
            return None
        return [(group.free, group.count) for flavor in flavors for group in flavor.nodes]

    def stop_all(self, now_s: float) -> None:
        """The run is over: count what runs until now."""
        running = [(job, batch) for job in self.jobs.values() for batch in job.batches]
        for job, batch in running + self._ghosts:
            places = self._places(batch.seats)
            self._measures.used(self.cluster, job.workload, job.role, places, batch.starts_s, now_s)

    def _say(self, intent_id: str) -> None:
        self.news[intent_id] = self._noisy[self.cluster.name] = None

    # Nodes

    def _bind(self, intent_id: str, now_s: float) -> None:
        job = self.jobs[intent_id]
        self._now_s, below = now_s, job.workload.backfill
        takes, losses = taken(job.role.requests, self.cluster), Losses(partial(self._held_by_fillers, now_s))
        nodes = self.pool.bind(takes, len(job.unbound), job.flavors, job.role.tolerations, below=below, lost=losses)
        waits_s = 0.0 if below or not nodes else self._make_room(now_s)
        if nodes:
            waits_s = max(waits_s, self._transfers.waits_s(job.workload, self.cluster.name, now_s))
            bound = job.unbound.first(len(nodes))
            job.unbound -= bound
            seats = tuple(seated(bound, nodes))
            self._let_run(intent_id, job, seats, bound, now_s + waits_s)
            if waits_s:
                self._timeline.at(now_s + waits_s, OTHER, partial(self._begun, intent_id))
        self._say(intent_id)
        self.changed = True
        if job.unbound:
            self._waiting[intent_id] = None
            self._autoscaler.boot_for(job.role, len(job.unbound), job.flavors, now_s)
        else:
            self._waiting.pop(intent_id, None)

    def _let_run(self, intent_id: str, job: Job, seats: Seats, bound: IndexSet, now_s: float) -> None:
        """Start those on these seats, each with its luck."""
        bad = self.luck.crashes(job.workload, bound)
        cut_off = self.luck.loses_network(job.workload, bound - bad)
        for some, run_s in self._fillers.left_to_run(job.workload, bound - bad - cut_off, job.run_s):
            if some:
                self._start(intent_id, job, seats, some, now_s, run_s * self._slower)
        for index in cut_off:
            runs_s, void_s = self.luck.cut_off(job.run_s * self._slower)
            batch = self._start(intent_id, job, seats, IndexSet.of([index]), now_s, runs_s)
            if void_s is not None:
                batch.cut_off = True
                self._timeline.at(now_s + void_s, END, partial(self._void, intent_id, job, batch))
        for index in bad:
            runs_s = job.run_s * self._slower * self.luck.part()
            self._start(intent_id, job, seats, IndexSet.of([index]), now_s, runs_s).badly = True

    def _start(
        self, intent_id: str, job: Job, seats: Seats, indices: IndexSet, now_s: float, runs_s: float
    ) -> Batch:  # fmt: skip
        """Let some of those on these seats run for so long."""
        mine = tuple((node, some) for node, there in seats if (some := there & indices))
        ends_s = None if job.workload.lifetime is Lifetime.SERVICE else now_s + runs_s
        batch = Batch(mine, indices, now_s, ends_s)
        job.batches.append(batch)
        self._note(job, mine, now_s)
        if ends_s is not None:
            self._timeline.at(ends_s, END, partial(self._end, intent_id, job, batch))
        return batch

    def _void(self, intent_id: str, job: Job, batch: Batch, now_s: float) -> None:
        """Nothing was heard of it for too long: it counts no more, whatever becomes of it."""
        if self.jobs.get(intent_id) is not job or batch not in job.batches:
            return
        job.failed.update({index: Failure(index, PILOT_LOST, own_fault=False) for index in batch.indices})
        self._measures.leases_void += len(batch.indices)
        job.batches.remove(batch)
        self._ghosts.append((job, batch))
        self._say(intent_id)
        assert batch.ends_s is not None  # services are not cut off
        self._timeline.at(max(now_s, batch.ends_s), END, partial(self._leave, job, batch))

    def _leave(self, job: Job, batch: Batch, now_s: float) -> None:
        """A ghost has ended, or has heard that its lease is void."""
        if (job, batch) in self._ghosts:
            self._ghosts.remove((job, batch))
            self._stop(job, batch, batch.indices, now_s, useful=False)
            self._bind_waiting(now_s)

    def _begun(self, intent_id: str, now_s: float) -> None:
        """What waited for others to end runs now."""
        self._now_s = now_s
        if intent_id in self.jobs:
            self._say(intent_id)

    def _held_by_fillers(self, now_s: float) -> Iterator[Held]:
        for job in self.jobs.values():
            if job.workload.backfill:
                takes = taken(job.role.requests, self.cluster)
                for batch in job.batches:
                    lost_s = self._fillers.lost_s(job.workload, now_s - batch.starts_s)
                    for node, seated in batch.seats:
                        yield from repeat((node, lost_s, takes), len(seated))

    def _make_room(self, now_s: float) -> float:
        """Let backfill give way where others were bound in its place, what loses least first; how long that takes."""
        waits_s, overfull = 0.0, self.pool.overfull()
        if not overfull:
            return waits_s
        for node in overfull:
            here = [
                (self._fillers.lost_s(job.workload, now_s - batch.starts_s), intent_id, index, batch)
                for intent_id, job in self.jobs.items()
                if job.workload.backfill
                for batch in job.batches
                for index in batch.on(node.name)
            ]
            for _, intent_id, index, batch in sorted(here, key=lambda one: one[:3]):
                if not node.overfull:
                    break
                job = self.jobs[intent_id]
                self._evict(job, batch, IndexSet.of([index]), PREEMPTED, now_s)
                job.failed[index] = Failure(index, PREEMPTED, "others needed its room", own_fault=False)
                self._stop(job, batch, IndexSet.of([index]), now_s, useful=False)
                self._say(intent_id)
                waits_s = max(waits_s, self._fillers.grace_s(job.workload))
        for job in self.jobs.values():
            job.batches = [batch for batch in job.batches if batch.indices]
        return waits_s

    def _bind_waiting(self, now_s: float) -> None:
        for intent_id in list(self._waiting):
            self._bind(intent_id, now_s)

    def _node_came(self, now_s: float) -> None:
        self.changed = True
        self._bind_waiting(now_s)

    def _node_left(self) -> None:
        self.changed = True

    def lose_node(self, name: str, now_s: float) -> None:
        """A node breaks with all on it: what is batch fails, not by its own fault; a service is bound anew."""
        self._now_s = now_s
        self.pool.set_down(name, True)
        for job, batch in self._ghosts:
            here = batch.on(name)
            self._stop(job, batch, here, now_s, useful=False)
        for intent_id, job in self.jobs.items():
            for batch in job.batches:
                here = batch.on(name)
                if not here:
                    continue
                self._stop(job, batch, here, now_s, useful=False)
                self._say(intent_id)
                if job.workload.lifetime is Lifetime.SERVICE:
                    job.unbound |= here
                    self._waiting[intent_id] = None
                    continue
                self._evict(job, batch, here, NODE_LOST, now_s)
                job.failed.update({i: Failure(i, NODE_LOST, node=name, own_fault=False) for i in here})
            job.batches = [batch for batch in job.batches if batch.indices]
        self.changed = True
        self._bind_waiting(now_s)

    def mend_node(self, name: str, now_s: float) -> None:
        """A broken node is back, empty."""
        self.pool.set_down(name, False)
        self.changed = True
        self._bind_waiting(now_s)

    # Ends

    def _end(self, intent_id: str, job: Job, batch: Batch, now_s: float) -> None:
        """A batch has run its time, unless it was stopped, or takes longer or less long by now."""
        gone = self.jobs.get(intent_id) is not job or batch not in job.batches or batch.ends_s != now_s
        if gone or batch.cut_off:  # of that nobody hears
            return
        if batch.badly:
            job.failed.update({index: Failure(index, "Error", exit_code=1) for index in batch.indices})
        else:
            job.succeeded |= batch.indices
            if job.workload.backfill:
                self._fillers.finished(job.workload, batch.indices)
        self._stop(job, batch, batch.indices, now_s, useful=not batch.badly)
        job.batches.remove(batch)
        self._say(intent_id)
        self._bind_waiting(now_s)

    def _stop(self, job: Job, batch: Batch, indices: IndexSet, now_s: float, *, useful: bool) -> None:
        leaving = tuple((node, mine) for node, there in batch.seats if (mine := there & indices))
        takes = taken(job.role.requests, self.cluster)
        for node, mine in leaving:
            self.pool.release(node, takes, len(mine), below=job.workload.backfill)
            self._autoscaler.emptied(node, now_s)
        self._note(job, leaving, batch.starts_s, -1)
        lost_s = 0.0 if useful else self._fillers.lost_s(job.workload, now_s - batch.starts_s)
        self._measures.used(self.cluster, job.workload, job.role, self._places(leaving), batch.starts_s, now_s, lost_s)
        batch.seats = tuple((node, left) for node, there in batch.seats if (left := there - indices))
        batch.indices -= indices
        self.changed = True

    def _evict(self, job: Job, batch: Batch, indices: IndexSet, cause: str, now_s: float) -> None:
        """Note of a filler what its tasks have saved, and that they gave way."""
        if job.workload.backfill:
            for index in indices:
                self._fillers.keep(job.workload, index, now_s - batch.starts_s)
            self._measures.evict(self.cluster.name, job.workload.name, cause, len(indices), now_s)

    def _note(self, job: Job, seats: Seats, starts_s: float, sign: int = 1) -> None:
        """Remember on which nodes they run, where that is to be told."""
        if self._runs is not None and not job.workload.backfill:
            for node, mine in seats:
                self._runs.add(node, (job.workload.name, job.role.name, starts_s), sign * len(mine))

    def _places(self, seats: Seats) -> Iterator[tuple[Flavor, int]]:
        for node, mine in seats:
            yield self.pool.nodes[node].flavor, len(mine)
