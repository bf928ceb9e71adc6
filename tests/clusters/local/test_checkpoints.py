"""Checkpoints on this machine: fetched, kept and dropped by the supervisor, whatever ends."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from federator.clock import VirtualClock
from federator.clusters.local import layout
from federator.model.checkpoints import RENEW_S, Attempt, Checkpoints
from federator.model.indexset import IndexSet
from federator.model.intent import Order
from federator.model.resources import CPU, Resources
from federator.ports import OrderRefused
from tests.clusters.local.machine import Machine, all_run, ended, flavor, says, shell
from tests.contracts.harness import observe, until_intent

TWO_CORES = (flavor(1, Resources.of({CPU: 2000})),)
WRITE = 'cd "$FEDERATOR_CHECKPOINT_DIR"; w() { echo "$1" > s.part; mv s.part s; }; cat s 2>/dev/null'


def keeps(script: str, url: str, number: int = 1, *before: int, every_s: float = 3600.0, count: int = 2) -> Order:
    """Tasks that go on from the attempts before."""
    tried = tuple((earlier, IndexSet.span(0, 10)) for earlier in before)
    attempt = Attempt(Checkpoints(url, every_s, 10**6), "bag-1a", number, tried)
    order = shell(f"{WRITE}; {script}", range(count), cpu=1000)
    return replace(order, backfill=True, grace_s=10.0, attempt=attempt)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


async def test_what_gives_way_goes_on_elsewhere_and_leaves_nothing_when_it_is_complete(machine: Machine) -> None:
    kept = machine.tmp / "kept"
    provider = await machine.open(flavors=TWO_CORES)
    first = keeps(f"trap 'w saved; exit 0' TERM; echo begun; {machine.held}", f"file://{kept}", count=1)
    await provider.submit(first)
    await all_run(provider, first.intent.id)
    await says(provider, first.intent.id, "begun")
    await provider.submit(shell("true", range(2), cpu=1000))
    seen = await ended(provider, first.intent.id)
    assert {failure.reason for failure in seen.failed} == {"Preempted"}
    assert names(kept) == {"bag-1a-0-1-0"}

    second = keeps("exit 0", f"file://{kept}", 2, 1, count=1)
    await provider.submit(second)
    seen = await ended(provider, second.intent.id)
    assert seen.succeeded == IndexSet.span(0, 1)
    await says(provider, second.intent.id, "saved")
    await says(provider, second.intent.id, "federator: goes on from a checkpoint")
    await until_intent(provider, second.intent.id, lambda _: not names(kept), "nothing to be left")
    await observe(provider)
    assert sorted(machine.kept) == ["kept", "resumed"]


async def test_one_whose_supervisor_is_killed_goes_on_from_its_last_checkpoint(machine: Machine) -> None:
    kept = machine.tmp / "kept"
    provider = await machine.open(flavors=TWO_CORES)
    first = keeps(f"w one; echo begun; {machine.held}", f"file://{kept}", every_s=0.05, count=1)
    await provider.submit(first)
    await until_intent(provider, first.intent.id, lambda _: names(kept) == {"bag-1a-0-1-0"}, "a checkpoint")
    os.kill(machine.supervisor(first.intent.id), signal.SIGKILL)
    assert (await ended(provider, first.intent.id)).failed[0].reason == "NodeLost"
    second = keeps("exit 0", f"file://{kept}", 2, 1, count=1)
    await provider.submit(second)
    await says(provider, second.intent.id, "one")


async def test_what_is_cancelled_before_it_began_fetches_no_longer(machine: Machine) -> None:
    """Its store hangs: nobody answers on the port."""
    provider = await machine.open(flavors=TWO_CORES)
    order = keeps("exit 0", "http://127.0.0.1:9/kept", 2, 1)
    await provider.submit(order)
    await until_intent(provider, order.intent.id, lambda s: len(s.pending) == 2, "it waits for its store")
    await provider.cancel(order.intent.id, 0.0)
    await until_gone(machine, order.intent.id)


async def until_gone(machine: Machine, intent: str) -> None:
    provider = machine.providers[-1]
    while intent in (await observe(provider)).intents:
        await machine.clock.sleep(0.05)


async def test_signed_addresses_are_renewed_and_an_unknown_store_is_refused(machine: Machine) -> None:
    machine.clock = clock = VirtualClock(1000.0)
    asked: list[str] = []

    def sign(method: str, place: str) -> str:
        asked.append(method)
        return f"file://{machine.tmp}/{len(asked)}"

    order = keeps(machine.held, "s3://bucket/kept", count=1)
    with pytest.raises(OrderRefused, match="there are no credentials for s3://bucket"):
        await (await machine.open(flavors=TWO_CORES)).submit(order)
    assert order.intent.id not in (await observe(machine.providers[-1])).intents

    provider = await machine.open(sign, flavors=TWO_CORES)
    await provider.submit(order)
    path = str(machine.directory / order.intent.id / layout.ADDRESSES)
    first = layout.read_json(path)
    await observe(provider)
    assert layout.read_json(path) == first
    await clock.advance(RENEW_S)
    await observe(provider)
    assert layout.read_json(path) != first
    assert os.stat(path).st_mode & 0o077 == 0
