"""Waiting with a limit, by the clock that is given: what runs in moved time must not wait for the machine's."""

from __future__ import annotations

import asyncio
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
