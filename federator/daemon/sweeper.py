"""Removes checkpoints that nobody needs any more: piece by piece, again as long as their store is away, and in the way
of nothing else. What is removed twice does not mind."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Sequence
from dataclasses import replace

import structlog

from federator.daemon.state import State
from federator.daemon.strays import PREFIX, Strays
from federator.keep import remove, words_of
from federator.model.checkpoints import NoStore, Sign, leftover, without
from federator.model.indexset import IndexSet
from federator.model.records import Changes
from federator.ports import Clock, Store, StoreUnavailable
from federator.telemetry.metrics import Metrics

AFTER_S = 300.0
"""So much later they are removed: whoever was cut off a moment ago may still be keeping something."""
LOOK_EVERY_S = 5.0
TASKS_AT_ONCE = 100
"""After the objects of so many tasks it is written that they are gone."""
FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 3600.0
GIVEN_UP_S = 7 * 86_400.0
LOG = structlog.get_logger(__name__)


class Sweeper:
    """Removes them. One at a time: nothing waits for it."""

    def __init__(self, state: State, store: Store, clock: Clock, metrics: Metrics, sign: Sign) -> None:
        self._state, self._store, self._clock, self._metrics, self._sign = state, store, clock, metrics, sign
        self._waits: dict[str, tuple[float, float]] = {}
        """By address: until when it is left alone, and for how long after the next failure."""
        self._ends = False

    async def run(self) -> None:
        """Remove until cancelled."""
        try:
            while True:
                try:
                    await self.once()
                except StoreUnavailable as error:
                    LOG.warning("what was removed of old checkpoints is not written", detail=str(error))
                await self._clock.sleep(LOOK_EVERY_S)
        finally:
            self._ends = True  # its thread need not come to the end of its list

    async def once(self) -> None:
        """Remove what is due. Raises StoreUnavailable, and then some of it will be removed once more."""
        for name in list(self._state.strays):
            strays = self._state.strays[name]
            until_s, _ = self._waits.get(strays.url, (0.0, 0.0))
            now_s = self._clock.now_s()
            if now_s >= max(until_s, strays.since_s + AFTER_S):
                await self._some(name, strays, now_s)

    async def _some(self, name: str, strays: Strays, now_s: float) -> None:
        for number, indices in sorted(strays.tried.items()):
            while part := indices.first(TASKS_AT_ONCE):
                places = list(leftover(strays.url, name, number, part))
                trouble = await asyncio.get_running_loop().run_in_executor(None, self._remove, places)
                if trouble and now_s - strays.since_s < GIVEN_UP_S:
                    self._put_off(name, strays.url, trouble)
                    return
                if trouble:
                    LOG.warning("old checkpoints are given up", workload=name, address=strays.url, detail=trouble)
                self._metrics.checkpoint_strays_total.labels("given up" if trouble else "removed").inc(len(part))
                await self._forget(name, number, part)
                indices = indices - part
        self._waits.pop(strays.url, None)

    def _put_off(self, name: str, url: str, trouble: str) -> None:
        _, wait_s = self._waits.get(url, (0.0, FIRST_WAIT_S))
        LOG.warning("old checkpoints cannot be removed", workload=name, address=url, detail=trouble, again_s=wait_s)
        self._metrics.checkpoint_strays_total.labels("failed").inc()
        self._waits[url] = self._clock.now_s() + wait_s, min(2 * wait_s, LONGEST_WAIT_S)

    async def _forget(self, name: str, number: int, part: IndexSet) -> None:
        """They are gone: write that. More may have come meanwhile."""
        async with self._state.writing:
            strays = self._state.strays[name]
            rest: dict[int, IndexSet] = {n: indices for n, indices in strays.tried.items() if n != number}
            tried = rest | without({number: strays.tried[number]}, part)
            after = replace(strays, tried=tried) if tried else None
            await self._store.commit(Changes(values={PREFIX + name: after.as_value() if after else None}))
            if after is None:
                del self._state.strays[name]
            else:
                self._state.strays[name] = after

    def _remove(self, places: Sequence[str]) -> str:
        """Leave nothing there; in words what kept it from that, if anything."""
        for place in places:
            if self._ends:
                return "the daemon ends"
            try:
                remove(self._sign("DELETE", place))
            except NoStore as error:
                return str(error)
            except (OSError, http.client.HTTPException, ValueError) as error:
                return words_of(error)
        return ""
