"""A thousand leases and a daemon that is killed under them; calls that come twice and in the wrong order; a liar.

Pilots are only calls. What counts is what the daemon acknowledged to them, whichever daemon that was.
"""

from __future__ import annotations

import asyncio
import random
import time

import aiohttp
import pytest

from tests.e2e.federator_process import Federator, batch
from tests.e2e.pilot_process import grid, leases, pilot_token
from tests.e2e.wire_pilot import WirePilot, Witness
from tests.servers.processes import free_port

pytestmark = [pytest.mark.real, pytest.mark.timeout(420)]

PILOTS, EACH, REPLICAS = 10, 100, 1200
SEED = 11


def begun(federator: Federator) -> tuple[str, str]:
    """A daemon at a port that stays the same, with 1,200 replicas in a line; its address and the pilots' token."""
    port = free_port()
    federator.write([grid(lease="30s")], listen={"port": port})
    federator.start()
    token = pilot_token(federator).read_text().strip()
    federator.submit(batch("many", REPLICAS, ["true"]))
    return f"http://127.0.0.1:{port}", token


async def fill(pilots: list[WirePilot], wanted: int) -> None:
    """Every pilot asks until it holds so many."""
    for pilot in pilots:
        await pilot.register()
    async with asyncio.timeout(120):
        while any(len(pilot.held) < wanted for pilot in pilots):
            await asyncio.gather(*(pilot.lease(wanted - len(pilot.held)) for pilot in pilots))
            await asyncio.sleep(0.1)


async def restart(federator: Federator) -> float:
    """SIGKILL, and another daemon; for how long nobody answered."""
    began = time.monotonic()
    await asyncio.to_thread(federator.kill)
    await asyncio.to_thread(federator.start)
    return time.monotonic() - began


def test_a_daemon_killed_under_a_thousand_leases_loses_none_and_counts_none_twice(federator: Federator) -> None:
    """It is killed again while their ends come in, each twice, in any order, among requests from long ago."""
    url, token = begun(federator)
    witness, chance = Witness(), random.Random(SEED)

    async def story() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            pilots = [WirePilot(session, url, f"p{number}", witness) for number in range(PILOTS)]
            await fill(pilots, EACH)
            assert len({index for pilot in pilots for index in pilot.held.values()}) == PILOTS * EACH
            await restart(federator)
            assert await asyncio.gather(*(pilot.heartbeat() for pilot in pilots)) == [[]] * PILOTS, "none is void"

            calls = [(pilot, lease, index) for pilot in pilots for lease, index in pilot.held.items()] * 2
            chance.shuffle(calls)
            turn = asyncio.Semaphore(16)

            async def end(pilot: WirePilot, lease: str, index: int) -> None:
                async with turn:
                    if chance.random() < 0.05:
                        await pilot.heartbeat()
                    await pilot.complete(lease, index)

            ending = [asyncio.create_task(end(*call)) for call in calls]
            while len(witness.taken) < PILOTS * EACH // 3:
                await asyncio.sleep(0.02)
            await restart(federator)
            await asyncio.gather(*ending)
            assert len(witness.taken) == PILOTS * EACH, "every end was taken"
            for pilot in pilots:  # a request from before it held anything comes late: it is told of what is left
                pilot.held.clear()
                await pilot.lease(EACH, forgetful=True)
            while len(witness.taken) < REPLICAS:
                for pilot in pilots:
                    await pilot.lease(EACH)
                    await asyncio.gather(*(pilot.complete(lease, index) for lease, index in pilot.held.items()))
                    pilot.held.clear()

    asyncio.run(story())
    done = federator.wait_for("many", lambda w: w["state"] == "finished")
    assert (done["finished"], done["failed"]) == (REPLICAS, 0), f"seed {SEED}"
    assert sorted(witness.taken) == list(range(REPLICAS)), f"seed {SEED}"
    assert not witness.twice, f"seed {SEED}"
    assert witness.refused == 0, f"seed {SEED}: what is told again is acknowledged again"
    assert leases(federator).get("void", 0) == 0, f"seed {SEED}"


def test_a_pilot_that_lies_about_its_size_delays_what_it_took_and_no_more(federator: Federator) -> None:
    """It says that it has a thousand cores, gives most of what it was given back, and then says that it has four.

    A honest one ends everything else. What the liar kept to itself and never named again is placed anew.
    """
    url, token = begun(federator)
    witness = Witness()

    async def story() -> None:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            liar = WirePilot(session, url, "liar", witness, cores=1000)
            await fill([liar], 1000)
            assert await liar.lease(100) == 0, "not more than it says"
            given_back = list(liar.held)[:700]
            await asyncio.gather(*(liar.give_back(lease) for lease in given_back))
            await liar.register(cores=4)
            assert await liar.lease(100) == 0, "it holds three hundred, and has four"
            late = dict(liar.held)
            honest = WirePilot(session, url, "honest", witness, cores=200)
            await honest.register()
            while len(witness.taken) < REPLICAS:
                await honest.lease(200)
                await asyncio.gather(*(honest.complete(lease, index) for lease, index in honest.held.items()))
                honest.held.clear()
                await asyncio.sleep(0.2)
            await asyncio.gather(*(liar.complete(lease, index) for lease, index in late.items()))

    asyncio.run(story())
    done = federator.wait_for("many", lambda w: w["state"] == "finished")
    assert (done["finished"], done["failed"]) == (REPLICAS, 0)
    assert not witness.twice
    assert witness.refused == 300, "all that it says of leases that are void"
    assert leases(federator)["void"] == 300
