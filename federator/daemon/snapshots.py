"""Step 3 of the cycle: the snapshot that the planner reads, out of the state.

Looking at tens of thousands of workloads takes longer than the event loop may be held, and few change from one cycle to
the next. So what planning reads of each is kept, and looked at anew only when it changed; a ``Picture`` of all that is
kept is taken in one go, and becomes a ``Snapshot`` in the planner's thread. A test equates it with one made afresh.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from math import inf
from operator import attrgetter
from typing import TypeVar

from federator.daemon.parts import NOTHING, Held, Part, as_holding, part_of
from federator.daemon.spending import known
from federator.daemon.state import Displaced, Member, State
from federator.engine.downtimes import as_announced
from federator.engine.least_free import LeastFree
from federator.model.backfill import Filler, idle_times
from federator.model.budget import Spent
from federator.model.cluster import Cluster, Health
from federator.model.intent import Observation, ObservedIntent
from federator.model.limits import Limit
from federator.model.plan import Displacement, Exclusion, Holding, Snapshot, TierClock
from federator.model.policy import Cohort, MoveBudget, Planning, Policy, Queue, QueueUsage
from federator.model.resources import Resources
from federator.model.workload import Workload
from federator.turns import Turns

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything a snapshot is made of, taken at one instant; it takes no look at the state any more."""

    at_s: float
    clusters: tuple[Cluster, ...]
    workloads: tuple[Workload, ...]
    held: tuple[tuple[Held, ...], ...]
    policies: tuple[Policy, ...]
    queues: tuple[Queue, ...]
    cohorts: tuple[Cohort, ...]
    limits: tuple[Limit, ...]
    spent: tuple[Spent, ...]
    planning: Planning
    clocks: tuple[tuple[tuple[str, str, str], float], ...]
    exclusions: tuple[tuple[tuple[str, str], str], ...]
    displaced: Displaced
    lately: tuple[tuple[str, Resources], ...]
    fillers: tuple[Filler, ...] = ()

    def snapshot(self) -> Snapshot:
        """The federation as a value at that instant. Pure: any thread may do it."""
        return Snapshot(
            at_s=self.at_s,
            clusters=self.clusters,
            workloads=tuple(sorted((one for one in self.workloads if not one.backfill), key=attrgetter("name"))),
            holdings=tuple(self._holdings()),
            policies=self.policies,
            queues=self.queues,
            cohorts=self.cohorts,
            limits=self.limits,
            spent=self.spent,
            planning=self.planning,
            clocks=tuple(TierClock(*key, since_s) for key, since_s in sorted(self.clocks)),
            exclusions=tuple(Exclusion(*key, detail) for key, detail in sorted(self.exclusions)),
            displacements=tuple(
                Displacement(workload, victim, max(0.0, self.at_s - since_s), place, gains)
                for workload, victim, since_s, place, gains in self.displaced
            ),
            usage=tuple(QueueUsage(queue, had) for queue, had in sorted(self.lately)),
            fillers=tuple(self._fillers()),
        )

    def _fillers(self) -> Iterator[Filler]:
        """The fillers with what is left of their bags."""
        left = {one.name: one for one in self.workloads if one.backfill}
        for filler in sorted(self.fillers, key=attrgetter("name")):
            if filler.name in left:
                yield replace(filler, workload=left[filler.name])

    def _holdings(self) -> Iterator[Holding]:
        # Replicas that were moved lately do not move again, whether or not the policy also has a budget of moves.
        periods = {p.name: (p.stay.move_budget or MoveBudget()).period_s for p in self.policies}
        for held in chain.from_iterable(self.held):
            yield as_holding(held, self.at_s, periods)


