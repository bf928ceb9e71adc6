"""Every fault that can be ordered of a fake cluster does what it says, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest

from federator.clock import VirtualClock
from federator.clusters.fake import FakeCluster, FakeProvider, FakeSettings
from federator.model.cluster import Flavor, NodeGroup
from federator.model.indexset import IndexSet
from federator.model.intent import WHOLE, Container, Intent, Order
from federator.model.resources import CPU, Resources
from federator.model.workload import Lifetime, Role
from federator.ports import ClusterUnreachable, OrderRefused
from tests.contracts.harness import free_cpu, observe

_numbers = itertools.count()


def flavor(count: int = 2, cpu: int = 4000, *, max_count: int = 0, boot_time_s: float = 0.0) -> Flavor:
    size = Resources.of({CPU: cpu})
    nodes = (NodeGroup(size, count),)
    return Flavor("standard", count, size, nodes, max_count=max_count, boot_time_s=boot_time_s)


def fake(clock: VirtualClock, **settings: object) -> FakeProvider:
    settings = {"flavors": (flavor(),), "run_time_s": 10.0, **settings}
    return FakeProvider("pretended", FakeSettings(**settings), clock=clock)  # type: ignore[arg-type]


def order(
    indices: Iterable[int] = range(2),
    *,
    cpu: int = 1000,
    lifetime: Lifetime = Lifetime.BATCH,
    time_limit_s: float | None = None,
    **env: str,
) -> Order:
    wanted = IndexSet.of(indices)
    role = Role("", len(wanted), Resources.of({CPU: cpu}))
    intent = Intent(f"i-{next(_numbers)}", "work", "uid", "", "pretended", wanted)
    container = Container(image="none", env=env)
    return Order(intent, lifetime, (role,), "q", container=container, time_limit_s=time_limit_s, spec_hash="first")


async def test_replicas_run_in_the_clocks_time_and_no_other() -> None:
    clock = VirtualClock()
    provider = fake(clock, start_delay_s=3.0)
    one, quick = order(), order(range(1), FAKE_RUN_S="2")
    await provider.submit(one)
    await provider.submit(quick)
    story = []
    for _ in range(14):
        seen = await observe(provider)
        story.append((len(seen.intents[one.intent.id].running), len(seen.intents[quick.intent.id].succeeded)))
        await clock.advance(1.0)
    assert story == [(0, 0)] * 3 + [(2, 0)] * 2 + [(2, 1)] * 8 + [(0, 1)]


async def test_who_waits_for_changes_is_woken_when_something_happens_and_not_before() -> None:
    clock = VirtualClock()
    provider = fake(clock)
    await provider.submit(order())
    await observe(provider)
    waiting = asyncio.ensure_future(provider.changed())
    await clock.advance(9.9)
    assert not waiting.done()
    await clock.advance(0.1)
    assert waiting.done()


async def test_a_cluster_that_went_away_answers_nothing_and_comes_back_with_what_it_ran() -> None:
    clock = VirtualClock()
    provider = fake(clock)
    one = order(FAKE_RUN_S="60")
    await provider.submit(one)
    await observe(provider)
    waiting = asyncio.ensure_future(provider.changed())
    await clock.settle()
    provider.go_away("a cable was cut")
    await clock.settle()
    assert waiting.done(), "that it went away is a change"
    for call in (provider.observe, provider.changed, lambda: provider.submit(one), lambda: provider.cancel("x")):
        with pytest.raises(ClusterUnreachable, match="pretended: a cable was cut"):
            await call()
    await clock.advance(30)
    provider.come_back()
    seen = (await observe(provider)).intents[one.intent.id]
    assert seen.running == IndexSet.span(0, 2)
    assert list(provider.cluster.starts) == [(one.intent.id, IndexSet.span(0, 2))]


async def test_an_outage_can_be_planned() -> None:
    clock = VirtualClock()
    provider = fake(clock)
    provider.away_between(10, 20)
    answers = []
    for _ in range(25):
        try:
            await provider.observe()
            answers.append(True)
        except ClusterUnreachable:
            answers.append(False)
        await clock.advance(1)
    assert answers == [True] * 10 + [False] * 10 + [True] * 5


async def test_a_lost_answer_is_lost_after_the_deed() -> None:
    provider = fake(VirtualClock())
    one = order()
    provider.lose_answers(2)
    with pytest.raises(ClusterUnreachable, match="connection broke"):
        await provider.submit(one)
    assert (await observe(provider)).intents[one.intent.id].running
    with pytest.raises(ClusterUnreachable, match="connection broke"):
        await provider.cancel(one.intent.id)
    assert not (await observe(provider)).intents
    await provider.cancel(one.intent.id)


async def test_a_slow_cluster_answers_late_and_a_slower_one_not_at_all() -> None:
    clock = VirtualClock()
    provider = fake(clock, latency_s=4.0)
    one = order()
    call = asyncio.ensure_future(provider.submit(one))
    await clock.advance(3.9)
    assert not call.done()
    await clock.advance(0.1)
    assert call.done()
    provider.slow_down(60.0)
    two = order()
    call = asyncio.ensure_future(provider.submit(two))
    await clock.advance(10.0)
    with pytest.raises(ClusterUnreachable, match="no answer within 10 s"):
        await call
    provider.slow_down(0.0)
    assert {one.intent.id, two.intent.id} == set((await observe(provider)).intents)


async def test_orders_can_be_refused_for_a_while_or_for_good() -> None:
    provider = fake(VirtualClock())
    provider.refuse(OrderRefused("QuotaExceeded", "no more", permanent=False, retry_after_s=5))
    provider.refuse(OrderRefused("AdmissionDenied", "never", permanent=True))
    one = order()
    for permanent in (False, True):
        with pytest.raises(OrderRefused) as refusal:
            await provider.submit(one)
        assert refusal.value.permanent is permanent
    await provider.submit(one)
    every_third = fake(VirtualClock(), refuse_every=3, flavors=None)
    outcomes = []
    for _ in range(6):
        try:
            await every_third.submit(order())
            outcomes.append(True)
        except OrderRefused:
            outcomes.append(False)
    assert outcomes == [True, True, False, True, True, False]


async def test_an_order_that_arrives_twice_runs_once_but_comes_back_after_a_cancel() -> None:
    """As on Kubernetes: a cluster remembers nothing of what was deleted, and the reconciler has to notice."""
    clock = VirtualClock()
    provider = fake(clock)
    provider.repeat_orders(2, after_s=5.0)
    kept, cancelled = order(), order()
    await provider.submit(kept)
    await provider.submit(cancelled)
    await provider.cancel(cancelled.intent.id)
    assert set((await observe(provider)).intents) == {kept.intent.id}
    await clock.advance(5)
    assert set((await observe(provider)).intents) == {kept.intent.id, cancelled.intent.id}
    assert [name for name, _ in provider.cluster.starts].count(kept.intent.id) == 1


async def test_late_news_are_late_but_what_was_sent_shows_at_once() -> None:
    clock = VirtualClock()
    provider = fake(clock, observe_lag_s=5.0)
    one = order()
    await provider.submit(one)
    assert one.intent.id in (await observe(provider)).intents
    await clock.advance(14.9)
    assert (await observe(provider)).intents[one.intent.id].running
    await clock.advance(0.2)
    assert (await observe(provider)).intents[one.intent.id].succeeded == IndexSet.span(0, 2)


async def test_replicas_crash_are_evicted_and_lose_their_node() -> None:
    clock = VirtualClock()
    provider = fake(clock)
    one = order(range(8))
    await provider.submit(one)
    provider.crash(one.intent.id, IndexSet.of((1,)), exit_code=9)
    provider.evict(one.intent.id, IndexSet.of((2,)))
    provider.lose_node("standard-1")
    observation = await observe(provider)
    seen = observation.intents[one.intent.id]
    told = {failure.index: (failure.reason, failure.exit_code, failure.own_fault) for failure in seen.failed}
    assert told[1] == ("Error", 9, True)
    assert told[2] == ("Evicted", None, False)
    lost = [failure for failure in seen.failed if failure.reason == "NodeLost"]
    assert lost
    assert {failure.node for failure in lost} == {"standard-1"}
    assert observation.flavors is not None
    assert observation.flavors[0].count == 1
    assert free_cpu(observation) == 4000 - 1000 * len(seen.running)
    await clock.advance(10)
    assert (await observe(provider)).intents[one.intent.id].succeeded == seen.running
    provider.mend_node("standard-1")
    assert free_cpu(await observe(provider)) == 8000


async def test_a_service_outlives_crashes_evictions_and_nodes() -> None:
    clock = VirtualClock()
    provider = fake(clock)
    one = order(range(4), lifetime=Lifetime.SERVICE)
    await provider.submit(one)
    provider.crash(one.intent.id, IndexSet.of((1,)))
    provider.lose_node("standard-0")
    assert set(provider.cluster.intents[one.intent.id].seats) == {"standard-1"}
    await clock.advance(2)
    observation = await observe(provider)
    assert observation.intents[one.intent.id].running == IndexSet.span(0, 4)
    assert free_cpu(observation) == 0


async def test_chance_and_fixed_parts_fail_as_told_and_one_seed_tells_one_story() -> None:
    def settings(seed: int) -> dict[str, object]:
        return {"fail_every": 4, "spread_run_time": 0.5, "seed": seed, "flavors": (flavor(20, 4000),)}

    async def story(seed: int) -> list[tuple[int, int]]:
        clock = VirtualClock()
        provider = fake(clock, **settings(seed))
        one = order(range(40))
        await provider.submit(one)
        told = []
        for _ in range(40):
            seen = (await observe(provider)).intents[one.intent.id]
            told.append((len(seen.succeeded), len(seen.failed)))
            await clock.advance(0.5)
        return told

    first = await story(1)
    assert first[-1] == (30, 10)
    assert first == await story(1)
    assert first != await story(2)


async def test_a_time_limit_ends_replicas() -> None:
    clock = VirtualClock()
    provider = fake(clock, run_time_s=None)
    one = order(time_limit_s=7.0)
    await provider.submit(one)
    await clock.advance(7)
    seen = (await observe(provider)).intents[one.intent.id]
    assert [(failure.index, failure.reason) for failure in seen.failed] == [
        (0, "DeadlineExceeded"), (1, "DeadlineExceeded"),
    ]  # fmt: skip


async def test_what_finds_no_room_waits_and_starts_oldest_first() -> None:
    clock = VirtualClock()
    provider = fake(clock, flavors=(flavor(1, 2000),))
    orders = [order() for _ in range(3)]
    for one in orders:
        await provider.submit(one)
    story = []
    for _ in range(4):
        seen = (await observe(provider)).intents
        story.append([len(seen[one.intent.id].running) for one in orders])
        await clock.advance(10)
    assert story == [[2, 0, 0], [0, 2, 0], [0, 0, 2], [0, 0, 0]]


async def test_nodes_boot_for_what_waits_up_to_the_most_there_may_be() -> None:
    clock = VirtualClock()
    provider = fake(clock, flavors=(flavor(1, 2000, max_count=3, boot_time_s=60.0),), run_time_s=1000.0)
    one = order(range(10))
    await provider.submit(one)
    await clock.advance(59)
    assert len((await observe(provider)).intents[one.intent.id].running) == 2
    await clock.advance(1)
    observation = await observe(provider)
    assert len(observation.intents[one.intent.id].running) == 6
    assert observation.flavors is not None
    assert (observation.flavors[0].count, observation.flavors[0].max_count) == (3, 3)


async def test_the_roles_of_one_manifest_take_their_own_room() -> None:
    clock = VirtualClock()
    provider = fake(clock)
    roles = (Role("launcher", 1, Resources.of({CPU: 500})), Role("worker", 3, Resources.of({CPU: 2000})))
    intent = Intent("i-mpi", "work", "uid", WHOLE, "pretended", IndexSet.span(0, 4))
    await provider.submit(Order(intent, Lifetime.BATCH, roles, "q", manifest={"kind": "MPIJob"}))
    observation = await observe(provider)
    assert observation.intents["i-mpi"].bound == 4
    assert free_cpu(observation) == 8000 - 6500


async def test_removal_can_take_time_and_uses_its_room_until_then() -> None:
    clock = VirtualClock()
    provider = fake(clock, stop_time_s=20.0, run_time_s=None)
    one = order()
    await provider.submit(one)
    await provider.cancel(one.intent.id, grace_s=5.0)
    observation = await observe(provider)
    assert observation.intents[one.intent.id].leaving
    assert free_cpu(observation) == 6000
    with pytest.raises(OrderRefused, match="is being removed"):
        await provider.submit(one)
    await clock.advance(5)
    assert not (await observe(provider)).intents


async def test_two_hundred_clusters_with_two_thousand_replicas_each_cost_little() -> None:
    """Counted in what is kept, not in seconds: no task, no future event and no object for a single replica."""
    clock = VirtualClock()
    settings = FakeSettings(flavors=(flavor(10, 256_000),), run_time_s=3600.0)
    provider = FakeProvider("big", settings, clock=clock, cluster=FakeCluster(settings))
    tasks = len(asyncio.all_tasks())
    for _ in range(20):
        await provider.submit(order(range(100)))
    observation = await observe(provider)
    assert sum(len(seen.running) for seen in observation.intents.values()) == 2000
    assert len(asyncio.all_tasks()) == tasks
    assert len(provider.cluster.timeline) == 20
    assert sum(len(intent.seats) for intent in provider.cluster.intents.values()) <= 200
    again = await observe(provider)
    assert all(again.intents[name] is seen for name, seen in observation.intents.items()), "unchanged, so not made anew"
    assert again.flavors is observation.flavors


async def test_who_comes_takes_the_node_whose_fillers_lose_least() -> None:
    """Both nodes are filled, the second later; by habit who comes would be bound to the first."""
    clock = VirtualClock()
    provider = fake(clock, flavors=(flavor(2, 2000),), run_time_s=1000.0)
    fillers = [replace(order(range(1), cpu=2000), backfill=True) for _ in range(2)]
    for one in fillers:
        await provider.submit(one)
        await clock.advance(10.0)
    await provider.submit(order(range(1)))
    await clock.advance(1.0)
    seen = (await observe(provider)).intents
    assert [len(seen[one.intent.id].failed) for one in fillers] == [0, 1]
