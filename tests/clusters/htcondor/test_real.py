"""A real schedd that is killed, hangs, or says no; and what HTCondor does with what we ask."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from federator.clusters.htcondor import jobs
from federator.clusters.htcondor.helper import Helper
from federator.clusters.htcondor.provider import HTCondorProvider
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Order
from federator.ports import ClusterUnreachable, OrderRefused
from tests.contracts.harness import Behaviour, until_intent
from tests.contracts.test_htcondor import HTCondorMember
from tests.servers.fixtures import htcondor_pool
from tests.servers.htcondor import Pool

__all__ = ["htcondor_pool"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

CUT_OFF = """
import json, sys, os, htcondor2
from federator.clusters.htcondor.calls import Queue
queue = Queue(os.environ["FEDERATOR_COLLECTOR"], os.environ["FEDERATOR_SCHEDD"])
told = json.loads(sys.argv[1])
queue.schedd.submit(htcondor2.Submit(told), spool=True, itemdata=iter([{"index": "0"}, {"index": "1"}]))
"""


@pytest.fixture
async def member(htcondor_pool: Pool, tmp_path: Path) -> AsyncIterator[HTCondorMember]:
    member = HTCondorMember(htcondor_pool, tmp_path / "output")
    yield member
    await member.clear()


def scripted(member: HTCondorMember, script: str) -> Order:
    """An order of one replica that runs the script; ``$W`` is the file in which it can bear witness."""
    order = member.order(Behaviour())
    words = f"W={shlex.quote(str(member.witness))}/$FEDERATOR_INTENT; {script}"
    return replace(order, container=Container(command=("sh", "-c"), args=(words,)))


def told(member: HTCondorMember, order: Order) -> list[str]:
    path = member.witness / order.intent.id
    return path.read_text().split() if path.exists() else []


async def test_a_schedd_that_is_killed_and_comes_back_loses_nothing_and_runs_nothing_twice(
    member: HTCondorMember,
) -> None:
    provider = await member.provider()
    order = member.order(Behaviour(6.0), range(3))
    await provider.submit(order)
    running = IndexSet.span(0, 3)
    await until_intent(provider, order.intent.id, lambda s: s.running == running, "all run")
    before = member.pool.pids("condor_schedd")
    member.pool.restart_schedd()
    while member.pool.pids("condor_schedd") in ([], before):
        await asyncio.sleep(0.1)
    while True:
        try:
            await provider.submit(order)  # whoever does not know sends it again
            break
        except ClusterUnreachable:
            await asyncio.sleep(0.2)
    seen = await until_intent(provider, order.intent.id, lambda s: not s.pending and not s.running, "all ended")
    assert seen.succeeded == running
    assert sorted(member.starts(order.intent.id)) == [0, 1, 2]


async def test_a_schedd_that_hangs_costs_its_deadline_and_blocks_nobody_else(member: HTCondorMember) -> None:
    provider = await member.provider()
    lags: list[float] = []

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            lags.append(time.monotonic() - began - 0.01)

    ticking = asyncio.create_task(tick())
    member.pool.freeze()
    began = time.monotonic()
    with pytest.raises(ClusterUnreachable, match="no answer within 3 s"):
        await provider.observe()
    took = time.monotonic() - began
    member.pool.thaw()
    ticking.cancel()
    assert 2.5 < took < 10, f"the deadline is 3 s, and it took {took:.1f} s"
    assert len(lags) > took * 20, f"the event loop had {len(lags)} turns in {took:.1f} s"
    assert (await provider.observe()).version.startswith("HTCondor 25")


async def test_a_submission_that_was_cut_off_before_its_files_is_made_again_and_runs_once(
    member: HTCondorMember,
) -> None:
    """The schedd has the jobs and waits for their files for ever; nobody knows of it."""
    provider = await member.provider()
    assert isinstance(provider, HTCondorProvider)
    order = member.order(Behaviour(0.3), range(2))
    described = jobs.description(order, provider._mark, provider._settings, "")
    await asyncio.to_thread(_cut_off, provider._helper, described)
    seen = (await provider.observe()).intents[order.intent.id]
    assert seen.pending == IndexSet.span(0, 2)
    while True:
        try:
            await provider.submit(order)
            break
        except OrderRefused as refusal:  # whoever was killed may have come through
            await asyncio.sleep(refusal.retry_after_s)
    seen = await until_intent(provider, order.intent.id, lambda s: len(s.succeeded) == 2, "both ended")
    assert seen.replicas == 2
    assert sorted(member.starts(order.intent.id)) == [0, 1]


def _cut_off(helper: Helper, described: dict[str, str]) -> None:
    words = [sys.executable, "-c", CUT_OFF, json.dumps(described)]
    subprocess.run(words, env=helper._environment(), check=True, timeout=60)


async def test_a_cancelled_replica_has_its_grace_to_end(member: HTCondorMember) -> None:
    provider = await member.provider()
    polite = scripted(member, "trap 'sleep 2; echo saved >> $W; exit 0' TERM; echo began >> $W; sleep 600 & wait")
    stubborn = scripted(member, "trap '' TERM; echo began >> $W; while :; do sleep 0.1; done")
    for order in (polite, stubborn):
        await provider.submit(order)
    for order in (polite, stubborn):
        await until_intent(provider, order.intent.id, lambda s: bool(s.running), "it runs")
        while told(member, order) != ["began"]:
            await asyncio.sleep(0.1)
    began = time.monotonic()
    await provider.cancel(polite.intent.id, 3.0)
    await provider.cancel(stubborn.intent.id, 3.0)
    while {polite.intent.id, stubborn.intent.id} & (await provider.observe()).intents.keys():
        await asyncio.sleep(0.2)
        assert time.monotonic() - began < 30
    assert told(member, polite) == ["began", "saved"]
    assert not member.running(stubborn.intent.id)


def _shown(pid: int) -> bytes:
    """What everybody can see of a process; nothing once it is gone."""
    directory = Path(f"/proc/{pid}")
    if not directory.exists():
        return b""
    return (directory / "cmdline").read_bytes() + (directory / "environ").read_bytes()


async def test_whoever_is_not_let_in_hears_why_and_no_secret_is_told(member: HTCondorMember, tmp_path: Path) -> None:
    provider = member.make_provider()
    secret = member.pool.token_file.read_text().strip()
    await provider.open()
    process = provider._helper._process
    assert process is not None
    assert secret.encode() not in _shown(process.pid)
    await provider.close()
    wrong = tmp_path / "wrong.token"
    wrong.touch(0o600)
    wrong.write_text(secret[:-6] + "AAAAAA")
    settings = replace(provider._settings, access=replace(provider._settings.access, token_file=str(wrong)))
    stranger = HTCondorProvider("member", settings, clock=provider._clock, federation="x")
    with pytest.raises(ClusterUnreachable) as refusal:
        await stranger.open()
    await stranger.close()
    assert "does not accept our token" in refusal.value.detail
    assert secret[:40] not in refusal.value.detail
    assert not _shown(process.pid), "the helper ends with its provider"
