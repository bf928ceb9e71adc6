"""A real Slurm that dies, hangs, forgets and answers late: nothing is lost, and no payload runs twice."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from federator.clock import SystemClock
from federator.clusters.slurm import SlurmProvider
from federator.clusters.slurm.jobs import Job
from federator.clusters.slurm.refusals import Unreachable
from federator.clusters.slurm.rest import RestTransport
from federator.clusters.slurm.settings import SlurmSettings
from federator.model.indexset import IndexSet
from federator.model.intent import ObservedIntent, Order
from federator.model.resources import CPU, MEMORY, Resources
from federator.ports import ClusterUnreachable, OrderRefused
from tests.contracts.harness import GIB, Behaviour, free_cpu, observe, until, until_intent
from tests.contracts.test_slurm import SlurmMember
from tests.servers.fixtures import slurm
from tests.servers.slurm import Slurm

__all__ = ["slurm"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
FOREVER, SHORT = Behaviour(), Behaviour(1.0)


class SmallArrays(SlurmMember):
    """Arrays of three, so that one intent needs several."""

    def settings(self) -> SlurmSettings:
        return replace(super().settings(), array_size=3, timeout_s=5.0)


@pytest.fixture
async def member(slurm: Slurm, tmp_path: Path) -> AsyncIterator[SmallArrays]:
    member = SmallArrays(slurm, tmp_path)
    yield member
    await member.clear()


async def ended(provider: SlurmProvider, order: Order) -> ObservedIntent:
    return await until_intent(provider, order.intent.id, lambda s: not s.pending and not s.running, "it has ended")


async def unreachable(provider: SlurmProvider, within_s: float) -> str:
    began = time.monotonic()
    with pytest.raises(ClusterUnreachable) as told:
        await provider.observe()
    assert time.monotonic() - began < within_s
    return told.value.detail


async def test_a_controller_that_dies_and_comes_back_has_lost_nothing(member: SmallArrays) -> None:
    provider = await member.provider()
    order = member.order(Behaviour(14.0), range(8))
    await provider.submit(order)
    await until_intent(provider, order.intent.id, lambda s: len(s.running) == 8, "all run")
    await asyncio.sleep(6)  # Slurm writes its state every few seconds
    lasts = member.order(FOREVER, range(2))
    await asyncio.to_thread(member.server.controller.stop, signal.SIGKILL)
    await unreachable(provider, 8.0)
    with pytest.raises(ClusterUnreachable):  # slurmrestd may still get it through when the controller is back
        await provider.submit(lasts)
    await asyncio.to_thread(member.server.start_controller)
    assert (await ended(provider, order)).succeeded == IndexSet.span(0, 8)
    assert sorted(member.starts(order.intent.id)) == list(range(8))
    await provider.submit(lasts)
    await until(provider, lambda _: len(member.running(lasts.intent.id)) == 2, "both run")
    assert sorted(member.starts(lasts.intent.id)) == [0, 1]


async def test_a_controller_that_hangs_is_unreachable_within_the_deadline(member: SmallArrays) -> None:
    provider = await member.provider()
    order = member.order(FOREVER)
    await provider.submit(order)
    member.server.controller.send(signal.SIGSTOP)
    try:
        assert "within 5 s" in await unreachable(provider, 8.0)
    finally:
        member.server.controller.send(signal.SIGCONT)
    await until(provider, lambda _: len(member.running(order.intent.id)) == 1, "it runs")
    assert member.starts(order.intent.id) == [0]


class Loses(RestTransport):
    """Slurm takes the job, and the answer does not arrive."""

    lost = 0

    async def submit(self, job: Job) -> int:
        await super().submit(job)
        self.lost += 1
        raise Unreachable("the answer is lost on purpose")


@pytest.mark.parametrize("ledger", ["kept", "lost with its disk"])
async def test_a_job_whose_answer_was_lost_is_found_and_not_sent_again(member: SmallArrays, ledger: str) -> None:
    loses = Loses(member.settings(), SystemClock())
    crashed = SlurmProvider(
        "member", member.settings(), clock=SystemClock(), federation=member.federation, transport=loses
    )
    member.providers.append(crashed)
    await crashed.open()
    order = member.order(SHORT, range(7))
    for lost in (1, 2, 3):  # each try finds what the one before it sent, and sends the next array
        with pytest.raises(ClusterUnreachable):
            await crashed.submit(order)
        assert loses.lost == lost
    await asyncio.sleep(3)  # it has ended when the next daemon comes
    if ledger != "kept":
        shutil.rmtree(member.ledger)
    provider = await member.provider()
    await provider.submit(order)
    assert (await ended(provider, order)).succeeded == IndexSet.span(0, 7)
    assert sorted(member.starts(order.intent.id)) == list(range(7))
    words = ("squeue", "--noheader", "--states=all", f"--name={order.intent.id}", "--format=%F")
    arrays = set((await asyncio.to_thread(member.server.run, *words)).split())
    assert len(arrays) == 3, f"some array was sent twice: {arrays}"


class Doubles(RestTransport):
    """A call that was given up is carried out after all, and after it was repeated."""

    async def submit(self, job: Job) -> int:
        first = await super().submit(job)
        await super().submit(job)
        return first


async def test_a_job_that_slurm_has_twice_runs_once_and_is_cancelled_whole(member: SmallArrays) -> None:
    doubles = Doubles(member.settings(), SystemClock())
    provider = SlurmProvider(
        "member", member.settings(), clock=SystemClock(), federation=member.federation, transport=doubles
    )
    member.providers.append(provider)
    await provider.open()
    short, lasts = member.order(SHORT, range(4)), member.order(FOREVER, range(2))
    await provider.submit(short)
    await provider.submit(lasts)
    assert (await ended(provider, short)).succeeded == IndexSet.span(0, 4)
    assert sorted(member.starts(short.intent.id)) == [0, 1, 2, 3]
    await until(provider, lambda _: len(member.running(lasts.intent.id)) == 2, "both run")
    await provider.cancel(lasts.intent.id)
    await until(provider, lambda o: lasts.intent.id not in o.intents, "it is gone")
    assert member.starts(lasts.intent.id) in ([0, 1], [1, 0])
    assert member.running(lasts.intent.id) == []
    with pytest.raises(OrderRefused):
        await provider.submit(lasts)


async def test_ends_are_known_after_slurm_has_forgotten_them(member: SmallArrays) -> None:
    """One is in the ledger, one only in the file that its script wrote; one has left no trace and is run elsewhere."""
    provider = await member.provider()
    seen, unseen, lost = (member.order(Behaviour(1.0, exit_code=3)) for _ in range(3))
    await provider.submit(seen)
    await ended(provider, seen)
    await provider.submit(unseen)
    await provider.submit(lost)
    await asyncio.sleep(4)
    (member.shared / lost.intent.id / "ends" / "0").unlink()
    await asyncio.to_thread(member.server.forget)
    later = await member.provider()
    for order, reason, own_fault in ((seen, "Error", True), (unseen, "Error", True), (lost, "Forgotten", False)):
        (failure,) = (await ended(later, order)).failed
        assert (failure.reason, failure.own_fault) == (reason, own_fault), order.intent.id
        assert failure.exit_code == (3 if own_fault else None)
    await later.submit(unseen)
    await asyncio.sleep(1)
    assert member.starts(unseen.intent.id) == [0]


async def test_nodes_that_are_drained_or_down_do_not_count(member: SmallArrays) -> None:
    provider = await member.provider()
    before = free_cpu(await observe(provider))
    await asyncio.to_thread(member.server.run, "scontrol", "update", "nodename=n1", "state=drain", "reason=test")
    try:
        after = await observe(provider)
        assert free_cpu(after) == before - 16_000
        assert {flavor.name: flavor.count for flavor in after.flavors or ()} == {"cpu": 15, "gpu": 4}
    finally:
        await asyncio.to_thread(member.server.run, "scontrol", "update", "nodename=n1", "state=resume")
    await until(provider, lambda o: free_cpu(o) == before, "it counts again")


async def test_gpus_are_given_by_flavor_and_counted(member: SmallArrays) -> None:
    provider = await member.provider()
    order = member.order(FOREVER)
    needs = Resources.of({CPU: 500, MEMORY: GIB, "nvidia.com/gpu": 2})
    order = replace(order, roles=(replace(order.roles[0], requests=needs),), flavors=("gpu",))
    await provider.submit(order)
    await until_intent(provider, order.intent.id, lambda s: s.bound == 1, "it runs")
    observation = await observe(provider)
    (gpu,) = [flavor for flavor in observation.flavors or () if flavor.name == "gpu"]
    assert gpu.allocatable["nvidia.com/gpu"] == 2
    assert sorted(group.free["nvidia.com/gpu"] for group in gpu.nodes for _ in range(group.count)) == [0, 2, 2, 2]
    assert not observation.foreign, "what is ours is not foreign"


async def test_work_of_others_is_foreign_and_is_left_alone(member: SmallArrays) -> None:
    provider = await member.provider()
    words: Sequence[str] = (*member.server.command, "sbatch", "--parsable", "--cpus-per-task=3", "--mem=300M")
    job = await asyncio.to_thread(member.server.run, *words, "--output=/dev/null", "--wrap=sleep 600")
    observation = await until(provider, lambda o: bool(o.foreign), "it runs")
    assert observation.foreign == Resources.of({CPU: 3000, MEMORY: 300 << 20})
    assert not observation.intents
    assert job.strip() in await asyncio.to_thread(member.server.run, "squeue", "--noheader", "--format=%A")
