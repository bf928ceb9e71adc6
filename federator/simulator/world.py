"""The federation of a run: what has arrived, what should run where, what its clusters say; shown as a snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from federator.engine.decay import lately
from federator.engine.downtimes import as_announced
from federator.engine.feasibility import allowed_flavors
from federator.engine.least_free import LeastFree
from federator.engine.lifecycle import WorkloadEvent, next_workload_state
from federator.engine.use_history import UseHistory
from federator.model.backfill import Filled, Filler, idle_times
from federator.model.cluster import Cluster, Downtime, Flavor, Health
from federator.model.indexset import IndexSet
from federator.model.intent import Intent
from federator.model.plan import Displacement, Head, Holding, Snapshot, TierClock
from federator.model.policy import MoveBudget, Queue, QueueUsage
from federator.model.records import WorkloadState
from federator.model.resources import Resources
from federator.model.workload import Lifetime, Role, Workload
from federator.simulator.fillers import Fillers
from federator.simulator.measures import Measures, Told
from federator.simulator.site import Site
from federator.simulator.spending import Spendings
from federator.simulator.story import Standing, Story
from federator.simulator.timeline import OTHER, Timeline
from federator.simulator.transfers import Transfers

NONE = IndexSet()


@dataclass(slots=True, eq=False)
class Live:
    """A workload that has arrived and is not over. ``part`` is what planning reads of it, until it changes."""

    workload: Workload
    run_s: float
    told: Told
    uid: str
    state: WorkloadState = WorkloadState.WAITING
    intents: dict[str, Intent] = field(default_factory=dict)
    finished: dict[str, IndexSet] = field(default_factory=dict)
    failures: dict[tuple[str, int], int] = field(default_factory=dict)
    resting: dict[tuple[str, int], float] = field(default_factory=dict)
    waves: int = 0
    part: Part | None = None

    @property
    def service(self) -> bool:
        """Whether it is kept running."""
        return self.workload.lifetime is Lifetime.SERVICE

    def wanted(self, role: str, replicas: int, now_s: float) -> IndexSet:
        """The indices of a role that may run now: neither finished nor resting after a failure."""
        wanted = IndexSet.span(0, replicas) - self.finished.get(role, NONE)
        if not self.resting:
            return wanted
        resting = [index for (name, index), until_s in self.resting.items() if name == role and until_s > now_s]
        return wanted - IndexSet.of(resting)


@dataclass(frozen=True, slots=True)
class Part:
    """The workload with the replicas that are to run now (None: there are none), and what clusters hold of it."""

    workload: Workload | None
    held: tuple[Held, ...]
    waiting: bool
    """Whether any replica that may run is nowhere."""


@dataclass(frozen=True, slots=True)
class Held:
    """A holding without what changes by time alone; ``waves`` are (when, how many)."""

    role: str
    cluster: str
    replicas: int
    unbound: int
    leaving: int
    waves: tuple[tuple[float, int], ...]
    moves: tuple[tuple[float, str, int], ...]


@dataclass(slots=True, eq=False)
class Member:
    """A cluster, and what is known of it: while it is silent, what it said last."""

    site: Site
    health: Health = Health.UP
    away_since_s: float = 0.0
    intents: dict[str, Live] = field(default_factory=dict)
    flavors: tuple[Flavor, ...] = ()
    lag_s: float = 0.0
    """It tells only every so often what is free."""
    told_s: float = 0.0
    """When it told that last."""
    least: tuple[LeastFree, ...] = ()
    history: UseHistory | None = None
    """Kept for fillers only."""
    downtimes: tuple[Downtime, ...] = ()

    def shown(self, now_s: float) -> Cluster:
        """The cluster as the planner sees it."""
        if self.health is Health.UP and now_s - self.told_s >= self.lag_s:
            self.flavors, self.told_s = self.site.flavors(now_s), now_s
        away_s = 0.0 if self.health is Health.UP else now_s - self.away_since_s
        shown = replace(
            self.site.cluster, health=self.health, away_s=away_s, flavors=self.flavors, downtimes=self.downtimes
        )  # fmt: skip
        shown = as_announced(shown, now_s)
        if self.history is None or shown.flavors is None:
            return shown
        free = shown.free
        idle = {one.for_s: one.see(now_s, free) for one in self.least}
        return replace(shown, idle=idle, rises=self.history.see(now_s, free))


class World:
    """All of it. ``now_s`` is set by whoever moves time."""

    def __init__(self, story: Story, timeline: Timeline) -> None:
        federation = story.federation
        self.story, self.timeline = story, timeline
        self.noisy: dict[str, None] = {}
        """Clusters that have something new to say."""
        self.heard: dict[str, None] = {}
        """Those that had, until somebody reads it."""
        self.measures = Measures(federation.clusters)
        self._bags = Fillers(federation.fillers)
        self._transfers = Transfers(story.bandwidths, self.measures)
        self.members = {cluster.name: self._member(cluster) for cluster in federation.clusters}
        self.lives: dict[str, Live] = {}
        self.waiting: dict[str, Live] = {}
        """Workloads with replicas that may run and are nowhere, as of the last look."""
        self.begun_to_wait: list[Live] | None = None
        """Those that have come to wait lately, until somebody reads it; None: nobody does."""
        self._stale: dict[str, Live] = {}
        self._resting: dict[str, Live] = {}
        self.heads: tuple[Head, ...] = ()
        self.clocks: dict[tuple[str, str, str], float] = {}
        self.displaced: tuple[tuple[float, Displacement], ...] = ()
        """Since when who has displaced whom."""
        self.filled: Mapping[str, Filled] = {}
        """What the last plan said of each filler."""
        self.fair = federation.planning.order == "fair"
        self._lately = {one.queue: one.lately for one in federation.usage}
        self._half_lives = {queue.name: queue.half_life_s for queue in federation.queues}
        self._folded_s = 0.0
        self.spendings = Spendings(federation)
        self._idle_s = 0.0
        self._periods = {p.name: (p.stay.move_budget or MoveBudget()).period_s for p in federation.policies}

    def _member(self, cluster: Cluster) -> Member:
        """A cluster that does not answer when the story begins never does."""
        tells = self.story.federation.planning.backfilling != "none"
        site = Site(
            cluster, self.timeline, self.measures, self.story.seed, self.noisy,
            tells=tells, fillers=self._bags, transfers=self._transfers,
        )  # fmt: skip
        least = tuple(LeastFree(for_s) for for_s in idle_times(self.story.federation.fillers))
        history = UseHistory() if self.story.federation.fillers else None
        flavors = cluster.flavors or ()
        downtimes = tuple(one.downtime for one in self.story.faults if one.cluster == cluster.name and one.downtime)
        return Member(
            site, cluster.health, -cluster.away_s,
            flavors=flavors, least=least, history=history, downtimes=downtimes,
        )  # fmt: skip

    def arrive(self, workload: Workload, run_s: float, now_s: float) -> None:
        """Take a workload in."""
        told = Told(workload.name, workload.queue, workload.replicas, now_s, run_s)
        if not workload.backfill:  # it has no claim, so it does not wait
            self.measures.workloads.append(told)
        live = Live(workload, run_s, told, f"{len(self.lives):x}-{len(self.measures.workloads):x}")
        self.lives[workload.name] = live
        self.changed(live)

    def changed(self, live: Live) -> None:
        """What planning reads of a workload is not what it was."""
        live.part = None
        self._stale[live.workload.name] = live

    def leave(self, live: Live) -> None:
        """Nothing of it is left anywhere, and it is over."""
        for where in (self.lives, self.waiting, self._stale, self._resting):
            where.pop(live.workload.name, None)

    def fill(self, now_s: float) -> None:
        """Take in the fillers, which are there from the beginning."""
        for filler in self.story.federation.fillers:
            duration_s = filler.workload.duration_s
            unknown_s = self.story.federation.planning.unknown_duration_s
            self.arrive(filler.workload, unknown_s if duration_s is None else duration_s, now_s)

    def why_less(self, filler: str, cluster: str) -> str:
        """Why the last plan wanted no more of a filler on a cluster."""
        verdict = self.filled[filler].why.get(cluster) if filler in self.filled else None
        return "Withdrawn" if verdict is None else str(verdict.reason)

    @property
    def production(self) -> Iterator[Live]:
        """Workloads that are not backfill."""
        return (live for live in self.lives.values() if not live.workload.backfill)

    def stand(self, one: Standing) -> None:
        """Take in a workload that runs from the beginning."""
        self.arrive(one.workload, one.run_s, 0.0)
        live = self.lives[one.workload.name]
        live.told.stood, live.told.started_s = True, 0.0
        roles = {role.name: role for role in one.workload.roles}
        for intent, age_s, unbound in one.intents(live.uid):
            role, member = roles[intent.role], self.members[intent.cluster]
            live.intents[intent.id], member.intents[intent.id] = intent, live
            live.waves += 1
            flavors = restricted(one.workload, role, member.site.cluster)
            member.site.stand(intent.id, one.workload, role, intent.indices, one.run_s, flavors, age_s, unbound)

    def step(self, live: Live, event: WorkloadEvent, now_s: float) -> None:
        """Move a workload to the state after an event; what is over leaves."""
        live.state = next_workload_state(live.workload.name, live.state, event)
        if live.state is WorkloadState.RUNNING and live.told.started_s is None:
            live.told.started_s = now_s
        if live.state.over:
            live.told.ended_s, live.told.failed = now_s, live.state is WorkloadState.FAILED

    def look(self, now_s: float) -> None:
        """Look anew at what changed, and at what time changes."""
        stale, self._stale = {**self._resting, **self._stale} if self._resting else self._stale, {}
        for name, live in stale.items():
            live.part = self._part(live, now_s)
            if live.resting:
                self._resting[name] = live
            if not live.part.waiting:
                self.waiting.pop(name, None)
            elif name not in self.waiting:
                self.waiting[name] = live
                if self.begun_to_wait is not None:
                    self.begun_to_wait.append(live)

    def snapshot(self, now_s: float) -> Snapshot:
        """The federation as a value."""
        self.look(now_s)
        clusters = tuple(member.shown(now_s) for member in self.members.values())
        self._look_again_when_idle(now_s)
        parts = [(live.workload.name, live.part) for live in self.lives.values() if live.part is not None]
        return replace(
            self.story.federation,
            at_s=now_s,
            clusters=clusters,
            workloads=tuple(p.workload for _, p in parts if p.workload is not None and not p.workload.backfill),
            fillers=tuple(self._fillers()),
            holdings=tuple(self._holding(name, held, now_s) for name, part in parts for held in part.held),
            clocks=tuple(TierClock(*key, since_s) for key, since_s in sorted(self.clocks.items())),
            heads=self.heads,
            displacements=tuple(replace(one, age_s=now_s - since_s) for since_s, one in self.displaced),
            usage=self._usage(now_s) if self.fair else (),
            spent=self.spendings.spent(now_s),
        )

    def _look_again_when_idle(self, now_s: float) -> None:
        """Time alone makes room for fillers that wait until it has been idle long enough, or more is known."""
        times = [least.rises_s for m in self.members.values() for least in m.least]
        times += [m.history.next_s for m in self.members.values() if m.history is not None]
        next_s = min(times, default=inf)
        if now_s < next_s < inf and next_s != self._idle_s:
            self._idle_s = next_s
            self.timeline.at(next_s, OTHER, lambda at_s: None)

    def _fillers(self) -> Iterator[Filler]:
        """The fillers with what is left of their bags."""
        for filler in self.story.federation.fillers:
            live = self.lives.get(filler.name)
            if live is not None and live.part is not None and live.part.workload is not None:
                yield replace(filler, workload=live.part.workload)

    def _part(self, live: Live, now_s: float) -> Part:
        held = tuple(self._held(live))
        running = sum(one.replicas for one in held)
        if live.service:
            return Part(live.workload, held, running < live.workload.replicas)
        wanted = [len(live.wanted(role.name, role.replicas, now_s)) for role in live.workload.roles]
        if live.workload.parallelism is not None:
            wanted = [min(count, live.workload.parallelism) for count in wanted]
        total = sum(wanted)
        if total == 0 or live.state.over:
            return Part(None, held, False)
        least = 1 if live.told.started_s is not None else min(live.workload.min_replicas, total)
        roles = zip(live.workload.roles, wanted, strict=True)
        kept = tuple(
            role if role.replicas == count else replace(role, replicas=count) for role, count in roles if count
        )
        if kept == live.workload.roles and least == live.workload.min_replicas:
            return Part(live.workload, held, running < total)
        return Part(replace(live.workload, roles=kept, min_replicas=least), held, running < total)

    def _held(self, live: Live) -> Iterator[Held]:
        grouped: dict[tuple[str, str], list[Intent]] = {}
        for intent in live.intents.values():
            grouped.setdefault((intent.role, intent.cluster), []).append(intent)
        for (role, cluster), intents in sorted(grouped.items()):
            jobs = self.members[cluster].site.jobs
            unbound = [len(jobs[i.id].unbound & i.live) if i.id in jobs else len(i.live) for i in intents]
            yield Held(
                role, cluster, sum(len(i.live) for i in intents), sum(unbound),
                sum(len(i.indices - i.settled - i.live) for i in intents if i.id in jobs),
                tuple(sorted((i.created_s, len(i.live)) for i in intents if i.live)),
                tuple(sorted((i.created_s, i.policy, len(i.live)) for i in intents if i.moved)),
            )  # fmt: skip

    def _holding(self, workload: str, held: Held, now_s: float) -> Holding:
        youngest_s = max((since_s for since_s, _ in held.waves), default=now_s)
        moved = sum(n for since_s, policy, n in held.moves if now_s - since_s < self._periods.get(policy, 0.0))
        waves = tuple((now_s - since_s, n) for since_s, n in held.waves) if len(held.waves) > 1 else ()
        return Holding(
            workload, held.role, held.cluster, held.replicas, held.unbound,
            age_s=now_s - youngest_s, moved=moved, leaving=held.leaving, waves=waves,
        )  # fmt: skip

    def _usage(self, now_s: float) -> tuple[QueueUsage, ...]:
        return tuple(QueueUsage(queue, had) for queue, had in sorted(self._lately.items()) if had)

    def fold(self, now_s: float) -> None:
        """Add what queues have used since the last time to what they had lately, and what that costs to what they have
        spent. To be called before that changes."""
        since_s, self._folded_s = self._folded_s, now_s
        elapsed_s = now_s - since_s
        if self.spendings.needed and elapsed_s > 0:
            self.spendings.count(self.snapshot(now_s), since_s)
        if not self.fair or elapsed_s <= 0:
            return
        use: dict[str, Resources] = {}
        for live in self.production:
            for intent in live.intents.values():
                role = next(role for role in live.workload.roles if role.name == intent.role)
                queue = live.workload.queue
                use[queue] = use.get(queue, Resources()) + role.requests * len(intent.live)
        for queue in sorted({*use, *self._lately}):
            half_life_s = self._half_lives.get(queue, Queue(queue).half_life_s)
            had = self._lately.get(queue, Resources())
            self._lately[queue] = lately(had, use.get(queue, Resources()), elapsed_s, half_life_s)


def restricted(workload: Workload, role: Role, cluster: Cluster) -> tuple[str, ...]:
    """The only flavors that may be used, as far as the workload restricts them itself; empty: any."""
    if not (role.flavors.selector.requirements or role.flavors.where):
        return ()
    return tuple(sorted(allowed_flavors(workload, role, cluster)))
