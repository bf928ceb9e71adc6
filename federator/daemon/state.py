"""What the daemon believes, in memory: one writer, the event loop. The store has the same, and is written first.

Nothing changes ``State`` but ``adopt``, which takes over a draft after the store has accepted it, and the few methods
that note what the outside said (observations, answers), which is never stored.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from federator.daemon.draft import Draft
from federator.daemon.starts import Starts
from federator.daemon.strays import Strays
from federator.daemon.tally import Tally
from federator.documents import WorkloadSpec
from federator.engine.least_free import LeastFree
from federator.engine.use_history import SLOT_S, UseHistory
from federator.model.backfill import Filler
from federator.model.budget import Spending, Spent
from federator.model.cluster import Cluster, Health, Unschedulable
from federator.model.indexset import IndexSet
from federator.model.intent import GRACE_S, WHOLE, Intent, IntentState, Observation, ObservedIntent
from federator.model.limits import Limit
from federator.model.plan import Plan, Refusal, Snapshot
from federator.model.policy import Cohort, Planning, Policy, Queue
from federator.model.records import StoredObject, WorkloadRecord, WorkloadState
from federator.model.resources import Resources
from federator.model.workload import Lifetime
from federator.ports import ClusterProvider

NOT_YET = "has not answered yet"
"""What is said of a cluster of which nothing is known, not even that it does not answer."""


@dataclass(slots=True, eq=False)
class Live:
    """One workload that is not over, or still has something at a cluster."""

    record: WorkloadRecord
    spec: WorkloadSpec
    intents: set[str] = field(default_factory=set)
    resting: dict[tuple[str, int], float] = field(default_factory=dict)
    """(role, index) of replicas that failed, and until when they rest before they are run again."""
    failed_in_a_row: int = 0
    """Of a filler: how many tasks have failed since one did not."""
    rests_until_s: float = 0.0
    """Of a filler: until when it starts no task, because so many have failed."""
    waiting_for: str = ""
    """The reasons last written to its history, to write only what is new."""

    @property
    def whole(self) -> bool:
        """Whether all roles go to a cluster as one manifest."""
        return self.spec.manifest is not None and len(self.spec.workload.roles) > 1

    def roles(self) -> Iterator[tuple[str, int]]:
        """(role, replicas) of everything that gets intents of its own."""
        if self.whole:
            yield WHOLE, self.spec.workload.replicas
        else:
            yield from ((role.name, role.replicas) for role in self.spec.workload.roles)

    def unfinished(self, role: str, replicas: int) -> IndexSet:
        """The indices of a role that are not counted complete."""
        return IndexSet.span(0, replicas) - self.record.finished.get(role, IndexSet())

    @property
    def service(self) -> bool:
        """Whether its replicas are kept running."""
        return self.spec.workload.lifetime is Lifetime.SERVICE


Displaced = tuple[tuple[str, str, float, int, int], ...]
"""Who displaced whom: (workload, victim, since when, place, gains), see ``Displacement``."""

Look = tuple[Intent, ObservedIntent | None, WorkloadRecord]
"""All that settling an intent reads: the intent, what its cluster says of it, and its workload's record."""


@dataclass(slots=True, eq=False)
class Member:
    """One cluster: what the documents say of it, who speaks to it, and what it said last."""

    cluster: Cluster
    provider: ClusterProvider
    source: str
    namespace_per_queue: bool = False
    health: Health = Health.UNKNOWN
    message: str = NOT_YET
    away_since_s: float = 0.0
    observation: Observation | None = None
    began: int = 0
    """The tick at which the last observation began: it shows everything that was answered before."""
    settled_tick: int = -1
    """``began`` of the observation that was reconciled last."""
    looks: dict[str, Look] = field(default_factory=dict)
    """By intent, what was reconciled last and gave nothing: while all of it stays as it is there is nothing in it."""
    unschedulable: dict[str, Unschedulable] = field(default_factory=dict)
    least: dict[float, LeastFree] = field(default_factory=dict)
    """What was free of it lately, by how long the memory is."""
    history: UseHistory = field(init=False)
    """How others used it; kept while there are fillers."""
    intents: set[str] = field(default_factory=set)
    """What is meant to be there: the state's own set, see ``State.at``."""
    retired: bool = False
    """No document speaks of it any more; it is drained, and let go when it is empty."""

    def __post_init__(self) -> None:
        self.history = UseHistory(self.ahead_s)

    @property
    def ahead_s(self) -> float:
        """By how much the slots of its history begin earlier than those of others; the same in every daemon."""
        return float(crc32(self.cluster.name.encode()) % SLOT_S)

    def observed(self, intent_id: str) -> ObservedIntent | None:
        """What the cluster says of one intent; None if it says nothing."""
        return self.observation.intents.get(intent_id) if self.observation else None


