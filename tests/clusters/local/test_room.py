"""The pretended nodes of a local cluster, and services on them."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

from federator.model.cluster import Binding
from federator.model.indexset import IndexSet
from federator.model.intent import Container
from federator.model.resources import CPU, MEMORY, Resources
from federator.model.selectors import Taint, Toleration
from federator.model.workload import Lifetime
from tests.clusters.local.machine import GIB, Machine, all_run, ended, flavor, says, shell
from tests.contracts.harness import free_cpu, observe, until, until_intent
from tests.patience import PATIENCE_S

SMALL = Resources.of({CPU: 2000, MEMORY: 4 * GIB})


async def test_without_written_flavors_the_cluster_is_this_machine(machine: Machine) -> None:
    observation = await observe(await machine.open(flavors=()))
    assert observation.flavors is not None
    (one,) = observation.flavors
    assert (one.name, one.count) == ("machine", 1)
    assert one.allocatable[CPU] >= 1000
    assert one.allocatable[MEMORY] > GIB // 4


async def test_replicas_wait_for_room_and_no_more_run_than_fit(machine: Machine) -> None:
    provider = await machine.open(flavors=(flavor(1, SMALL),))
    log = machine.tmp / "log"
    order = shell(f"echo + >> {log}; {machine.held}; echo - >> {log}", range(6), cpu=1000)
    await provider.submit(order)
    seen = (await observe(provider)).intents[order.intent.id]
    assert seen.bound == 2
    assert {note.reason for note in seen.notes} == {"Unschedulable"}
    assert [note.index for note in seen.notes] == [2, 3, 4, 5]
    await until(provider, lambda _: log.exists() and log.read_text() == "+\n+\n", "both that fit run")
    machine.let_go()
    assert (await ended(provider, order.intent.id)).succeeded == IndexSet.span(0, 6)
    running = peak = 0
    for sign in log.read_text().split():
        running += 1 if sign == "+" else -1
        peak = max(peak, running)
    assert peak == 2, "as many as fit at one time, and no more"


async def test_where_cores_are_whole_a_part_of_one_takes_all_of_it(machine: Machine) -> None:
    """Also after a restart, and until it ends."""
    provider = await machine.open(flavors=(flavor(1, SMALL),), whole_cores=True)
    order = shell(machine.held, range(3), cpu=500)
    await provider.submit(order)
    assert (await observe(provider)).intents[order.intent.id].bound == 2
    again = await machine.open(flavors=(flavor(1, SMALL),), whole_cores=True)
    observation = await observe(again)
    assert (observation.intents[order.intent.id].bound, free_cpu(observation)) == (2, 0)
    machine.let_go()
    await ended(again, order.intent.id)
    await until(again, lambda seen: free_cpu(seen) == 2000, "all to be free again")


async def test_the_oldest_order_gets_the_room_that_appears(machine: Machine) -> None:
    provider = await machine.open(flavors=(flavor(1, SMALL),))
    first, second, third = (shell("sleep 600", cpu=2000) for _ in range(3))
    for order in (first, second, third):
        await provider.submit(order)
    await provider.cancel(first.intent.id, 0.1)
    await all_run(provider, second.intent.id)
    assert (await observe(provider)).intents[third.intent.id].pending


async def test_spread_uses_all_nodes_and_pack_fills_one(machine: Machine) -> None:
    for binding, nodes in ((Binding.SPREAD, {"standard-0": 1, "standard-1": 1}), (Binding.PACK, {"standard-0": 2})):
        provider = await machine.open(binding=binding, directory=machine.tmp / "cluster" / str(binding))
        order = shell("exit 1", range(2))
        await provider.submit(order)
        failed = (await ended(provider, order.intent.id)).failed
        assert {node: sum(f.node == node for f in failed) for node in {f.node for f in failed}} == nodes


async def test_only_allowed_flavors_and_tolerated_taints_are_used(machine: Machine) -> None:
    tainted = replace(flavor(1, SMALL, "gpu"), taints=(Taint("gpu", "yes"),))
    provider = await machine.open(flavors=(flavor(1, SMALL, "plain"), tainted, flavor(1, SMALL, "other")))
    free, limited, tolerant = shell("exit 1", range(4)), shell("exit 1"), shell("exit 1")
    limited = replace(limited, flavors=("other",))
    role = replace(tolerant.roles[0], tolerations=(Toleration("gpu", "Exists"),))
    tolerant = replace(tolerant, roles=(role,), flavors=("gpu",))
    nodes = []
    for order in (free, limited, tolerant):
        await provider.submit(order)
        nodes.append({failure.node for failure in (await ended(provider, order.intent.id)).failed})
    assert nodes == [{"plain-0", "other-0"}, {"other-0"}, {"gpu-0"}]


async def test_a_restart_of_the_daemon_moves_nobody_to_another_node(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("sleep 600", range(3), cpu=30_000)
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    before = await observe(provider)
    again = await observe(await machine.open())
    assert again.flavors == before.flavors
    assert again.intents == before.intents


async def test_room_is_used_until_a_cancelled_replica_has_really_ended(machine: Machine) -> None:
    provider = await machine.open(flavors=(flavor(1, SMALL),))
    order = shell(f"trap '' TERM; echo ready; {machine.held}", cpu=2000)
    await provider.submit(order)
    await says(provider, order.intent.id, "ready")
    await provider.cancel(order.intent.id, PATIENCE_S)
    observation = await observe(provider)
    assert observation.intents[order.intent.id].leaving
    assert free_cpu(observation) == 0
    machine.let_go()
    await until(provider, lambda o: free_cpu(o) == 2000, "the room is free")


async def test_a_service_that_keeps_ending_is_started_ever_more_rarely_and_says_why(machine: Machine) -> None:
    provider = await machine.open(backoff_s=0.2)
    order = shell("echo no database; exit 7", lifetime=Lifetime.SERVICE)
    await provider.submit(order)
    await until(provider, lambda _: len(machine.events(order.intent.id, "started")) >= 4, "it was started four times")
    starts = [event["at_s"] for event in machine.events(order.intent.id, "started")]
    waits = [later - sooner for sooner, later in itertools.pairwise(starts)]
    for wait_s, least_s in zip(waits, (0.2, 0.4, 0.8), strict=False):
        assert wait_s >= least_s, "a slow machine only makes it longer"
    seen = await until_intent(provider, order.intent.id, lambda s: bool(s.notes), "it says why")
    assert seen.notes[0].reason == "CrashLoopBackOff"
    assert "exited with 7: no database" in seen.notes[0].message
    assert seen.bound == 1


async def test_a_service_is_exchanged_one_by_one(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("sleep 600", range(3), lifetime=Lifetime.SERVICE)
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    container = Container(command=("sh", "-c", "echo new; sleep 601"))
    await provider.submit(replace(order, spec_hash="second", container=container))
    fewest = 3
    while len(machine.events(order.intent.id, "started")) < 6:
        fewest = min(fewest, len((await observe(provider)).intents[order.intent.id].running))
        await asyncio.sleep(0.02)
    assert fewest >= 2
    seen = await all_run(provider, order.intent.id)
    assert len(seen.running) == 3
    assert {event["hash"] for event in machine.events(order.intent.id, "started")[-3:]} == {"second"}


async def test_a_service_whose_replicas_grow_takes_the_new_room_and_gives_all_of_it_back(machine: Machine) -> None:
    provider = await machine.open(flavors=(flavor(2, SMALL),))
    order = shell("sleep 600", range(2), cpu=500, lifetime=Lifetime.SERVICE)
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    bigger = replace(order.roles[0], requests=Resources.of({CPU: 1500}))
    await provider.submit(replace(order, roles=(bigger,), spec_hash="second"))
    assert free_cpu(await observe(provider)) == 4000 - 2 * 1500
    await provider.cancel(order.intent.id, 0.1)
    await until(provider, lambda o: free_cpu(o) == 4000, "all is free")


async def test_a_service_waits_with_its_exchange_while_the_new_spec_does_not_run(machine: Machine) -> None:
    provider = await machine.open()
    order = shell("sleep 600", range(3), lifetime=Lifetime.SERVICE)
    await provider.submit(order)
    await all_run(provider, order.intent.id)
    await provider.submit(replace(order, spec_hash="second", container=Container(command=("no-such-command",))))
    seen = await until_intent(provider, order.intent.id, lambda s: bool(s.notes), "it says why")
    assert seen.notes[0].reason == "CannotRun"
    await asyncio.sleep(1.5)
    assert len((await observe(provider)).intents[order.intent.id].running) == 2
