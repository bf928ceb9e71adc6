"""Step 6 of the cycle: carries intents to clusters. Each cluster has its own workers, so none waits for another.

What is to be done about an intent follows from its state at the moment a worker takes it up, so it does not matter
how often it was asked for: recorded means submit, leaving means cancel, anything else means nothing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from federator.daemon.settle import Answer
from federator.daemon.state import Member, State
from federator.model.intent import GRACE_S, Intent, IntentState, Order
from federator.ports import Clock, ClusterUnreachable, OrderRefused
from federator.telemetry.metrics import Metrics

RECORDED = IntentState.RECORDED
LOG = structlog.get_logger(__name__)
WORKERS = 64
"""Calls under way at one cluster at a time; the provider may allow fewer."""
LONGEST_WAIT_S = 60.0
LOOK_EVERY_S = 1.0
"""How often all intents of a cluster are looked through for something to do that nobody asked for."""


@dataclass(slots=True)
class _Lane:
    """The work for one cluster."""

    waiting: dict[str, None] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    tries: dict[str, int] = field(default_factory=dict)
    put_off: set[str] = field(default_factory=set)
    workers: set[asyncio.Task[None]] = field(default_factory=set)
    looked_s: float = -math.inf


class Dispatcher:
    """Sends and withdraws. ``answers`` collects what the clusters said, for the next cycle."""

    def __init__(self, state: State, clock: Clock, metrics: Metrics, order: Callable[[Intent], Order | None]) -> None:
        self._state = state
        self._clock = clock
        self._metrics = metrics
        self._order = order
        self._lanes: dict[str, _Lane] = {}
        self._later: set[asyncio.Task[None]] = set()
        self._closed = False
        self.answers: list[Answer] = []

    def kick(self, cluster: str, intent_id: str) -> None:
        """Something may have to be done about this intent at this cluster."""
        lane = self._lanes.setdefault(cluster, _Lane())
        if self._closed or cluster not in self._state.members:
            return
        if intent_id in lane.busy:
            lane.again.add(intent_id)
            return
        lane.waiting[intent_id] = None
        if len(lane.workers) < WORKERS:
            worker = asyncio.create_task(self._work(cluster, lane))
            lane.workers.add(worker)
            worker.add_done_callback(lane.workers.discard)

    def kick_member(self, member: Member, *, returned: bool) -> None:
        """Take up all that is to be done at a cluster; what was put off only if the cluster has just returned."""
        lane, now_s = self._lanes.setdefault(member.cluster.name, _Lane()), self._clock.now_s()
        if not returned and now_s - lane.looked_s < LOOK_EVERY_S:
            return
        lane.looked_s = now_s
        for intent_id in member.intents:
            if intent_id in self._state.answered or intent_id in lane.busy:
                continue
            intent = self._state.intents.get(intent_id)
            if intent and needs_action(intent) and (returned or intent_id not in lane.put_off):
                self.kick(member.cluster.name, intent_id)

    async def close(self) -> None:
        """Let calls under way end; begin no more."""
        self._closed = True
        tasks = [task for lane in self._lanes.values() for task in lane.workers]
        for lane in self._lanes.values():
            lane.waiting.clear()
        for task in self._later:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=10.0)
            for task in late:
                task.cancel()

    async def _work(self, cluster: str, lane: _Lane) -> None:
        while lane.waiting and not self._closed:
            intent_id = next(iter(lane.waiting))
            del lane.waiting[intent_id]
            lane.busy.add(intent_id)
            try:
                await self._act(cluster, lane, intent_id)
            except Exception:
                # One order must not stop the others of its cluster; the next observation brings it up again.
                LOG.exception("dispatch failed", cluster=cluster, intent=intent_id)
            finally:
                lane.busy.discard(intent_id)
            if intent_id in lane.again:
                lane.again.discard(intent_id)
                lane.waiting[intent_id] = None

    async def _act(self, cluster: str, lane: _Lane, intent_id: str) -> None:
        member = self._state.members.get(cluster)
        if member is None:
            return
        intent = self._state.intents.get(intent_id)
        started = time.perf_counter()
        try:
            if intent is None:
                await member.provider.cancel(intent_id, GRACE_S)
                outcome = "removed"
            else:
                outcome = await self._carry_out(member, intent)
        except ClusterUnreachable as error:
            LOG.warning("cluster unreachable", cluster=cluster, intent=intent_id, detail=error.detail)
            outcome = "unreachable"
            self._retry(cluster, lane, intent_id, 1.0)
        except OrderRefused as refusal:
            outcome = refusal.reason
            if refusal.permanent and intent is not None:
                self._answer(intent, refused=f"{refusal.reason}: {refusal.detail}")
            else:
                LOG.info("order put off", cluster=cluster, intent=intent_id, reason=refusal.reason)
                self._retry(cluster, lane, intent_id, refusal.retry_after_s)
        else:
            lane.tries.pop(intent_id, None)
        if outcome:
            self._metrics.dispatch_seconds.labels(cluster, outcome).observe(time.perf_counter() - started)

    async def _carry_out(self, member: Member, intent: Intent) -> str:
        if intent.id in self._state.answered and not intent.withdrawn:
            return ""  # asked for once more, and done already
        if intent.state is IntentState.LEAVING:
            await member.provider.cancel(intent.id, self._state.grace_s(intent.workload))
            self._state.answered[intent.id] = self._state.tick()
            self._state.wake()
            return "cancelled"
        if intent.state is IntentState.RECORDED:
            order = self._order(intent)
            if order is None:
                return ""
            await member.provider.submit(order)
            self._answer(intent)
            if not intent.withdrawn:
                return "accepted"
        if intent.withdrawn:
            await member.provider.cancel(intent.id, self._state.grace_s(intent.workload), intent.withdrawn)
            current = self._state.intents.get(intent.id)
            if current is not None and current.withdrawn == intent.withdrawn:
                self._state.answered[intent.id] = self._state.tick()
            self._state.wake()
            return "shrunk"
        return ""

    def _answer(self, intent: Intent, refused: str = "") -> None:
        if self._state.intents.get(intent.id) == intent:  # else it changed meanwhile, and has to be sent once more
            self._state.answered[intent.id] = self._state.tick()
        self.answers.append(Answer(intent.id, intent.generation, intent.indices, self._clock.now_s(), refused))
        self._state.wake()

    def _retry(self, cluster: str, lane: _Lane, intent_id: str, after_s: float) -> None:
        """Try again after a time that doubles with each failure."""
        tries = lane.tries.get(intent_id, 0)
        lane.tries[intent_id] = tries + 1
        wait_s = min(max(after_s, 0.1) * 2 ** min(tries, 10), LONGEST_WAIT_S)

        async def later() -> None:
            await self._clock.sleep(wait_s)
            lane.put_off.discard(intent_id)
            self.kick(cluster, intent_id)

        lane.put_off.add(intent_id)
        task = asyncio.create_task(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def needs_action(intent: Intent) -> bool:
    """Whether the cluster has to be told something about it."""
    return intent.state in (RECORDED, IntentState.LEAVING) or bool(intent.withdrawn)
