"""Backfill on pilots: it takes what is free, counts as free, and yields as soon as something else waits."""

from __future__ import annotations

import asyncio

from federator.model.intent import PREEMPTED
from federator.model.pilots import Grant
from federator.model.resources import CPU, Resources
from tests.clusters.pilots.site import GIB, Place, done, order

GRACE_S = 7.0


async def full(*pilots: str) -> tuple[Place, dict[str, tuple[Grant, ...]]]:
    """Pilots of four cores, full of backfill."""
    place = Place()
    await place.provider.submit(order("fill", 4 * len(pilots), backfill=True, grace_s=GRACE_S))
    grants = {}
    for name in pilots:
        await place.register(name)
        grants[name] = await place.lease(name)
        await place.clock.advance(1.0)
    assert [len(grants[name]) for name in pilots] == [4] * len(pilots)
    return place, grants


def ids(grants: tuple[Grant, ...]) -> tuple[str, ...]:
    return tuple(grant.lease for grant in grants)


async def stops(place: Place, name: str, held: tuple[str, ...]) -> dict[str, float]:
    """What a pilot is told to end by the answer to a heartbeat."""
    return {stop.lease: stop.grace_s for stop in (await place.provider.heartbeat(name, held)).stop}


async def test_what_backfill_uses_counts_as_free_and_it_needs_no_pilot_more() -> None:
    place, _ = await full("p")
    seen = await place.provider.observe()
    ((group,),) = [flavor.nodes for flavor in seen.flavors or ()]
    assert (group.free[CPU], seen.intents["fill"].bound) == (4000, 4)
    assert "backfill" in seen.abilities
    await place.provider.submit(order("more", 4, backfill=True))
    assert place.provider._line.demand(place.provider._line.agents["p"].pilot) == []


async def test_as_much_as_is_needed_yields_at_once_the_youngest_first_and_no_more() -> None:
    place, grants = await full("p")
    held = ids(grants["p"])
    await place.provider.submit(order("work", 2))
    assert await stops(place, "p", held) == {held[3]: GRACE_S, held[2]: GRACE_S}
    await place.pass_time(1.0)
    assert len(await stops(place, "p", held)) == 2, "what is leaving is enough"

    for lease in held[2:]:
        await place.provider.finish("p", lease, done("Stopped", own_fault=False))
    assert [grant.intent for grant in await place.lease(held=held[:2])] == ["work", "work"]
    failed = (await place.seen("fill")).failed
    assert {(failure.reason, failure.own_fault) for failure in failed} == {(PREEMPTED, False)}
    assert [failure.index for failure in failed] == [2, 3]


async def test_a_pilot_that_waits_for_work_is_told_at_once_to_drop_backfill() -> None:
    place, grants = await full("p")
    waiting = asyncio.create_task(place.provider.lease("p", ids(grants["p"]), 5, 30.0))
    await asyncio.sleep(0.01)
    await place.provider.submit(order("work"))
    async with asyncio.timeout(5.0):
        assert len((await waiting).stop) == 1


async def test_room_that_something_waits_for_is_not_filled_meanwhile() -> None:
    """Work of three cores waits; the first core that becomes free is not for another filler."""
    place, grants = await full("p")
    held = ids(grants["p"])
    await place.provider.submit(order("again", 4, backfill=True))
    await place.provider.submit(order("work", cpu=3000))
    leaving = list(await stops(place, "p", held))
    assert len(leaving) == 3
    for count, lease in enumerate(leaving, start=1):
        await place.provider.finish("p", lease, done("Stopped", own_fault=False))
        given = await place.lease(held=(held[0], *leaving[count:]))
        assert [grant.intent for grant in given] == (["work"] if count == 3 else [])


