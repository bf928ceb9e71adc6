"""The fake cluster itself: synchronous, and it only moves when somebody looks. Providers are views of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random

from federator.clusters.binder import Pool, seated
from federator.clusters.fake import evictions
from federator.clusters.fake.autoscaler import Autoscaler
from federator.clusters.fake.parts import NONE, FakeIntent, wanted_of
from federator.clusters.fake.settings import FakeSettings
from federator.clusters.fake.timeline import Act, Timeline
from federator.clusters.losses import Losses
from federator.model.cluster import Flavor
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, ObservedIntent, Order
from federator.ports import OrderRefused

STARTS_KEPT = 100_000
RESTART_S = 1.0
"""How long a replica of a service that ended waits before it starts again."""


class FakeCluster:
    """Nodes, intents, and what will happen next. It outlives its providers, as a cluster outlives a daemon.

    What will happen is kept as one entry for all alike replicas of an intent, so that thousands of running replicas
    cost nothing until they end. Times come with the calls; a call with an earlier time than the last one changes
    nothing that has happened.
    """

    def __init__(self, settings: FakeSettings) -> None:
        self.settings = settings
        self.pool = None if settings.flavors is None else Pool(settings.flavors, settings.binding)
        self.intents: dict[str, FakeIntent] = {}
        self.version = 0
        """Grows with every change that can be observed."""
        self.listeners: list[Callable[[], None]] = []
        self.starts: deque[tuple[str, IndexSet]] = deque(maxlen=STARTS_KEPT)
        """The latest starts of replicas: whose, and which. What a test counts to find a replica that ran twice."""
        self._started = 0
        self.timeline = Timeline()
        self._random = Random(settings.seed)
        self.waiting: dict[str, FakeIntent] = {}
        self._autoscaler = None if self.pool is None else Autoscaler(self.pool, self.timeline, self._booted)
        self._orders = 0

    # What happens

    def advance(self, now_s: float) -> None:
        """Let happen all that was to happen until now."""
        self.timeline.run(now_s)

    def touch(self, intent: FakeIntent | None = None) -> None:
        if intent is not None:
            intent.seen = None
        self.version += 1
        for listener in self.listeners:
            listener()

    # What a client may ask

    def flavors(self) -> tuple[Flavor, ...] | None:
        """The nodes with what is free on them."""
        return None if self.pool is None else self.pool.flavors()

    def observed(self) -> dict[str, ObservedIntent]:
        """All intents."""
        return {name: intent.observed() for name, intent in self.intents.items()}

    def submit(self, order: Order, now_s: float) -> None:
        """Create the intent's replicas, or change a service. Raises OrderRefused."""
        intent = self.intents.get(order.intent.id)
        if intent is None:
            if order.manifest is None and not (order.container and (order.container.image or order.container.command)):
                raise OrderRefused("Invalid", "the order says nothing to run", permanent=True)
            self._orders += 1
            if self.settings.refuse_every and self._orders % self.settings.refuse_every == 0:
                raise OrderRefused("TooManyRequests", "the fake cluster is told to refuse this", permanent=False)
            intent = FakeIntent(order, now_s, whole_cores=self.settings.whole_cores)
            self.intents[order.intent.id] = intent
        elif intent.leaving:
            raise OrderRefused("Conflict", f"{order.intent.id} is being removed", permanent=False)
        elif intent.is_service and intent.order != order:
            self._change(intent, order, now_s)
        else:
            return
        self.waiting[order.intent.id] = intent
        self.bind_waiting(now_s)
        self.touch(intent)

    def cancel(self, intent_id: str, grace_s: float, indices: IndexSet | None, now_s: float) -> None:
        """Remove an intent, or some of its replicas, as soon as they have ended."""
        intent = self.intents.get(intent_id)
        if intent is None or intent.leaving:
            return
        leaving = intent.order.intent.indices if indices is None else indices
        intent.leaving = indices is None
        intent.unbound -= leaving
        wait_s = min(grace_s, self.settings.stop_time_s) if intent.running & leaving else 0.0

        def gone(at_s: float) -> None:
            self._take_away(intent, leaving, at_s)
            if intent.leaving and self.intents.get(intent_id) is intent:
                del self.intents[intent_id]
                self.touch()

        if wait_s > 0:
            self.timeline.later(now_s + wait_s, gone)
        else:
            gone(now_s)
        self.touch(intent)

    def _change(self, intent: FakeIntent, order: Order, now_s: float) -> None:
        """A service's number (the largest indices go first) or spec (taken over without a pause)."""
        self._take_away(intent, intent.there - wanted_of(order), now_s)
        if intent.order.spec_hash != order.spec_hash:
            self.starts.append((order.intent.id, intent.running))
        intent.unbound |= wanted_of(order) - intent.there
        intent.order = order

    def _take_away(self, intent: FakeIntent, indices: IndexSet, now_s: float) -> None:
        intent.unbound -= indices
        intent.starting -= indices
        intent.running -= indices
        self._free(intent, indices, now_s)
        self.touch(intent)

    # Nodes

    def bind_waiting(self, now_s: float) -> None:
        """Give nodes to replicas that have none, the oldest order first."""
        for name, intent in list(self.waiting.items()):
            bound = self._bind(intent, now_s)
            if bound:
                self.touch(intent)
                waits_s = 0.0 if intent.order.backfill else evictions.make_room(self, now_s)
                self._after(self.settings.start_delay_s + waits_s, now_s, partial(self._start, intent, bound))
            if not intent.unbound or self.intents.get(name) is not intent:
                self.waiting.pop(name, None)  # whoever gave way may have had it bound meanwhile
            elif self._autoscaler is not None:
                self._autoscaler.boot_for(intent, now_s)

    def _bind(self, intent: FakeIntent, now_s: float) -> IndexSet:
        bound, losses = NONE, Losses(partial(evictions.held, self, now_s))
        if self.pool is None:
            bound = intent.unbound
        else:
            for role, share in intent.parts:
                waiting = intent.unbound & share
                below = intent.order.backfill
                nodes = self.pool.bind(
                    role.requests, len(waiting), intent.order.flavors, role.tolerations, below=below, lost=losses
                )
                for node, mine in seated(waiting, nodes):
                    bound |= mine
                    intent.seats[node] = intent.seats.get(node, NONE) | mine
        intent.unbound -= bound
        intent.starting |= bound
        return bound

    def _free(self, intent: FakeIntent, indices: IndexSet, now_s: float) -> None:
        if self.pool is None or not indices:
            return
        for node, requests, mine in intent.seats_of(indices):
            self.pool.release(node, requests, len(mine), below=intent.order.backfill)
        intent.leave_seats(indices)
        if self.waiting:
            self.bind_waiting(now_s)

    def _booted(self, now_s: float) -> None:
        self.touch()
        self.bind_waiting(now_s)

    # Lives of replicas

    def _after(self, wait_s: float, now_s: float, act: Act) -> None:
        if wait_s > 0:
            self.timeline.later(now_s + wait_s, act)
        else:
            act(now_s)

    def _start(self, intent: FakeIntent, indices: IndexSet, now_s: float) -> None:
        indices &= intent.starting
        if not indices:
            return
        intent.starting -= indices
        intent.running |= indices
        self.starts.append((intent.order.intent.id, indices))
        intent.started_s = now_s if intent.started_s is None else intent.started_s
        first = self._started
        self._started += len(indices)
        self.touch(intent)
        run_s, limit_s = self._run_time_s(intent), intent.order.time_limit_s
        if limit_s is not None and (run_s is None or run_s > limit_s) and not intent.is_service:
            self.timeline.later(
                now_s + limit_s, partial(self.fail, intent, indices, reason="DeadlineExceeded", exit_code=143)
            )
        elif run_s is not None:
            bad = self._unlucky(intent, indices, first)
            for some, at_s in self._ends(intent, indices - bad, now_s, run_s):
                self.timeline.later(at_s, partial(self._end, intent, some))
            if bad:
                self.timeline.later(now_s + run_s, partial(self.fail, intent, bad))

    def _run_time_s(self, intent: FakeIntent) -> float | None:
        said = intent.env("FAKE_RUN_S")
        if said is not None:
            return float(said)
        return None if intent.is_service else self.settings.run_time_s

    def _unlucky(self, intent: FakeIntent, indices: IndexSet, first: int) -> IndexSet:
        every = self.settings.fail_every
        if not every or intent.is_service:
            return NONE
        return IndexSet.of(index for number, index in enumerate(indices, first + 1) if number % every == 0)

    def _ends(self, intent: FakeIntent, indices: IndexSet, now_s: float, run_s: float) -> list[tuple[IndexSet, float]]:
        """When which replicas end: all together, or by chance node by node."""
        share = self.settings.spread_run_time
        if not share or not intent.seats:
            return [(indices, now_s + run_s)]
        groups = [mine for seated in intent.seats.values() if (mine := seated & indices)]
        return [(mine, now_s + run_s * self._random.uniform(1 - share, 1 + share)) for mine in groups]

    def _end(self, intent: FakeIntent, indices: IndexSet, now_s: float) -> None:
        code = int(intent.env("FAKE_EXIT_CODE") or 0)
        indices &= intent.running
        if intent.is_service:
            self._restart(intent, indices, now_s)
        elif code:
            self.fail(intent, indices, now_s, "Error", code)
        elif indices:
            intent.running -= indices
            intent.succeeded |= indices
            self._free(intent, indices, now_s)
            self.touch(intent)

    def fail(
        self,
        intent: FakeIntent,
        indices: IndexSet,
        now_s: float,
        reason: str = "Error",
        exit_code: int | None = 1,
        own_fault: bool = True,
    ) -> None:
        """Let replicas that are there end badly; those of a service start again."""
        indices &= intent.starting | intent.running
        if intent.is_service:
            self._restart(intent, indices, now_s)
            return
        if not indices:
            return
        nodes = {index: node for node, _, seated in intent.seats_of(indices) for index in seated}
        words = f"exited with {exit_code}" if exit_code is not None else "taken away by the fake cluster"
        for index in indices:
            intent.failed[index] = Failure(index, reason, words, exit_code, nodes.get(index, ""), own_fault)
        self._take_away(intent, indices, now_s)

    def _restart(self, intent: FakeIntent, indices: IndexSet, now_s: float) -> None:
        """Replicas of a service that ended keep their seats, unless the seat's node is gone, and start again."""
        intent.running -= indices
        if self.pool is not None:
            down = {name for name, node in self.pool.nodes.items() if node.down}
            homeless = IndexSet.join(r for node in down for r in (intent.seats.get(node, NONE) & indices).ranges)
            self._free(intent, homeless, now_s)
            intent.starting -= homeless
            indices -= homeless
            intent.unbound |= homeless
            if homeless:
                self.waiting[intent.order.intent.id] = intent
                self.bind_waiting(now_s)
        intent.starting |= indices
        self.timeline.later(now_s + RESTART_S, partial(self._start, intent, indices))
        self.touch(intent)
