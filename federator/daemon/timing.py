"""Waiting with a limit, by the clock that is given: what runs in moved time must not wait for the machine's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from federator.ports import Clock

T = TypeVar("T")


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What the work gives, if it ends within so many seconds of the clock; else it is cancelled, with TimeoutError."""
    task, alarm = asyncio.ensure_future(work), asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise TimeoutError(f"not done within {seconds:g} s")
    finally:
        for one in (task, alarm):
            if not one.done():
                one.cancel()
        await asyncio.gather(task, alarm, return_exceptions=True)


PIECE_S = 0.01
"""How long work may hold the event loop before others have their turn; the limit for all of it together is 50 ms."""


class Turns:
    """Lets others have their turn on the event loop within work that takes long.

    Ask ``due`` after each small piece and, if it says so, await ``rest``. Whoever rests must not rely on anything
    that others may change meanwhile: it holds ``state.writing``, or looks at it anew.
    """

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether the work has gone on for long enough."""
        return time.perf_counter() - self._since_s > PIECE_S

    async def rest(self) -> None:
        """Let everything that is due on the loop run once."""
        await asyncio.sleep(0)
        self._since_s = time.perf_counter()
