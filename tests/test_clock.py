"""The virtual clock: time that only moves when it is told to, and always in the same way."""

from __future__ import annotations

import asyncio

from federator.clock import SystemClock, VirtualClock


async def test_sleepers_wake_in_the_order_of_their_times_and_see_those_times() -> None:
    clock = VirtualClock(100.0)
    story: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float, then: float) -> None:
        await clock.sleep(seconds)
        story.append((name, clock.now_s()))
        await clock.sleep(then)
        story.append((name, clock.now_s()))

    tasks = [asyncio.create_task(sleeper(*one)) for one in (("a", 3, 3), ("b", 1, 10), ("c", 3, 0))]
    await clock.advance(7)
    assert story == [("b", 101), ("a", 103), ("c", 103), ("c", 103), ("a", 106)]
    assert clock.now_s() == 107
    assert clock.next_s == 111
    await clock.advance(4)
    assert all(task.done() for task in tasks)
    assert clock.next_s is None


async def test_a_cancelled_sleeper_holds_up_nobody() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.settle()
    task.cancel()
    await clock.advance(5)
    assert clock.now_s() == 5
    assert clock.next_s is None


async def test_the_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    before = clock.now_s()
    await clock.sleep(0.01)
    await clock.sleep(-1)
    assert before + 0.009 < clock.now_s() < before + 5