async def test_no_pilot_is_cleared_where_there_is_room_elsewhere_or_would_not_be_even_then() -> None:
    place, grants = await full("p", "q")
    await place.register("free", resources=Resources.of({CPU: 2000, "memory": 8 * GIB}))
    await place.provider.submit(order("small", 2))
    await place.provider.submit(order("huge", cpu=8000))
    for name in ("p", "q"):
        assert await stops(place, name, ids(grants[name])) == {}
    await place.provider.submit(order("two", cpu=2000))
    told = [len(await stops(place, name, ids(grants[name]))) for name in ("p", "q")]
    assert sorted(told) == [0, 2]


async def test_a_restart_forgets_neither_backfill_nor_who_waits_for_its_room() -> None:
    place, grants = await full("p")
    await place.provider.submit(order("work"))
    place.restart()
    held = ids(grants["p"])
    await place.provider.heartbeat("p", held)
    await place.pass_time(0.2)
    assert list(await stops(place, "p", held)) == [held[3]]
    ((group,),) = [flavor.nodes for flavor in (await place.provider.observe()).flavors or ()]
    assert group.free[CPU] == 4000


async def test_backfill_that_ends_by_itself_when_it_is_told_to_end_is_done() -> None:
    place, grants = await full("p")
    await place.provider.submit(order("work"))
    await place.provider.finish("p", grants["p"][3].lease, done())
    seen = await place.seen("fill")
    assert (str(seen.succeeded), seen.failed) == ("3", ())


async def test_backfill_that_is_withdrawn_is_not_counted_as_displaced() -> None:
    place, grants = await full("p")
    await place.provider.submit(order("work"))
    await place.provider.cancel("fill")
    for grant in grants["p"]:
        await place.provider.finish("p", grant.lease, done("Stopped", own_fault=False))
    assert "fill" not in (await place.provider.observe()).intents
    assert place.counted["stopped"] == 4


async def test_those_yield_that_lose_least_since_their_last_checkpoint() -> None:
    """They save every minute. Of the older pair 10 s are not saved yet, of the younger 50 s."""
    place = Place(lease_s=600.0)
    await place.provider.submit(order("fill", 4, backfill=True, grace_s=GRACE_S, checkpoint_every_s=60.0))
    await place.register()
    older = ids(await place.lease(limit=2))
    await place.clock.advance(20.0)
    younger = ids(await place.lease(held=older, limit=2))
    await place.clock.advance(50.0)
    await place.provider.submit(order("work"))
    assert list(await stops(place, "p", (*older, *younger))) == [older[1]]


async def test_what_pilots_measured_of_backfill_is_counted_once_and_nothing_of_production() -> None:
    place, grants = await full("p")
    await place.provider.submit(order("work", 1))
    *held, last = ids(grants["p"])
    await place.provider.finish("p", last, done("Stopped", own_fault=False, usage={"cpuSeconds": 2.5}))
    await place.provider.finish("p", last, done("Stopped", own_fault=False, usage={"cpuSeconds": 2.5}))
    (work,) = ids(await place.lease(held=tuple(held)))
    await place.provider.finish("p", work, done(usage={"cpuSeconds": 9.0}))
    await place.provider.finish("p", held[0], done(usage={"cpuSeconds": 0.5}))
    assert place.measured == {"workload-fill": 3.0}


async def test_those_yield_that_lose_least_of_all_pilots() -> None:
    """They save every minute. Of the four on the first pilot 50 s are not saved, on the second 30 s, on the third none.
    Who waits for two cores has them of one pilot."""
    place = Place(lease_s=600.0)
    await place.provider.submit(order("fill", 12, backfill=True, grace_s=GRACE_S, checkpoint_every_s=60.0))
    held = {}
    for name, then_s in (("p", 20.0), ("q", 30.0), ("r", 60.0)):
        await place.register(name)
        held[name] = ids(await place.lease(name, limit=4))
        await place.clock.advance(then_s)
    await place.provider.submit(order("work", 3, cpu=2000))
    told = {name: len(await stops(place, name, held[name])) for name in held}
    assert told == {"p": 0, "q": 2, "r": 4}
