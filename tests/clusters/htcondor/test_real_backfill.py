"""Backfill gives way in a real pool: its startd empties backfill slots itself, whoever needs their room."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from federator.clusters.htcondor import HTCondorProvider
from federator.model.intent import PREEMPTED, Container, Observation, ObservedIntent, Order
from tests.contracts.harness import Behaviour, free_cpu, until, until_intent
from tests.contracts.test_htcondor import HTCondorMember
from tests.patience import PATIENCE_S
from tests.servers.fixtures import htcondor_pool
from tests.servers.htcondor import Pool

__all__ = ["htcondor_pool"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
CORES, PIECE = 16, 4
GRACE_S = 3.0
Full = tuple[HTCondorMember, HTCondorProvider, Order]


@pytest.fixture
async def full(htcondor_pool: Pool, tmp_path: Path) -> AsyncIterator[Full]:
    """Every core runs backfill that saves within half a second; one task more waits for room."""
    member = HTCondorMember(htcondor_pool, tmp_path / "output")
    provider = member.make_provider()
    member.providers.append(provider)
    await provider.open()
    order = filler(member)
    await provider.submit(order)
    await until_intent(provider, order.intent.id, lambda s: len(s.running) == CORES // PIECE, "it is full")
    async with asyncio.timeout(PATIENCE_S):
        while len(member.starts(order.intent.id)) < CORES // PIECE:  # before that they do not listen
            await asyncio.sleep(0.1)
    yield member, provider, order
    await member.clear()


def filler(member: HTCondorMember) -> Order:
    script = (
        f'W="{member.witness}/$FEDERATOR_INTENT"; trap \'sleep 0.5; echo saved >> "$W.saved"; exit 0\' TERM; '
        'echo $FEDERATOR_REPLICA_INDEX >> "$W"; while :; do sleep 0.1; done'
    )
    order = member.order(Behaviour(), range(CORES // PIECE + 1), cpu=PIECE * 1000)
    return replace(order, container=Container(command=("sh", "-c"), args=(script,)), backfill=True, grace_s=GRACE_S)


async def test_production_starts_on_a_full_pool_and_the_task_that_made_room_is_the_federators_again(full: Full) -> None:
    """When there is room again HTCondor starts the task that has waited, and not the one that it ended."""
    member, provider, fill = full
    seen = await until(provider, lambda o: free_cpu(o) == CORES * 1000, "all counts as free")
    assert "backfill" in seen.abilities
    assert not seen.foreign["cpu"]
    work = member.order(Behaviour(), cpu=PIECE * 1000)
    await provider.submit(work)
    began = time.monotonic()
    await until_intent(provider, work.intent.id, lambda s: len(s.running) == 1, "it runs")
    assert time.monotonic() - began < GRACE_S + 20.0
    found = await until_intent(provider, fill.intent.id, lambda s: bool(s.failed), "one has given way")
    await check(found, member)
    await until(provider, lambda o: free_cpu(o) == (CORES - PIECE) * 1000, "production's cores are not free")

    await provider.cancel(work.intent.id)
    again = await until_intent(provider, fill.intent.id, lambda s: len(s.running) == CORES // PIECE, "it is full again")
    assert again.failed == found.failed
    assert set(Counter(member.starts(fill.intent.id)).values()) == {1}


async def test_a_job_of_somebody_else_displaces_backfill_while_the_federator_is_dead(
    full: Full, htcondor_pool: Pool, tmp_path: Path
) -> None:
    member, provider, fill = full
    await provider.close()
    member.providers.clear()
    htcondor_pool.submit(f"touch {member.witness}/theirs; sleep 600", PIECE, {"My.Theirs": "true"})
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (member.witness / "theirs").exists():
                await asyncio.sleep(0.1)
        again = await member.provider()
        found = await until_intent(again, fill.intent.id, lambda s: bool(s.failed), "one has given way")
        await check(found, member)

        def counted(seen: Observation) -> bool:
            return seen.foreign["cpu"] == PIECE * 1000 and free_cpu(seen) == (CORES - PIECE) * 1000

        await until(again, counted, "the job of somebody else is foreign, and all the rest is free")
    finally:
        htcondor_pool.remove("Theirs =?= true")


async def check(found: ObservedIntent, member: HTCondorMember) -> None:
    """One was displaced, although it ended well it is not done, and the others run on."""
    assert [(failure.reason, failure.own_fault) for failure in found.failed] == [(PREEMPTED, False)], found.failed
    assert not found.succeeded
    assert len(found.running) == found.bound == CORES // PIECE - 1
    assert len(found.pending) == 1
    saved = member.witness / f"{found.id}.saved"
    async with asyncio.timeout(PATIENCE_S):
        while not saved.exists():  # the pool may tell of its end before it has ended
            await asyncio.sleep(0.1)
    assert len(saved.read_text().split()) == 1
