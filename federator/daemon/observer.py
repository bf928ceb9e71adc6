"""Step 1 of the cycle, all the time and apart for each cluster: watch it, and notice when it stops answering."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from federator.daemon.dispatcher import Dispatcher
from federator.daemon.state import Member, State
from federator.daemon.timing import within
from federator.model.cluster import Flavor, Health
from federator.model.intent import Observation
from federator.ports import Clock, ClusterUnreachable

LOG = structlog.get_logger(__name__)
LOOK_AT_LEAST_EVERY_S = 5.0
LOOK_AT_MOST_EVERY_S = 0.05
ANSWER_WITHIN_S = 60.0
"""Longer than any provider's own limit: a provider that hangs must not hide that its cluster is gone."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0


class Observer:
    """Watches one cluster until it is closed."""

    def __init__(
        self, member: Member, state: State, dispatcher: Dispatcher, clock: Clock, entrance: asyncio.Lock
    ) -> None:
        """``entrance`` is shared by all observers: one begins to look in one turn of the event loop."""
        self._member = member
        self._state = state
        self._dispatcher = dispatcher
        self._clock = clock
        self._entrance = entrance
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch(), name=f"observe {self._member.cluster.name}")

    async def stop(self) -> None:
        """Stop watching, and let go of the cluster. What runs there goes on."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._member.provider.close()
        except (ClusterUnreachable, TimeoutError) as error:
            LOG.warning("cluster not closed in order", cluster=self._member.cluster.name, detail=str(error))

    async def _watch(self) -> None:
        wait_s = FIRST_WAIT_S
        opened = False
        while True:
            try:
                if not opened:
                    await within(self._clock, ANSWER_WITHIN_S, self._member.provider.open())
                    opened = True
                async with self._entrance:
                    await asyncio.sleep(0)  # where hundreds look at the same time, nobody else would have a turn
                began = self._state.tick()
                seen = await within(self._clock, ANSWER_WITHIN_S, self._member.provider.observe())
            except ClusterUnreachable as error:
                opened = True  # open is called once, whatever came of it
                self._unreachable(error.detail)
            except TimeoutError:
                opened = True
                self._unreachable(f"no answer within {ANSWER_WITHIN_S:g} s")
            except Exception as error:
                # A fault in one provider must neither end the daemon nor go unnoticed.
                opened = True
                LOG.exception("observing failed", cluster=self._member.cluster.name)
                self._unreachable(f"{type(error).__name__}: {error}")
            else:
                wait_s = FIRST_WAIT_S
                self._seen(seen, began)
                await self._until_changed()
                continue
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _until_changed(self) -> None:
        try:
            await within(self._clock, LOOK_AT_LEAST_EVERY_S, self._member.provider.changed())
        except (TimeoutError, ClusterUnreachable):
            return  # the next look tells what is the matter
        await self._clock.sleep(LOOK_AT_MOST_EVERY_S)

    def _seen(self, seen: Observation, began: int) -> None:
        member = self._member
        returned = member.health is not Health.UP
        if returned:
            LOG.info("cluster answers", cluster=member.cluster.name, was=str(member.health), version=seen.version)
        if _room_appeared(member.observation, seen):
            member.unschedulable.clear()
        member.health, member.message, member.away_since_s = Health.UP, "", 0.0
        member.observation, member.began = seen, began
        self._dispatcher.kick_member(member, returned=returned)
        self._state.wake()

    def _unreachable(self, detail: str) -> None:
        member = self._member
        if member.health is Health.UP:
            member.health, member.away_since_s = Health.AWAY, self._clock.now_s()
        if member.message != detail:
            LOG.warning("cluster does not answer", cluster=member.cluster.name, detail=detail)
            member.message = detail
            self._state.wake()


def _room_appeared(before: Observation | None, now: Observation) -> bool:
    """Whether some flavor has more nodes, may get more, or has more of anything free, than at the last look."""
    if before is None:
        return True
    old, new = _totals(before.flavors), _totals(now.flavors)
    return any(amount > old.get(key, 0) for key, amount in new.items())


def _totals(flavors: tuple[Flavor, ...] | None) -> Mapping[tuple[str, str], int]:
    totals: dict[tuple[str, str], int] = {}
    for flavor in flavors or ():
        totals[flavor.name, "nodes"] = flavor.count
        totals[flavor.name, "nodes that may come"] = max(flavor.count, flavor.max_count)
        for group in flavor.nodes:
            for name, amount in group.free.items_:
                totals[flavor.name, name] = totals.get((flavor.name, name), 0) + amount * group.count
    return totals
