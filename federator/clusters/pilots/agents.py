"""One pilot as the line knows it, and pilots as flavors of a cluster."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from federator.clusters.pilots.care import Doubt
from federator.clusters.pilots.line_order import Standing
from federator.model.checkpoints import RENEW_S, signed
from federator.model.cluster import Flavor, NodeGroup
from federator.model.pilots import Lease, Mail, Pilot, PilotState, Replica
from federator.model.resources import CPU, MEMORY, Resources, in_base_units
from federator.turns import Turns

LOOK_EVERY = 100
"""After so many pilots it is looked whether others on the event loop should have a turn."""
CONTAINER_RUNTIMES = frozenset({"apptainer", "podman"})


class Below(NamedTuple):
    """A lease of backfill: what it uses, since when, and how often it saves what it has (None: never)."""

    requests: Resources
    since_s: float
    every_s: float | None

    def lost_s(self, now_s: float) -> float:
        """What of its work is lost if it ends now."""
        ran_s = max(0.0, now_s - self.since_s)
        return ran_s % self.every_s if self.every_s else ran_s


class Agent:
    """A registered pilot: what is free on it, which leases it holds and until when, and what it is to be told."""

    def __init__(self, pilot: Pilot, now_s: float) -> None:
        self.pilot = pilot
        self.flavor = flavor_name(pilot)
        self.free = dict(pilot.resources.items_)
        """Changed by ``occupy`` alone."""
        self._room: Resources | None = None
        """What is free for all but backfill, until that changes: thousands of pilots are looked at every second."""
        self.leases: dict[str, Replica] = {}
        self.backfill: dict[str, Below] = {}
        """Leases of backfill: what they use counts as free for everything else."""
        self.expires: dict[str, float] = {}
        self.oldest_s = float("inf")
        """No lease expires before; brought up to date by ``renew`` and ``sweep``."""
        self.signed_s: dict[str, float] = {}
        """Leases that were given signed addresses, and when they were last."""
        self.recording: set[str] = set()
        """Leases that are not in the store yet, and so not to be told."""
        self.stops: dict[str, float] = {}
        """Leases whose payload should end, and within how many seconds."""
        self.logs: set[str] = set()
        """Leases whose output somebody wants to see."""
        self.news = False
        """Whether there is a stop or a wish for output that no answer to ``lease`` has told."""
        self.lost = False
        self.doubt: Doubt | None = None
        """Why it is suspect; None: it is not."""
        self.seen_s = now_s
        self.busy_s = self.idle_s = 0.0
        """Core seconds that leases held and that nobody did, since it registered or the daemon began."""
        self.poll = 0
        """Which call of ``lease`` is its latest: those before it were given up."""
        self.waiter: asyncio.Future[None] | None = None

    def describe(self, pilot: Pilot) -> None:
        """Take a new description in place of the old one; what it holds stays held."""
        used = self.pilot.resources - Resources.of(self.free)
        self.pilot, self.flavor = pilot, flavor_name(pilot)
        self.free = dict((pilot.resources - used).items_)
        self._room = None

    def occupy(self, requests: Resources, times: int = 1) -> None:
        """So much is not free any more (or, with -1 times, is free again)."""
        for name, amount in requests.items_:
            self.free[name] = self.free.get(name, 0) - times * amount
        self._room = None

    @property
    def state(self) -> PilotState:
        """How it is."""
        if self.lost:
            return PilotState.LOST
        if self.pilot.draining:
            return PilotState.DRAINING
        return PilotState.ACTIVE if self.doubt is None else PilotState.SUSPECT

    def left_s(self, now_s: float) -> float:
        """How long it has to live."""
        return float("inf") if self.pilot.ends_s is None else self.pilot.ends_s - now_s

    def open(self, now_s: float, margin_s: float) -> bool:
        """Whether it takes work; a suspect one does while a probe is due."""
        if self.lost or self.pilot.draining or self.left_s(now_s) < margin_s:
            return False
        return self.doubt is None or self.doubt.takes(now_s)

    def trusted(self, now_s: float, margin_s: float) -> bool:
        """Whether it takes as much work as it has room for."""
        return self.doubt is None and self.open(now_s, margin_s)

    def suits(self, order: Standing, now_s: float, margin_s: float) -> bool:
        """Whether it may run such replicas, however full it is now."""
        runtimes = self.pilot.runtimes
        can = "process" in runtimes if order.runtime == "process" else bool(runtimes & CONTAINER_RUNTIMES)
        return (
            can
            and (not order.flavors or self.flavor in order.flavors)
            and self.left_s(now_s) >= max(margin_s, order.time_limit_s or 0.0)
        )

    def fits(self, requests: Resources) -> int:
        """How many more such replicas it can hold now."""
        return min((self.free.get(name, 0) // amount for name, amount in requests.items_), default=1 << 30)

    def could_hold(self, requests: Resources) -> bool:
        """Whether one more such replica fits, now or as soon as backfill has yielded."""
        return requests.fits_in(self.room()) if self.backfill else self.fits(requests) > 0

    def room(self) -> Resources:
        """What is free on it for all but backfill."""
        if self._room is None:
            free = dict(self.free)
            for below in self.backfill.values():
                for name, amount in below.requests.items_:
                    free[name] = free.get(name, 0) + amount
            self._room = Resources.of(free).floor()
        return self._room

    def take(self, lease: Lease, order: Standing, until_s: float) -> None:
        """Give it a lease."""
        if self.doubt is not None:
            self.doubt.probe, self.doubt.since_s = lease.id, lease.granted_s
        self.occupy(order.requests)
        self.leases[lease.id] = (lease.intent, lease.index)
        self.expires[lease.id] = until_s
        self.oldest_s = min(self.oldest_s, until_s)
        if order.attempt is not None and signed(order.attempt.kept.url):
            self.signed_s[lease.id] = float("-inf")
        if order.backfill:
            self.backfill[lease.id] = Below(order.requests, lease.granted_s, order.checkpoint_every_s)

    def release(self, lease: str, requests: Resources) -> None:
        """Take a lease from it."""
        if self.leases.pop(lease, None) is None:
            return
        self.occupy(requests, -1)
        if self.doubt is not None and self.doubt.probe == lease:  # it ended and told nothing: another one is tried
            self.doubt.probe, self.doubt.told = "", False
        self.backfill.pop(lease, None)
        self.signed_s.pop(lease, None)
        self.expires.pop(lease, None)
        self.stops.pop(lease, None)
        self.logs.discard(lease)
        self.recording.discard(lease)

    def renew(self, held: Iterable[str], now_s: float, until_s: float) -> None:
        """A sign of life that names leases."""
        self.seen_s, self.lost = now_s, False
        for lease in held:
            if lease in self.expires:
                self.expires[lease] = until_s
        self.oldest_s = min(self.expires.values(), default=float("inf"))

    def to_sign(self, held: Iterable[str], now_s: float) -> list[str]:
        """Leases that it holds whose addresses will not be good for long; they are given new ones now."""
        if not self.signed_s:
            return []
        due = [lease for lease in held if now_s - self.signed_s.get(lease, now_s) >= RENEW_S]
        self.signed_s.update(dict.fromkeys(due, now_s))
        return due

    def mail(self, held: Iterable[str]) -> Mail:
        """What it should know besides grants."""
        return Mail(
            void=tuple(lease for lease in held if lease not in self.leases),
            logs=tuple(sorted(self.logs)),
        )

    def count(self, seconds: float) -> tuple[float, float]:
        """So much time has passed: the core seconds of it that leases held, and the others."""
        idle = max(0, self.free.get(CPU, 0)) * seconds / 1000
        busy = max(0.0, self.pilot.resources[CPU] * seconds / 1000 - idle)
        self.busy_s += busy
        self.idle_s += idle
        return busy, idle

    def shown(self, now_s: float) -> dict[str, Any]:
        """As people see it."""
        pilot = self.pilot
        return {
            "name": pilot.name,
            "cluster": pilot.cluster,
            "state": str(self.state),
            "message": self.doubt.words(now_s) if self.doubt is not None else "",
            "host": pilot.host,
            "version": pilot.version,
            "flavor": self.flavor,
            "labels": dict(pilot.labels),
            "runtimes": sorted(pilot.runtimes),
            "data": sorted(pilot.data),
            "resources": in_base_units(pilot.resources),
            "used": in_base_units(pilot.resources - Resources.of(self.free)),
            "leases": len(self.leases),
            "busyCpuSeconds": round(self.busy_s, 3),
            "idleCpuSeconds": round(self.idle_s, 3),
            "registeredAt": pilot.registered_s,
            "lastSeen": self.seen_s,
            "endsAt": pilot.ends_s,
            "leftSeconds": None if pilot.ends_s is None else max(0.0, self.left_s(now_s)),
        }

    def wake(self) -> None:
        """Let a call of ``lease`` that waits look again."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


