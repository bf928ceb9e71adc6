"""A suspect pilot is given nothing but one probe at a time, counts as no room, and what fails there costs no retry."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from federator.clusters.pilots.care import BACKOFF_S
from federator.clusters.pilots.ending import RETURNED, STOPPED
from federator.model.pilots import Grant
from tests.clusters.pilots.site import LEASE_S, Place, done, order


async def fail(place: Place, grants: tuple[Grant, ...], reason: str = "Error", name: str = "p") -> None:
    """Each of these ends badly."""
    for grant in grants:
        await place.provider.finish(name, grant.lease, done(reason, message="no such file"))


async def suspect(kept: int = 0) -> tuple[Place, list[str]]:
    """A pilot on which three replicas of two orders failed, of as many as it holds; the leases that it holds still."""
    place = Place()
    await place.register("p", runtimes=frozenset({"process", "podman"}))
    await place.provider.submit(order("v", 2))
    await place.provider.submit(order("w", 40))
    held: list[str] = []
    await fail(place, await place.lease(limit=2))
    grants = await place.lease(limit=1 + kept)
    held = [grant.lease for grant in grants[1:]]
    await fail(place, grants[:1])
    return place, held


def shown(place: Place) -> Any:
    """The pilot as people see it."""
    return next(one for one in place.provider.pilots() if one["name"] == "p")


async def test_a_suspect_pilot_is_given_nothing_and_then_one_probe() -> None:
    place, _ = await suspect()
    assert await place.lease() == ()
    assert place.provider.states() == {"suspect": 1}
    assert shown(place)["state"] == "suspect"
    assert shown(place)["message"] == "3 payloads of 2 workloads failed in a row; one is tried in 60 s"
    await renew(place, BACKOFF_S - 1.0)
    assert await place.lease() == ()
    await renew(place, 1.0)
    (probe,) = await place.lease()
    assert "one is tried now" in shown(place)["message"]
    assert await place.lease(held=(probe.lease,)) == (), "exactly one"
    await place.provider.finish("p", probe.lease, done())
    assert shown(place)["state"] == "active"
    assert shown(place)["message"] == ""
    assert len(await place.lease()) == 4


async def renew(place: Place, seconds: float) -> None:
    """Time goes by, and the pilot is heard of all the while."""
    while seconds > 0:
        step = min(seconds, LEASE_S / 2)
        await place.pass_time(step)
        await place.provider.heartbeat("p", ())
        seconds -= step


async def test_a_probe_that_has_run_for_long_opens_its_pilot_before_it_ends() -> None:
    """Else a node of 64 cores would run one payload for hours, once it has been repaired."""
    place, _ = await suspect()
    await renew(place, BACKOFF_S)
    (probe,) = await place.lease()
    for passed_s, state in ((30.0, "suspect"), (29.0, "suspect"), (1.0, "active")):
        await place.clock.advance(passed_s)
        await place.provider.heartbeat("p", (probe.lease,))
        await place.provider._sweep()
        assert shown(place)["state"] == state
    assert len(await place.lease(held=(probe.lease,))) == 3


async def test_a_probe_that_fails_doubles_the_wait_and_costs_no_retry() -> None:
    place, _ = await suspect()
    await renew(place, BACKOFF_S)
    await fail(place, await place.lease())
    assert shown(place)["message"].endswith("and 1 probe since; one is tried in 120 s")
    await renew(place, 2 * BACKOFF_S - 1.0)
    assert await place.lease() == ()
    await renew(place, 1.0)
    assert len(await place.lease()) == 1
    assert [failure.own_fault for failure in (await place.seen("w")).failed] == [False, False]


async def test_the_failure_that_closes_it_and_what_ran_there_cost_no_retry() -> None:
    place, held = await suspect(kept=2)
    assert shown(place)["leases"] == 2, "what runs there goes on"
    await place.provider.finish("p", held[0], done("Error"))
    await place.provider.finish("p", held[1], done())
    assert shown(place)["state"] == "suspect", "it began before"
    charged = [failure.own_fault for name in ("v", "w") for failure in (await place.seen(name)).failed]
    assert charged == [True, True, False, False]
    (closing, _) = (await place.seen("w")).failed
    assert closing.message == ("no such file; the pilot p is suspect: 3 payloads of 2 workloads failed in a row")


async def test_what_a_suspect_pilot_has_free_is_no_room_until_a_probe_is_due() -> None:
    place, _ = await suspect()

    async def room() -> list[int]:
        (flavor,) = (await place.provider.observe()).flavors or ()
        return [group.free["cpu"] for group in flavor.nodes]

    assert await room() == [0]
    assert place.provider._line.agents["p"].trusted(place.clock.now_s(), 10.0) is False
    await renew(place, BACKOFF_S)
    assert await room() == [4000], "in a cluster of this pilot alone nothing would be sent to it, ever"
    assert place.provider._line.agents["p"].trusted(place.clock.now_s(), 10.0) is False
    await place.lease()
    assert await room() == [0]


async def test_a_pilot_that_waits_for_work_is_given_its_probe_when_that_is_due() -> None:
    place, _ = await suspect()
    waiting = asyncio.create_task(place.provider.lease("p", (), 10, 5.0))
    await asyncio.sleep(0)
    await place.pass_time(LEASE_S / 2)
    await place.provider.heartbeat("p", ())
    assert not waiting.done()
    await place.pass_time(LEASE_S / 2)
    assert len((await asyncio.wait_for(waiting, 2.0)).grants) == 1


@pytest.mark.parametrize("reason", [STOPPED, RETURNED, "Preempted", "Drained", "DeadlineExceeded", "OOMKilled"])
async def test_ends_that_were_not_the_payloads_own_tell_nothing(reason: str) -> None:
    place = Place()
    await place.register()
    for name in "vwx":
        await place.provider.submit(order(name, 2))
    for _ in range(4):
        await fail(place, await place.lease(limit=1), reason)
    assert place.provider.states() == {"active": 1}


async def test_what_ends_badly_because_it_was_asked_to_tells_nothing() -> None:
    place = Place()
    await place.register()
    for name in "vw":
        await place.provider.submit(order(name, 2))
    grants = await place.lease()
    for name in "vw":
        await place.provider.cancel(name)
    await fail(place, grants)
    assert place.provider.states() == {"active": 1}


async def test_a_probe_that_tells_nothing_is_followed_by_another() -> None:
    place, _ = await suspect()
    await renew(place, BACKOFF_S)
    await fail(place, await place.lease(), RETURNED)
    (again,) = await place.lease()
    await place.pass_time(LEASE_S * 1.1)
    assert (await place.provider.heartbeat("p", (again.lease,))).void == (again.lease,)
    assert len(await place.lease()) == 1


async def test_a_restart_of_the_daemon_forgets_and_so_does_a_farewell() -> None:
    place, _ = await suspect()
    place.restart()
    assert len(await place.lease()) == 4
    place, _ = await suspect()
    await place.provider.goodbye("p")
    await place.register("q", host="another")
    assert len(await place.lease("q", limit=4)) == 4
    await place.register("p")
    assert len(await place.lease("p", limit=4)) == 1, "on the host of a suspect one it begins with a probe"


async def test_one_workload_of_long_payloads_is_not_eaten_before_the_first_of_them_ends() -> None:
    """A good pilot runs one of them; on another they fail at once. If the good one lets go of it nothing is known."""
    for returned in (False, True):
        place = Place()
        await place.register("good")
        await place.register("p")
        await place.provider.submit(order("w", 100))
        (long,) = await place.lease("good", limit=1)
        await place.pass_time(10.0)
        if returned:
            await place.provider.finish("good", long.lease, done(RETURNED))
        for _ in range(3):
            await fail(place, await place.lease("p", limit=1))
        assert shown(place)["state"] == ("active" if returned else "suspect")


async def test_while_it_is_not_known_who_is_to_blame_one_in_five_seconds_is_given() -> None:
    """Else what is lost until it is known would grow with the room of the pilot. Other work goes on."""
    place = Place()
    await place.register("p")
    await place.provider.submit(order("w", 100))
    await fail(place, await place.lease(limit=3))
    assert await place.lease() == ()
    waiting = asyncio.create_task(place.provider.lease("p", (), 10, 5.0))
    await asyncio.sleep(0)
    await place.pass_time(4.9)
    assert not waiting.done()
    await place.pass_time(0.2)
    (one,) = (await asyncio.wait_for(waiting, 2.0)).grants
    assert await place.lease(held=(one.lease,)) == ()
    await place.provider.submit(order("x", 2))
    held = (one, *await place.lease(held=(one.lease,)))
    assert [grant.intent for grant in held] == ["w", "x", "x"]
    await place.pass_time(5.1)
    held = (*held, *await place.lease(held=tuple(grant.lease for grant in held)))
    assert [grant.intent for grant in held] == ["w", "x", "x", "w"]
    await place.provider.finish("p", one.lease, done())
    assert len(await place.lease(held=tuple(grant.lease for grant in held[1:]))) == 1, "it works: no more of that"
    assert place.provider.states() == {"active": 1}


def never_suspect(place: Place) -> None:
    """A planted mistake."""
    place.provider._line.care._condemn = lambda *_: False  # type: ignore[method-assign]


def leased_all_the_same(place: Place) -> None:
    """A planted mistake: who leases does not know who is suspect."""
    place.provider._line.agents["bad"].doubt = None


@pytest.mark.parametrize("mistake", [None, never_suspect, leased_all_the_same])
async def test_a_black_hole_among_good_pilots(mistake: Callable[[Place], None] | None) -> None:
    """Three hundred replicas of three workloads, two good pilots, and one that is first in every round and loses what
    it is given at once. It gets no more than three and the probes, and the good ones do the rest."""
    place, lost, done_, passed_s = Place(), 0, Counter[str](), 0.0
    for name in ("bad", "p", "q"):
        await place.register(name)
    for name in "uvw":
        await place.provider.submit(order(name, 100))
    while done_.total() + lost < 300:
        if mistake:
            mistake(place)
        for grant in await place.lease("bad", limit=1):
            lost += 1
            await fail(place, (grant,), name="bad")
        for name in ("p", "q"):
            for grant in await place.lease(name, limit=4):
                await place.provider.finish(name, grant.lease, done())
                done_[name] += 1
        await place.pass_time(5.0)
        passed_s += 5.0
    probes = math.floor(math.log2(passed_s / BACKOFF_S + 1.0))
    assert probes >= 1, "no probe was due, so this test shows little"
    assert (lost <= 3 + probes) is (mistake is None), f"{lost} were lost"
    if mistake is None:
        assert {one["name"]: one["state"] for one in place.provider.pilots()} == {
            "bad": "suspect", "p": "active", "q": "active",
        }  # fmt: skip
