"""Who gets what: the most urgent that fits, by resources, flavors, runtimes, lifetime left and data at hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from federator.model.intent import Container
from federator.model.pilots import Mail
from federator.model.resources import CPU, MEMORY, Resources
from federator.model.workload import Lifetime
from federator.ports import OrderRefused
from tests.clusters.pilots.site import GIB, Place, done, order


async def test_the_most_urgent_that_fits_comes_first() -> None:
    place = Place()
    await place.register()
    for name, priority, cpu in (("small", 0, 1000), ("urgent", 5, 2000), ("huge", 9, 64_000), ("later", 0, 1000)):
        await place.provider.submit(order(name, 2, priority=priority, cpu=cpu))
        await place.clock.advance(1.0)
    assert [grant.intent for grant in await place.lease(limit=3)] == ["urgent", "urgent"]
    await place.register("q", resources=Resources.of({CPU: 3000, MEMORY: 8 * GIB}))
    assert [grant.intent for grant in await place.lease("q")] == ["small", "small", "later"]


async def test_a_pilot_gets_no_more_than_it_has_room_for() -> None:
    place = Place()
    await place.register()
    await place.provider.submit(order(count=100))
    held = await place.lease()
    assert len(held) == 4
    assert await place.lease(held=tuple(grant.lease for grant in held)) == ()
    await place.provider.finish("p", held[0].lease, done())
    assert len(await place.lease(held=tuple(grant.lease for grant in held[1:]))) == 1


async def test_images_go_to_pilots_with_a_container_runtime() -> None:
    place = Place()
    await place.register("bare")
    await place.register("able", runtimes=frozenset({"process", "podman"}))
    await place.provider.submit(order(image="docker://busybox"))
    assert await place.lease("bare") == ()
    (grant,) = await place.lease("able")
    assert grant.order["runtime"] == "container"
    lax = Place(images_as_processes=True)
    await lax.register()
    await lax.provider.submit(order(image="docker://busybox"))
    assert (await lax.lease())[0].order["runtime"] == "process"


async def test_what_would_outlive_a_pilot_is_not_given_to_it() -> None:
    place = Place(margin_s=100.0)
    now_s = place.clock.now_s()
    await place.register("short", ends_s=now_s + 50.0)
    await place.register("long", ends_s=now_s + 1000.0)
    await place.provider.submit(order("limited", time_limit_s=2000.0))
    await place.provider.submit(order("free"))
    assert await place.lease("short") == ()
    assert [grant.intent for grant in await place.lease("long")] == ["free"]
    flavors = (await place.provider.observe()).flavors or ()
    free = [group.free[CPU] for flavor in flavors for group in flavor.nodes for _ in range(group.count)]
    assert sorted(free) == [0, 3000], "the planner sees no room on a pilot that takes no more"


async def test_only_the_flavors_that_the_workload_allows_get_it() -> None:
    place = Place()
    await place.register("a", labels={"gpu": "v100"})
    await place.register("b", labels={"gpu": "a100"})
    flavors = (await place.provider.observe()).flavors or ()
    wanted = next(flavor.name for flavor in flavors if flavor.labels["gpu"] == "a100")
    await place.provider.submit(order(flavors=(wanted,)))
    assert await place.lease("a") == ()
    assert len(await place.lease("b")) == 1


async def test_alike_pilots_are_one_flavor_and_lost_ones_none() -> None:
    place = Place()
    for name in ("a", "b", "c"):
        await place.register(name)
    (flavor,) = (await place.provider.observe()).flavors or ()
    assert (flavor.count, flavor.allocatable[CPU]) == (3, 4000)
    await place.clock.advance(59.0)
    await place.provider.heartbeat("a", [])
    await place.pass_time(2.0)
    (flavor,) = (await place.provider.observe()).flavors or ()
    assert flavor.count == 1
    assert {one["name"]: one["state"] for one in place.provider.pilots()} == {"a": "active", "b": "lost", "c": "lost"}
    await place.pass_time(3600.0)
    assert len(place.provider.pilots()) == 0 or {one["state"] for one in place.provider.pilots()} == {"lost"}


async def test_what_pilots_are_used_for_is_added_up_while_they_live() -> None:
    """Four cores, of which a lease holds one for 10 s. A pilot that is lost is not counted any more."""
    place = Place()
    await place.register()
    await place.provider.submit(order())
    (grant,) = await place.lease()
    await place.pass_time(10.0)
    assert place.provider.used == {"payload": 10.0, "idle": 30.0}
    await place.provider.finish("p", grant.lease, done())
    await place.pass_time(5.0)
    assert place.provider.used == {"payload": 10.0, "idle": 50.0}
    assert place.spent == place.provider.used, "what the metrics are told"
    (pilot,) = place.provider.pilots()
    assert (pilot["busyCpuSeconds"], pilot["idleCpuSeconds"]) == (10.0, 50.0)
    await place.pass_time(60.0)
    await place.pass_time(60.0)
    assert place.provider.states() == {"lost": 1}
    assert place.provider.used["idle"] <= 50.0 + 60.0 * 4


async def test_a_draining_pilot_gets_nothing_and_may_end_what_it_has() -> None:
    place = Place()
    await place.register()
    await place.provider.submit(order(count=2))
    (grant,) = await place.lease(limit=1)
    await place.provider.drain("p")
    assert await place.lease(held=(grant.lease,)) == ()
    await place.provider.finish("p", grant.lease, done())
    assert 0 in (await place.seen("w")).succeeded


async def test_a_pilot_that_waits_is_told_at_once() -> None:
    place = Place()
    await place.register()
    waiting = asyncio.create_task(place.provider.lease("p", (), 5, 30.0))
    await asyncio.sleep(0.01)
    await place.provider.submit(order())
    mail: Mail = await asyncio.wait_for(waiting, 5.0)
    assert len(mail.grants) == 1


async def test_the_latest_call_of_a_pilot_is_the_one_that_is_answered() -> None:
    """A proxy may keep a connection open that the pilot has given up."""
    place = Place()
    await place.register()
    first = asyncio.create_task(place.provider.lease("p", (), 5, 30.0))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(place.provider.lease("p", (), 5, 30.0))
    assert (await asyncio.wait_for(first, 5.0)).grants == ()
    await place.provider.submit(order())
    assert len((await asyncio.wait_for(second, 5.0)).grants) == 1


async def test_what_waits_for_no_pilot_says_so_and_what_waits_for_one_does_not() -> None:
    place = Place()
    await place.provider.submit(order("w", 2))
    assert [note.reason for note in (await place.seen("w")).notes] == ["Unschedulable", "Unschedulable"]
    await place.register()
    assert (await place.seen("w")).notes == ()


@pytest.mark.parametrize(("lifetime", "expected"), [(Lifetime.BATCH, "failed"), (Lifetime.SERVICE, "waits")])
async def test_a_service_waits_again_where_a_batch_is_placed_anew(lifetime: Lifetime, expected: str) -> None:
    place = Place()
    await place.register()
    await place.provider.submit(order(lifetime=lifetime))
    await place.lease()
    await place.pass_time(61.0)
    seen = await place.seen("w")
    assert ("failed" if seen.failed else "waits") == expected
    assert bool(seen.pending) is (expected == "waits")


async def test_orders_that_no_pilot_could_run_are_refused() -> None:
    place = Place(images_as_processes=True)
    wrong = replace(order(), container=Container("docker://busybox"))
    with pytest.raises(OrderRefused) as refusal:
        await place.provider.submit(wrong)
    assert refusal.value.permanent


async def test_work_waits_a_little_for_the_pilot_that_has_its_data() -> None:
    place = Place()
    await place.register("far")
    await place.register("near", data=frozenset({"muons", "calibration"}))
    await place.provider.submit(replace(order("reads", 6), inputs=frozenset({"muons"})))
    await place.provider.submit(order("any"))
    (any_,) = await place.lease("far")
    assert any_.intent == "any", "the other is passed over, this is not"
    assert [grant.intent for grant in await place.lease("near")] == ["reads"] * 4
    further = await place.lease("far", held=(any_.lease,))
    assert [grant.intent for grant in further] == ["reads"] * 2, "the pilot that has its data is full"


async def test_it_does_not_wait_for_long_nor_for_a_pilot_that_may_not_run_it() -> None:
    place = Place()
    await place.register("far")
    await place.register("near", data=frozenset({"muons"}))
    await place.register("other", data=frozenset({"jets"}))
    await place.provider.submit(replace(order("reads", 1), inputs=frozenset({"muons"})))
    assert await place.lease("far") == ()
    await place.clock.advance(10.0)
    (first,) = await place.lease("far")
    await place.provider.submit(replace(order("both", 1), inputs=frozenset({"muons", "jets"})))
    assert len(await place.lease("far", held=(first.lease,))) == 1, "nobody has all that it reads"