def flavor_name(pilot: Pilot) -> str:
    """The same for pilots that are alike: ``8c-16g-1a2b3c``."""
    resources = pilot.resources
    told = [sorted(resources.items_), sorted(pilot.labels.items()), sorted(pilot.runtimes)]
    mark = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:6]
    return f"{resources[CPU] // 1000}c-{resources[MEMORY] >> 30}g-{mark}"


async def flavors_of(agents: Iterable[Agent], now_s: float, margin_s: float, turns: Turns) -> tuple[Flavor, ...]:
    """The pilots that live, alike ones as one flavor; on those that take no more work nothing is free."""
    groups: dict[str, Counter[Resources]] = defaultdict(Counter)
    alike: dict[str, Pilot] = {}
    for number, agent in enumerate(agents):
        if number % LOOK_EVERY == 0 and turns.due:
            await turns.rest()
        if agent.lost:
            continue
        free = agent.room() if agent.open(now_s, margin_s) else Resources()
        groups[agent.flavor][free] += 1
        alike[agent.flavor] = agent.pilot
    return tuple(
        Flavor(
            name=name,
            count=groups[name].total(),
            allocatable=pilot.resources,
            nodes=_groups(groups[name]),
            labels=dict(pilot.labels),
        )
        for name, pilot in sorted(alike.items())
    )


def _groups(free: Counter[Resources]) -> tuple[NodeGroup, ...]:
    return tuple(NodeGroup(amounts, count) for amounts, count in sorted(free.items(), key=lambda one: one[0].items_))


def drained(pilot: Pilot) -> Pilot:
    """The same, taking no more work."""
    return replace(pilot, draining=True)
