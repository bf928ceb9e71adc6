"""The two clocks: the machine's, and one that stands still until it is told to move."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(max(0.0, seconds))


class VirtualClock:
    """A clock that only moves by ``advance``.

    Sleepers wake in the order of their times, those of one time in the order in which they lay down, and each has
    gone as far as it can without more time before the next one wakes: one test, one story.
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_s(self) -> float:
        """Seconds since this clock's beginning (or since the epoch, if it was started there)."""
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been moved on by so many seconds; at once (after one turn) for none."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_s + seconds, next(self._order), future))
        await future

    @property
    def next_s(self) -> float | None:
        """When the next sleeper wakes; None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Move on by so many seconds, waking everybody whose time comes, those too who lie down meanwhile."""
        until = self._now_s + seconds
        await self.settle()
        while (at := self.next_s) is not None and at <= until:
            _, _, future = heapq.heappop(self._sleepers)
            self._now_s = max(self._now_s, at)
            future.set_result(None)
            await self.settle()
        self._now_s = max(self._now_s, until)

    async def settle(self, turns: int = 20) -> None:
        """Let every task go on for so many turns of the event loop."""
        for _ in range(turns):
            await asyncio.sleep(0)