class State:
    """Everything the daemon knows. Reading is free; see the module's words about writing."""

    def __init__(self) -> None:
        self.workloads: dict[str, Live] = {}
        self.intents: dict[str, Intent] = {}
        self.at: dict[str, set[str]] = defaultdict(set)
        """Ids of the intents at each cluster, whether or not it is a member."""
        self.ended: set[str] = set()
        """Ids of the intents that have ended and are kept for their logs."""
        self.leaving: set[str] = set()
        """Names of the workloads that were cancelled, or are to be deleted, and have something at a cluster."""
        self.stale: dict[str, None] = {}
        """Names of the workloads that are no longer as ``snapshots`` looked at them last, in the order of changing."""
        self.members: dict[str, Member] = {}
        self.policies: tuple[Policy, ...] = ()
        self.shadows: dict[str, int] = {}
        """By policy that governs nothing yet, how many replicas it would treat differently."""
        self.queues: tuple[Queue, ...] = ()
        self.cohorts: tuple[Cohort, ...] = ()
        self.limits: tuple[Limit, ...] = ()
        self.spent: tuple[Spent, ...] = ()
        """What queues have spent of their budgets, as their documents say."""
        self.fillers: tuple[Filler, ...] = ()
        self.planning = Planning()
        self.objects: dict[tuple[str, str], StoredObject] = {}
        self.file_objects: dict[tuple[str, str], tuple[Mapping[str, Any], str]] = {}
        """(kind, name) of what files own: the document, and "file:line"."""
        self.file_problem = ""
        self.store_problem = ""
        self.cycle_problem = ""
        """Why the last cycle did not come to its end, where neither store nor clusters are to blame."""
        self.cordoned: set[str] = set()
        self.draining: set[str] = set()
        self.drain_by_s: dict[str, float] = {}
        """Of those that are drained, by when what runs there has to be gone, where there is a deadline."""
        self.clocks: dict[tuple[str, str, str], float] = {}
        self.exclusions: dict[tuple[str, str], str] = {}
        self.displaced: Displaced = ()
        self.lately: dict[str, Resources] = {}
        """What each queue had lately, in billionths (``QueueUsage``), as of ``lately_s``."""
        self.lately_s: float | None = None
        self.strays: dict[str, Strays] = {}
        """Checkpoints that are to be removed, by what their names begin with."""
        self.spending: dict[str, Spending] = {}
        """What each queue with a budget has spent, as it was counted here, as of ``spending_s``."""
        self.spending_s: float | None = None
        """None: nothing was counted yet."""
        self.answered: dict[str, int] = {}
        """Ticks at which a cluster answered the last call about an intent."""
        self.starts = Starts()
        """How long production takes to start."""
        self.tallies: defaultdict[tuple[str, str], Tally] = defaultdict(Tally)
        """What each filler has used and lost on each cluster, by (name of its document, cluster)."""
        self.snapshot = Snapshot()
        self.plan = Plan()
        self.refused: Mapping[str, Sequence[Refusal]] = {}
        """The refusals of the plan, by workload."""
        self.plan_id = ""
        self.cycles = 0
        self.last_event = 0
        self.writing = asyncio.Lock()
        """Held from reading the state for a change until the change is adopted."""
        self._wake = asyncio.Event()
        self._ticks = 0
        self._events = asyncio.Event()

    @property
    def cohort_parents(self) -> dict[str, str]:
        """The parents of all cohorts, by name."""
        named = {queue.cohort: "" for queue in self.queues if queue.cohort}
        return named | {cohort.name: cohort.parent for cohort in self.cohorts}

    def grace_s(self, workload: str) -> float:
        """How long a replica of a workload has to end when it is asked to."""
        filler = self.filler(workload)
        return GRACE_S if filler is None else filler.grace_s

    def filled(self) -> set[str]:
        """The clusters on which fillers run now."""
        live = [self.workloads[one.name] for one in self.fillers if one.name in self.workloads]
        at = ((intent_id, self.intents[intent_id].cluster) for one in live for intent_id in one.intents)
        there = ((i, self.members[name]) for i, name in at if name in self.members)
        return {m.cluster.name for i, m in there if (seen := m.observed(i)) is not None and seen.running}

    def filler(self, workload: str) -> Filler | None:
        """The filler that a workload was made from; None: it is none."""
        return next((filler for filler in self.fillers if filler.name == workload), None)

    def tick(self) -> int:
        """A number that grows with every call: orders what was asked and what was answered."""
        self._ticks += 1
        return self._ticks

    def wake(self) -> None:
        """Something changed: a cycle should run soon."""
        self._wake.set()

    async def woken(self) -> None:
        """Return when ``wake`` was called since the last return (at once, if it already was)."""
        await self._wake.wait()
        self._wake.clear()

    def tell_events(self) -> None:
        """There are new history entries: those who wait in ``next_event`` go on."""
        events, self._events = self._events, asyncio.Event()
        events.set()

    async def next_event(self) -> None:
        """Return when history entries were written after this call."""
        await self._events.wait()

    def intents_of(self, live: Live) -> Iterable[Intent]:
        """The intents of a workload, in the order of their making."""
        return sorted((self.intents[i] for i in live.intents), key=lambda intent: (intent.created_s, intent.id))

    def adopt(self, draft: Draft) -> None:
        """Take over what the store has accepted."""
        for name, record in draft.records.items():
            self._adopt_record(name, record, draft)
        for intent_id, intent in draft.intents.items():
            self._adopt_intent(intent_id, intent)
        self.strays.update(draft.strays)
        for name in draft.touched:
            self.stale[name] = None
            live = self.workloads.get(name)
            if live is not None and _finished_with(live):
                del self.workloads[name]
                self.leaving.discard(name)
        if draft.stored_history:
            self.last_event = max(entry.id for entry in draft.stored_history)
            self.tell_events()

    def _adopt_record(self, name: str, record: WorkloadRecord | None, draft: Draft) -> None:
        if record is None:
            self.workloads.pop(name, None)
            self.leaving.discard(name)
            for key in [key for key in self.exclusions if key[0] == name]:
                del self.exclusions[key]
            return
        self.put_record(record, draft.specs.get(name))

    def _adopt_intent(self, intent_id: str, intent: Intent | None) -> None:
        old = self.intents.get(intent_id)
        if intent is None:
            if old is not None:
                self._forget(old)
            return
        if old is None or _asks_anew(old, intent):
            # What the cluster answered before says nothing of what is asked now.
            self.answered.pop(intent_id, None)
        self.put_intent(intent)

    def put_record(self, record: WorkloadRecord, spec: WorkloadSpec | None = None) -> None:
        """Have this record (and its spec, where it is new or another) of a workload; the store has it already."""
        live = self.workloads.get(record.name)
        if live is None:
            assert spec is not None
            self.workloads[record.name] = Live(record, spec)
        else:
            live.record, live.spec = record, spec or live.spec
        self.stale[record.name] = None
        if record.deleted or record.state is WorkloadState.CANCELLING:
            self.leaving.add(record.name)
        else:
            self.leaving.discard(record.name)

    def put_intent(self, intent: Intent) -> None:
        """Have this intent; the store has it already."""
        self.intents[intent.id] = intent
        self.at[intent.cluster].add(intent.id)
        self.stale[intent.workload] = None
        if intent.state is IntentState.ENDED:
            self.ended.add(intent.id)
        else:
            self.ended.discard(intent.id)
        if live := self.workloads.get(intent.workload):
            live.intents.add(intent.id)

    def _forget(self, intent: Intent) -> None:
        del self.intents[intent.id]
        self.starts.forget(intent.id)
        self.answered.pop(intent.id, None)
        self.at[intent.cluster].discard(intent.id)
        self.stale[intent.workload] = None
        self.ended.discard(intent.id)
        if live := self.workloads.get(intent.workload):
            live.intents.discard(intent.id)


def _asks_anew(old: Intent, new: Intent) -> bool:
    """Whether the cluster has to be told something else than before."""
    resent = new.state is IntentState.RECORDED and (new.indices, new.generation) != (old.indices, old.generation)
    leaves = new.state is IntentState.LEAVING and old.state is not IntentState.LEAVING
    return resent or leaves or bool(new.withdrawn - old.withdrawn)


def _finished_with(live: Live) -> bool:
    return live.record.state.over and not live.intents
