"""Backfill on this machine: it runs at the lowest priority, and ends when others need its room."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

from federator.model.indexset import IndexSet
from federator.model.intent import Order
from federator.model.resources import CPU, Resources
from tests.clusters.local.machine import Machine, all_run, ended, flavor, says, shell
from tests.contracts.harness import free_cpu, observe, until, until_intent
from tests.patience import PATIENCE_S

FOUR_CORES = (flavor(1, Resources.of({CPU: 4000})),)


def filler(script: str, indices: range = range(4), grace_s: float = 5.0) -> Order:
    return replace(shell(script, indices, cpu=1000), backfill=True, grace_s=grace_s)


async def test_it_runs_at_the_lowest_priority_and_counts_as_free(machine: Machine) -> None:
    provider = await machine.open(flavors=FOUR_CORES)
    order = filler(machine.held)
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    pids = [event["pid"] for event in machine.events(order.intent.id, "started")]
    lowest = {(19, os.SCHED_IDLE)}
    async with asyncio.timeout(PATIENCE_S):  # a start is written down before the process has come so far
        while {(os.getpriority(os.PRIO_PROCESS, pid), os.sched_getscheduler(pid)) for pid in pids} != lowest:
            await asyncio.sleep(0.02)
    assert free_cpu(await observe(provider)) == 4000
    machine.let_go()
    assert (await ended(provider, order.intent.id)).succeeded == IndexSet.span(0, 4)


async def test_others_take_its_room_at_once_and_it_ends_within_its_grace(machine: Machine) -> None:
    """Two of four give way to two others, politely; the rest runs on, also after a restart of the daemon."""
    provider = await machine.open(flavors=FOUR_CORES)
    polite = filler(f"trap 'echo saved; exit 1' TERM; echo begun; {machine.held}")
    await provider.submit(polite)
    await all_run(provider, polite.intent.id)
    await says(provider, polite.intent.id, "begun")
    production = shell("sleep 0.1", range(2), cpu=1000)
    await provider.submit(production)
    assert (await ended(provider, production.intent.id)).succeeded == IndexSet.span(0, 2)
    seen = await until_intent(provider, polite.intent.id, lambda s: len(s.failed) == 2, "two gave way")
    assert {(failure.index, failure.reason, failure.own_fault) for failure in seen.failed} == {
        (2, "Preempted", False), (3, "Preempted", False),
    }  # fmt: skip
    again = await machine.open(flavors=FOUR_CORES)
    assert (await observe(again)).intents[polite.intent.id].running == IndexSet.span(0, 2)
    await again.cancel(polite.intent.id, 0.0)


async def test_who_comes_takes_the_node_whose_filler_loses_least(machine: Machine) -> None:
    """Two nodes of one core. The first has a filler that never saves, the second one that was handed in later; by habit
    who comes would be bound to the first."""
    provider = await machine.open(flavors=(flavor(2, Resources.of({CPU: 1000})),))
    older, younger = filler(machine.held, range(1)), filler(machine.held, range(1))
    for order in (older, younger):
        await provider.submit(order)
        await all_run(provider, order.intent.id)
    production = shell("true", range(1), cpu=1000)
    await provider.submit(production)
    await ended(provider, production.intent.id)
    seen = await until_intent(provider, younger.intent.id, lambda s: bool(s.failed), "the younger gave way")
    assert [failure.reason for failure in seen.failed] == ["Preempted"]
    assert (await observe(provider)).intents[older.intent.id].running == IndexSet.span(0, 1)
    for order in (older, younger):
        await provider.cancel(order.intent.id, 0.0)


async def test_one_that_does_not_listen_is_killed_when_its_grace_is_over(machine: Machine) -> None:
    provider = await machine.open(flavors=FOUR_CORES)
    deaf = filler("trap '' TERM; echo begun; while :; do sleep 0.1; done", grace_s=0.5)
    await provider.submit(deaf)
    await all_run(provider, deaf.intent.id)
    await says(provider, deaf.intent.id, "begun")
    await provider.submit(shell("true", range(4), cpu=1000))
    seen = await ended(provider, deaf.intent.id)
    assert {failure.reason for failure in seen.failed} == {"Preempted"}


async def test_one_that_finds_no_room_waits_below_all_others(machine: Machine) -> None:
    provider = await machine.open(flavors=FOUR_CORES)
    production = shell(machine.held, range(3), cpu=1000)
    await provider.submit(production)
    order = filler("true", range(2))
    await provider.submit(order)
    first = await until_intent(provider, order.intent.id, lambda s: len(s.succeeded) == 2, "one after the other")
    assert not first.failed
    machine.let_go()
    assert (await ended(provider, production.intent.id)).succeeded == IndexSet.span(0, 3)


async def test_what_it_used_is_measured_with_all_that_it_waited_for_and_production_is_not(machine: Machine) -> None:
    """One counts in a child and is told to end, one sleeps as long; what was counted before a restart is not again."""
    provider = await machine.open(flavors=FOUR_CORES)
    count = "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done)"
    works = filler(f"trap 'exit 1' TERM; {count}; echo done; {machine.held}", range(1))
    await provider.submit(works)
    await says(provider, works.intent.id, "done")
    sleeps = filler("sleep 0.5", range(1))
    production = shell(count, cpu=1000)
    for order in (sleeps, production):
        await provider.submit(order)
        await ended(provider, order.intent.id)
    await provider.cancel(works.intent.id, 5.0)
    await until(provider, lambda o: works.intent.id not in o.intents, "it is gone")
    used = sorted(cpu_s for workload, cpu_s in machine.measured if workload == works.intent.workload)
    assert len(used) == len(machine.measured) == 2, "production is not a filler"
    assert used[0] < 0.1 < used[1]
    await observe(await machine.open(flavors=FOUR_CORES))
    assert len(machine.measured) == 2