class Snapshots:
    """What planning and measuring read of every workload, kept up to date."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._parts: dict[str, Part] = {}
        self._workloads: dict[str, Workload] = {}
        self._held: dict[str, tuple[Held, ...]] = {}
        self._seen: dict[str, Observation | None] = {}
        """The observation of each member that was looked at last."""
        self._resting: dict[str, bool] = {}
        """Workloads of which replicas rest after a failure: they change when time passes."""
        self.states: Counter[tuple[str, str]] = Counter()
        """How many workloads there are, by (queue, state)."""
        self.used: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """What the live replicas of each queue ask for together, by resource."""

    async def take(self, at_s: float) -> Picture:
        """The state as it is when this returns, with ages and rests as of ``at_s``."""
        await self.refresh(at_s)
        state = self._state
        return Picture(
            at_s=at_s,
            clusters=tuple(with_idle(state, member, at_s) for _, member in sorted(state.members.items())),
            workloads=tuple(self._workloads.values()),
            held=tuple(self._held.values()),
            policies=tuple(policy for policy in state.policies if not policy.shadow),
            queues=state.queues,
            cohorts=state.cohorts,
            limits=state.limits,
            spent=known(state, at_s),
            planning=state.planning,
            clocks=tuple(state.clocks.items()),
            exclusions=tuple(state.exclusions.items()),
            displaced=state.displaced,
            lately=tuple(state.lately.items()),
            fillers=state.fillers,
        )

    async def refresh(self, at_s: float) -> None:
        """Look anew at what changed. Nothing is stale when this returns.

        Others may change the state while it rests: each workload is looked at in one go, what changes afterwards is
        stale again, and it goes on until nothing is.
        """
        state, turns = self._state, Turns()
        state.stale |= dict.fromkeys(self._resting)
        for member in list(state.members.values()):
            self._look_at(member)
            if turns.due:
                await turns.rest()
        while self._anything_stale():
            for name in list(state.stale):
                state.stale.pop(name, None)
                self._put(name, part_of(state, name, at_s))
                if turns.due:
                    await turns.rest()

    def _anything_stale(self) -> bool:
        """Find out whose replicas were bound to nodes since the last look, and which clusters came or went."""
        for name in [name for name in self._seen if name not in self._state.members]:
            del self._seen[name]
            self._spoil(self._state.at[name])
        for member in self._state.members.values():
            self._look_at(member)
        return bool(self._state.stale)

    def _look_at(self, member: Member) -> None:
        name, seen = member.cluster.name, member.observation
        if name not in self._seen:
            self._spoil(self._state.at[name])
        before, self._seen[name] = self._seen.get(name), seen
        if before is not seen:
            old, new = before.intents if before else {}, seen.intents if seen else {}
            self._spoil(i for i, now in new.items() if old.get(i) is not now and _bound(old.get(i)) != now.bound)
            self._spoil(old.keys() - new.keys())

    def _spoil(self, intents: Iterable[str]) -> None:
        known = self._state.intents
        self._state.stale.update((known[i].workload, None) for i in intents if i in known)

    def _put(self, name: str, part: Part | None) -> None:
        now, old = part or NOTHING, self._parts.pop(name, NOTHING)
        if part is not None:
            self._parts[name] = part
        _keep(self._workloads, name, now.workload)
        _keep(self._held, name, now.held or None)
        _keep(self._resting, name, now.resting or None)
        if (old.queue, old.state, old.uses) == (now.queue, now.state, now.uses):
            return
        for each, sign in ((old, -1), (now, 1)):
            if each is not NOTHING:
                self.states[each.queue, each.state] += sign
                for resource, amount in each.uses:
                    self.used[each.queue][resource] += sign * amount
        if not self.states[old.queue, old.state]:
            del self.states[old.queue, old.state]


def _bound(seen: ObservedIntent | None) -> int | None:
    return seen.bound if seen else None


def _keep(kept: dict[str, V], name: str, value: V | None) -> None:
    if value is None:
        kept.pop(name, None)
    else:
        kept[name] = value


def with_idle(state: State, member: Member, at_s: float) -> Cluster:
    """A member as planning sees it, with what fillers need to know of how others used it."""
    cluster, times = as_cluster(state, member, at_s), idle_times(state.fillers)
    if not state.fillers or cluster.flavors is None or cluster.health is not Health.UP:
        return cluster
    for for_s in member.least.keys() - times:
        del member.least[for_s]
    free = cluster.free
    for for_s in times:
        if for_s not in member.least:
            member.least[for_s] = least = LeastFree(for_s)
            for until_s, was_free in member.history.kept_since(at_s - for_s):
                least.see(min(until_s, at_s), was_free)
    idle = {for_s: member.least[for_s].see(at_s, free) for for_s in times}
    return replace(cluster, idle=idle, rises=member.history.see(at_s, free))


def as_cluster(state: State, member: Member, at_s: float) -> Cluster:
    """The member as the planner sees it: its document, and what it says of itself now."""
    seen = member.observation
    cluster = replace(
        member.cluster,
        health=member.health,
        health_message=member.message,
        away_s=0.0 if member.health is Health.UP else max(0.0, at_s - member.away_since_s),
        cordoned=member.cluster.cordoned or member.cluster.name in state.cordoned,
        draining=member.retired or member.cluster.name in state.draining,
        vacated=member.cluster.name in state.draining and at_s >= state.drain_by_s.get(member.cluster.name, inf),
        flavors=seen.flavors if seen and seen.flavors is not None else member.cluster.flavors,
        limits=seen.limits if seen else None,
        foreign=seen.foreign if seen else member.cluster.foreign,
        abilities=seen.abilities if seen else member.cluster.abilities,
        unschedulable=tuple(member.unschedulable[key] for key in sorted(member.unschedulable)),
    )
    return as_announced(cluster, at_s)
