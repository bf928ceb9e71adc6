"""Backfill gives way at a real Slurm: it ends backfill itself, whoever's job it is that needs the room."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federator.clock import SystemClock
from federator.clusters.slurm import SlurmProvider, SlurmSettings
from federator.clusters.slurm.rest import RestTransport
from federator.model.intent import PREEMPTED, Container, Observation, ObservedIntent, Order
from federator.ports import ClusterProvider, OrderRefused
from tests.contracts.harness import Behaviour, free_cpu, observe, until, until_intent
from tests.contracts.test_slurm import CommandMember, SlurmMember
from tests.patience import PATIENCE_S
from tests.servers.fixtures import slurm, slurm_by_quality
from tests.servers.slurm import CPUS, Slurm

__all__ = ["slurm", "slurm_by_quality"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
GRACE_S = 3.0


class ByRest(SlurmMember):
    """Filled, by slurmrestd."""

    server_fixture = "slurm"
    partition = "fill"

    @property
    def fills(self) -> tuple[str, str]:
        """How squeue is asked for what fills."""
        return "-p", self.partition

    def settings(self) -> SlurmSettings:
        return replace(super().settings(), backfill_partition=self.partition)


class StartsAgain(ByRest):
    """Slurm puts what it takes away back into its own queue: slurmrestd of 22.05 cannot say that it should not."""

    partition = "again"


class ByCommands(ByRest, CommandMember):
    """Filled, by Slurm's commands."""

    partition = "again"


class Gently(ByCommands):
    """Slurm tells the script, and waits for a minute before it ends anything."""

    partition = "gently"


class ByQuality(ByRest):
    """Fillers go where all else goes, with a quality of service that those of others preempt."""

    server_fixture = "slurm_by_quality"
    quality = "fill"

    @property
    def fills(self) -> tuple[str, str]:
        return "-q", self.quality

    def settings(self) -> SlurmSettings:
        return replace(super().settings(), backfill_partition="", backfill_qos=self.quality)


class StartsAgainByQuality(ByQuality):
    """As StartsAgain."""

    quality = "again"


class GentlyByQuality(ByQuality, CommandMember):
    """As Gently."""

    quality = "gently"


Full = tuple[Any, SlurmProvider, Order]
EVERY_WAY = [ByRest, StartsAgain, ByCommands, Gently, ByQuality, StartsAgainByQuality, GentlyByQuality]


@pytest.fixture(params=EVERY_WAY)
async def full(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Full]:
    """Every core runs backfill that saves within half a second."""
    slurm: Slurm = request.getfixturevalue(request.param.server_fixture)
    member = request.param(slurm, tmp_path)
    provider = await member.provider()
    order = filler(member, slurm.sizes.all)
    await provider.submit(order)
    await until_intent(provider, order.intent.id, lambda s: len(s.running) == slurm.sizes.all, "it is full")
    # Of a job that runs for Slurm the script may have yet to start: the signal before the end would find nobody.
    await until(provider, lambda _: len(member.starts(order.intent.id)) == slurm.sizes.all, "all have begun")
    yield member, provider, order
    await member.clear()


def filler(member: SlurmMember, nodes: int) -> Order:
    """One replica for each node."""
    script = (
        "trap 'sleep 0.5; echo saved; exit 0' TERM; "
        f'echo $FEDERATOR_REPLICA_INDEX >> "{member.witness}/$FEDERATOR_INTENT"; while :; do sleep 0.1; done'
    )
    order = member.order(Behaviour(), range(nodes), cpu=CPUS * 1000)
    return replace(order, container=Container(command=("sh", "-c"), args=(script,)), backfill=True, grace_s=GRACE_S)


def gave_way(seen: ObservedIntent) -> bool:
    return bool(seen.failed)


async def test_production_finds_its_room_on_a_full_cluster(full: Full) -> None:
    member, provider, fill = full
    slurm: Slurm = member.server
    seen = await until(provider, lambda o: free_cpu(o) == slurm.sizes.all * CPUS * 1000, "all counts as free")
    assert "backfill" in seen.abilities
    assert not seen.foreign["cpu"]
    work = member.order(Behaviour(), cpu=CPUS * 1000)
    await provider.submit(work)
    began = time.monotonic()
    await until_intent(provider, work.intent.id, lambda s: len(s.running) == 1, "it runs")
    assert time.monotonic() - began < GRACE_S + 20.0, "Slurm would have waited for a minute"
    found = await until_intent(provider, fill.intent.id, gave_way, "one has given way")
    check(found, slurm, member)
    left = (slurm.sizes.all - 1) * CPUS * 1000
    await until(provider, lambda o: free_cpu(o) == left, "production's node is not free")


