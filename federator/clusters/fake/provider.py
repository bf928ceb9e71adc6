"""The provider of fake clusters: the way to them, and the faults on that way."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

from federator.clusters.fake import faults
from federator.clusters.fake.settings import FakeSettings
from federator.clusters.fake.world import FakeCluster
from federator.model.indexset import IndexSet
from federator.model.intent import Observation, Order
from federator.ports import Clock, ClusterUnreachable, NoLogs, OrderRefused

ABILITIES = frozenset({"container", "process", "service", "manifest", "backfill", "checkpoints"})


class FakeProvider:
    """Serves a ``FakeCluster``: its own, or one that is given, as after a restart.

    All time is the given clock's, so that it works in virtual time. One seed, one story: chance decides nothing else
    than ``FakeSettings`` says.
    """

    def __init__(self, name: str, settings: FakeSettings, *, clock: Clock, cluster: FakeCluster | None = None) -> None:
        self.name = name
        self.settings = settings
        self.cluster = cluster or FakeCluster(settings)
        self._clock = clock
        self._stirred = asyncio.Event()
        self._seen: tuple[object, ...] = ()
        self._latency_s = settings.latency_s
        self._away = ""
        self._outages: list[tuple[float, float]] = []
        self._answers_to_lose = 0
        self._refusals: deque[OrderRefused] = deque()
        self._repeats: deque[float] = deque()
        self._listening = False

    # The contract

    async def open(self) -> None:
        """Begin to watch."""
        self._listen()
        await self._arrive()

    def _listen(self) -> None:
        if not self._listening:
            self.cluster.listeners.append(self._stirred.set)
            self._listening = True

    async def observe(self) -> Observation:
        """What the cluster has and runs, as of ``observe_lag_s`` ago."""
        self._listen()
        await self._arrive()
        self._advance()
        self._seen = self._stamp()
        return Observation(
            cluster=self.name,
            at_s=self._clock.now_s(),
            flavors=self.cluster.flavors(),
            intents=self.cluster.observed(),
            abilities=ABILITIES | self.settings.abilities,
            version=self.settings.version,
        )

    async def changed(self) -> None:
        """Return when something changed, or the cluster went away; raises at once where it is away."""
        self._reach()
        while True:
            self._stirred.clear()
            self._advance()
            if self._stamp() != self._seen:
                return
            await self._stir_or(self._next_s())

    async def submit(self, order: Order) -> None:
        """Run the order. Raises OrderRefused."""
        await self._arrive(lambda: self._submit(order))

    def _submit(self, order: Order) -> None:
        self._advance()
        if self._refusals:
            raise self._refusals.popleft()
        now_s = self._clock.now_s()
        self.cluster.submit(order, now_s)
        if self._repeats:

            def again(at_s: float) -> None:
                with contextlib.suppress(OrderRefused):
                    self.cluster.submit(order, at_s)

            self.cluster.timeline.later(now_s + self._repeats.popleft(), again)

    async def cancel(self, intent_id: str, grace_s: float = 30.0, indices: IndexSet | None = None) -> None:
        """Remove the intent, or some of its replicas."""

        def act() -> None:
            self._advance()
            self.cluster.cancel(intent_id, grace_s, indices, self._clock.now_s())

        await self._arrive(act)

    async def logs(
        self, intent_id: str, index: int, *, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """What the container's ``FAKE_OUTPUT`` says, or a line of its own. Raises NoLogs."""
        await self._arrive()
        self._advance()
        intent = self.cluster.intents.get(intent_id)
        if intent is None or index not in intent.started:
            raise NoLogs(f"replica {index} of {intent_id} has not started")
        said = intent.env("FAKE_OUTPUT") or f"replica {index} of {intent.order.intent.workload}\n"
        lines = said.encode().splitlines(keepends=True)
        for line in lines if tail_lines is None else lines[max(0, len(lines) - tail_lines) :]:
            yield line
        while follow and index in intent.running and self.cluster.intents.get(intent_id) is intent:
            self._stirred.clear()
            await self._stir_or(self._next_s())
            self._advance()

    async def close(self) -> None:
        """Stop watching."""
        if self._listening:
            self.cluster.listeners.remove(self._stirred.set)
            self._listening = False

    # Faults on the way

    def go_away(self, detail: str = "no route to the fake cluster") -> None:
        """Answer nothing from now on; what runs there runs on."""
        self._away = detail
        self._stirred.set()

    def come_back(self) -> None:
        """Answer again."""
        self._away = ""
        self._stirred.set()

    def away_between(self, from_s: float, until_s: float) -> None:
        """Answer nothing between two times of the clock."""
        self._outages.append((from_s, until_s))
        self._stirred.set()

    def slow_down(self, latency_s: float) -> None:
        """Let every call take so long from now on."""
        self._latency_s = latency_s

    def lose_answers(self, count: int = 1) -> None:
        """Do what the next calls of submit or cancel ask for, but let their answers be lost."""
        self._answers_to_lose += count

    def refuse(self, refusal: OrderRefused, count: int = 1) -> None:
        """Refuse the next orders so."""
        self._refusals.extend([refusal] * count)

    def repeat_orders(self, count: int = 1, after_s: float = 0.0) -> None:
        """Let the next orders arrive a second time, so much later; even if they were cancelled meanwhile."""
        self._repeats.extend([after_s] * count)

    def crash(self, intent_id: str, indices: IndexSet, exit_code: int = 1) -> None:
        """Let replicas end with an exit code now."""
        self._advance()
        faults.crash(self.cluster, intent_id, indices, self._clock.now_s(), exit_code)

    def evict(self, intent_id: str, indices: IndexSet) -> None:
        """Let the cluster take replicas away now."""
        self._advance()
        faults.evict(self.cluster, intent_id, indices, self._clock.now_s())

    def lose_node(self, node: str) -> None:
        """Break a node (``FLAVOR-0``) now."""
        self._advance()
        faults.lose_node(self.cluster, node, self._clock.now_s())

    def mend_node(self, node: str) -> None:
        """Bring a broken node back, empty."""
        self._advance()
        faults.mend_node(self.cluster, node, self._clock.now_s())

    # How calls travel

    async def _arrive(self, act: Callable[[], None] | None = None) -> None:
        """Travel to the cluster, change something there, and come back with the answer. Raises ClusterUnreachable."""
        await self._clock.sleep(min(self._latency_s, self.settings.timeout_s))
        self._reach()
        if act is not None:
            act()
        if self._latency_s > self.settings.timeout_s:
            raise ClusterUnreachable(self.name, f"no answer within {self.settings.timeout_s:g} s")
        if act is not None and self._answers_to_lose:
            self._answers_to_lose -= 1
            raise ClusterUnreachable(self.name, "the connection broke before the answer came")

    def _reach(self) -> None:
        if detail := self._absence():
            raise ClusterUnreachable(self.name, detail)

    def _absence(self) -> str:
        now_s = self._clock.now_s()
        out = any(start <= now_s < stop for start, stop in self._outages)
        return self._away or ("no route to the fake cluster" if out else "")

    def _advance(self) -> None:
        self.cluster.advance(self._clock.now_s() - self.settings.observe_lag_s)

    def _stamp(self) -> tuple[object, ...]:
        return (self.cluster.version, self._absence())

    def _next_s(self) -> float | None:
        """When something happens by itself: at the cluster, or on the way to it."""
        now_s = self._clock.now_s()
        times = [at for outage in self._outages for at in outage if at > now_s]
        if self.cluster.timeline.next_s is not None:
            times.append(self.cluster.timeline.next_s + self.settings.observe_lag_s)
        return min(times, default=None)

    async def _stir_or(self, at_s: float | None) -> None:
        """Wait until somebody stirs the cluster, or a time has come."""
        waits: list[asyncio.Future[bool]] = [asyncio.ensure_future(self._stirred.wait())]
        if at_s is not None:
            waits.append(asyncio.ensure_future(self._sleep_until(at_s)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _sleep_until(self, at_s: float) -> bool:
        await self._clock.sleep(max(0.0, at_s - self._clock.now_s()))
        return True