async def test_a_job_of_somebody_else_displaces_backfill_while_the_federator_is_dead(full: Full) -> None:
    """And a federator that has lost all that it knew sees what became of its tasks."""
    member, provider, fill = full
    slurm: Slurm = member.server
    await provider.close()
    member.providers.clear()
    member.ledger = member.ledger.with_name("anew")
    theirs = sbatch(slurm, member.shared, CPUS)
    async with asyncio.timeout(PATIENCE_S):
        while state(slurm, theirs) != "RUNNING":
            await asyncio.sleep(0.1)
    again: ClusterProvider = await member.provider()
    found = await until_intent(again, fill.intent.id, gave_way, "one has given way")
    check(found, slurm, member)

    def counted(seen: Observation) -> bool:
        return seen.foreign["cpu"] == CPUS * 1000 and free_cpu(seen) == (slurm.sizes.all - 1) * CPUS * 1000

    await until(again, counted, "the job of somebody else is foreign, and all the rest is free")


class Slow(RestTransport):
    """A second passes between the answers of one look: jobs start and end meanwhile."""

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        if path == "nodes":
            await asyncio.sleep(1.0)
        return await super()._call(method, path, body)


async def test_fillers_that_start_while_slurm_is_asked_are_nobody_elses(slurm: Slurm, tmp_path: Path) -> None:
    """Else their own use would leave no room for them, and they would be withdrawn as they start."""
    member = ByRest(slurm, tmp_path)
    slow = Slow(member.settings(), SystemClock())
    provider = SlurmProvider(
        "member", member.settings(), clock=SystemClock(), federation=member.federation, transport=slow
    )
    member.providers.append(provider)
    await provider.open()
    order = filler(member, slurm.sizes.all)
    await observe(provider)
    await provider.submit(order)
    shown = 0
    while shown < slurm.sizes.all:
        seen = await observe(provider)
        assert (seen.foreign["cpu"], free_cpu(seen)) == (0, slurm.sizes.all * CPUS * 1000)
        shown = len(seen.intents[order.intent.id].running)
    await member.clear()


@pytest.mark.parametrize("way", [ByQuality, GentlyByQuality])
async def test_a_quality_of_service_that_is_not_there_is_refused_with_slurms_words(
    slurm_by_quality: Slurm, tmp_path: Path, way: type[ByQuality]
) -> None:
    member = way(slurm_by_quality, tmp_path)
    member.quality = "nosuch"
    provider = await member.provider()
    with pytest.raises(OrderRefused, match="Invalid qos specification") as told:
        await provider.submit(filler(member, 1))
    assert (told.value.reason, told.value.permanent) == ("Invalid", True)
    await member.clear()


def check(found: ObservedIntent, slurm: Slurm, member: ByRest) -> None:
    """One was displaced, is not done, and is the federator's alone to start again."""
    assert [(failure.reason, failure.own_fault) for failure in found.failed] == [(PREEMPTED, False)]
    assert not found.succeeded
    assert not found.pending
    assert len(found.running) == slurm.sizes.all - 1
    starts = Counter(member.starts(found.id))
    assert set(starts.values()) == {1}
    queue = slurm.run("squeue", "-r", "-h", "-t", "PENDING", *member.fills, "-o", "%i")
    assert not queue.split(), "Slurm would start it again by itself"


def sbatch(slurm: Slurm, folder: Path, cpus: int) -> str:
    """A job by another door; its id."""
    words = ["sbatch", "--parsable", "-p", "cpu", "-c", str(cpus), "-o", "/dev/null", "-D", str(folder)]
    done = subprocess.run(
        [*slurm.command, *words, "--wrap", "sleep 600"], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def state(slurm: Slurm, job: str) -> str:
    return slurm.run("squeue", "-h", "-j", job, "-o", "%T").strip()
