"""The contract: ``ports.ClusterProvider`` in claims. ``test_KIND.py`` runs it against each kind of cluster."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from federator.model.indexset import IndexSet
from federator.model.intent import Container, ObservedIntent
from federator.model.resources import CPU
from federator.model.workload import Lifetime
from federator.ports import ClusterProvider, ClusterUnreachable, NoLogs, OrderRefused
from tests.contracts.harness import Behaviour, Member, free_cpu, observe, scaled, until, until_intent

FOREVER = Behaviour()


class BatchContract:
    """What every provider promises. Subclasses give the fixture ``member``."""

    async def test_it_tells_its_flavors_and_what_is_free_on_their_nodes(self, member: Member) -> None:
        observation = await observe(await member.provider())
        assert observation.flavors
        assert all(flavor.count > 0 and flavor.allocatable[CPU] > 0 for flavor in observation.flavors)
        assert free_cpu(observation) > 0
        assert "container" in observation.abilities
        assert observation.version

    async def test_an_order_runs_to_its_success(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(Behaviour(member.short_s), range(3))
        await provider.submit(order)
        seen = await self.ended(member, provider, order.intent.id)
        assert seen.succeeded == IndexSet.span(0, 3)
        assert not seen.failed
        assert not seen.bound
        assert seen.started_s
        assert sorted(member.starts(order.intent.id)) == [0, 1, 2]

    async def test_an_observation_after_submit_shows_the_intent(self, member: Member) -> None:
        provider = await member.provider()
        for _ in range(5):
            order = member.order(FOREVER, range(2))
            await provider.submit(order)
            seen = (await observe(provider)).intents[order.intent.id]
            assert (seen.pending | seen.running) == IndexSet.span(0, 2)
            assert seen.spec_hash == "first"
            assert seen.replicas == 2
            assert not seen.leaving

    async def test_the_same_order_sent_again_runs_nothing_again(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(Behaviour(member.short_s), range(3))
        await asyncio.gather(provider.submit(order), provider.submit(order))
        await provider.submit(order)
        await self.ended(member, provider, order.intent.id)
        await provider.submit(order)  # after its end, too
        seen = (await observe(provider)).intents[order.intent.id]
        assert seen.succeeded == IndexSet.span(0, 3)
        await asyncio.sleep(member.short_s)
        assert sorted(member.starts(order.intent.id)) == [0, 1, 2]

    async def test_each_replica_is_told_its_own_index(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(Behaviour(member.short_s), (3, 4, 9))
        await provider.submit(order)
        seen = await self.ended(member, provider, order.intent.id)
        assert seen.succeeded == IndexSet.of((3, 4, 9))
        assert sorted(member.starts(order.intent.id)) == [3, 4, 9]

    async def test_a_failure_gives_its_exit_code_and_a_reason(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(Behaviour(member.short_s, exit_code=3), (2, 5))
        await provider.submit(order)
        seen = await self.ended(member, provider, order.intent.id)
        assert not seen.succeeded
        assert [failure.index for failure in seen.failed] == [2, 5]
        for failure in seen.failed:
            assert failure.exit_code == 3
            assert failure.reason == "Error"
            assert failure.own_fault
        assert sorted(member.starts(order.intent.id)) == [2, 5], "whether it is tried again is not the cluster's to say"

    async def test_cancel_removes_everything_and_may_be_repeated(self, member: Member) -> None:
        provider = await member.provider()
        orders = [member.order(FOREVER, range(3)), member.order(Behaviour(member.short_s), range(2))]
        for order in orders:
            await provider.submit(order)
        await self.all_run(member, provider, orders[0].intent.id, 3)
        await self.ended(member, provider, orders[1].intent.id)
        for order in orders:
            await provider.cancel(order.intent.id, 1.0)
            await provider.cancel(order.intent.id, 1.0)
            await self.gone(member, provider, order.intent.id)
            assert member.running(order.intent.id) == []
            await provider.cancel(order.intent.id, 1.0)

    async def test_cancel_of_an_unknown_intent_does_nothing(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(FOREVER)
        await provider.submit(order)
        await provider.cancel("c-never-heard-of", 1.0)
        await provider.cancel("c-never-heard-of", 1.0, IndexSet.of((0,)))
        await self.all_run(member, provider, order.intent.id, 1)

    async def test_cancel_of_some_replicas_leaves_the_others_alone(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(FOREVER, range(4))
        await provider.submit(order)
        await self.all_run(member, provider, order.intent.id, 4)
        for _ in range(2):
            await provider.cancel(order.intent.id, 1.0, IndexSet.of((1, 3)))
        left = IndexSet.of((0, 2))
        await self.shows(member, provider, order.intent.id, lambda s: s.running == left and not s.pending, "two left")
        intent = replace(order.intent, withdrawn=IndexSet.of((1, 3)))
        await provider.submit(replace(order, intent=intent))  # a repeat brings none of them back
        await asyncio.sleep(member.short_s)
        seen = (await observe(provider)).intents[order.intent.id]
        assert (seen.pending | seen.running) == left
        assert sorted(member.running(order.intent.id)) == [0, 2]
        assert sorted(member.starts(order.intent.id)) == [0, 1, 2, 3]

    async def test_replicas_withdrawn_before_the_order_was_sent_never_start(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(Behaviour(member.short_s), range(4))
        order = replace(order, intent=replace(order.intent, withdrawn=IndexSet.of((0, 2))))
        await provider.submit(order)
        seen = await self.ended(member, provider, order.intent.id)
        assert seen.succeeded == IndexSet.of((1, 3))
        assert sorted(member.starts(order.intent.id)) == [1, 3]

    async def test_the_logs_of_a_replica_are_its_own(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(Behaviour(member.short_s), (4, 7))
        await provider.submit(order)
        await self.ended(member, provider, order.intent.id)
        for index in (4, 7):
            text = b"".join([piece async for piece in provider.logs(order.intent.id, index)]).decode()
            assert f"replica {index}" in text
            tail = b"".join([piece async for piece in provider.logs(order.intent.id, index, tail_lines=1)]).decode()
            assert tail
            assert text.endswith(tail)
            assert len(tail.splitlines()) == 1

    async def test_logs_can_be_followed_to_the_end(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(Behaviour(member.short_s * 4))
        await provider.submit(order)
        await self.shows(member, provider, order.intent.id, lambda s: not s.pending, "it has begun")
        async with asyncio.timeout(member.patience_s):
            pieces = [piece async for piece in provider.logs(order.intent.id, 0, follow=True)]
        assert b"replica 0" in b"".join(pieces)
        await self.ended(member, provider, order.intent.id)

    async def test_a_replica_that_has_not_started_has_no_logs(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(FOREVER)
        await provider.submit(order)
        for intent_id, index in ((order.intent.id, 77), ("c-never-heard-of", 0)):
            with pytest.raises(NoLogs) as refusal:
                [piece async for piece in provider.logs(intent_id, index)]
            assert str(refusal.value)

    async def test_a_cluster_that_does_not_answer_is_unreachable_until_it_does(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(FOREVER)
        await provider.submit(order)
        await self.all_run(member, provider, order.intent.id, 1)
        await member.cut_off()
        await self.unreachable(member, provider)
        for call in (
            lambda: provider.submit(member.order(FOREVER)),
            lambda: provider.cancel(order.intent.id, 1.0),
        ):
            with pytest.raises(ClusterUnreachable) as trouble:
                await call()
            assert trouble.value.cluster == provider.name
        await member.reconnect()
        await self.reachable(member, provider)
        await self.all_run(member, provider, order.intent.id, 1)
        assert member.starts(order.intent.id) == [0]

    async def test_free_amounts_drop_while_replicas_run_and_return_afterwards(self, member: Member) -> None:
        provider = await member.provider()
        before = free_cpu(await observe(provider))
        cancelled, ended = member.order(FOREVER, range(2), cpu=1000), member.order(Behaviour(member.short_s), cpu=1000)
        await provider.submit(cancelled)
        await self.all_run(member, provider, cancelled.intent.id, 2)
        observation = await until(provider, lambda o: free_cpu(o) <= before - 2000, "room is used", member.patience_s)
        assert observation.intents[cancelled.intent.id].bound == 2
        await provider.cancel(cancelled.intent.id, 1.0)
        await provider.submit(ended)
        await self.ended(member, provider, ended.intent.id)
        await until(provider, lambda o: free_cpu(o) >= before, "the room is free again", member.patience_s)

    async def test_what_finds_no_node_waits_and_says_so(self, member: Member) -> None:
        provider = await member.provider()
        flavors = (await observe(provider)).flavors or ()
        too_big = max(flavor.allocatable[CPU] for flavor in flavors) + 1000
        order = member.order(FOREVER, range(2), cpu=too_big)
        await provider.submit(order)
        seen = await self.shows(member, provider, order.intent.id, lambda s: len(s.notes) == 2, "it says why")
        assert seen.pending == IndexSet.span(0, 2)
        assert not seen.bound
        assert {note.reason for note in seen.notes} == {"Unschedulable"}
        assert all(note.message for note in seen.notes)

    async def test_another_provider_of_the_same_cluster_sees_the_same_intents(self, member: Member) -> None:
        """As after a crash: the first one is not even closed."""
        first = await member.provider()
        orders = [member.order(FOREVER, (1, 6)), member.order(Behaviour(member.short_s, exit_code=4))]
        for order in orders:
            await first.submit(order)
        await self.all_run(member, first, orders[0].intent.id, 2)
        await self.ended(member, first, orders[1].intent.id)
        second = await member.provider()
        for order in orders:  # it cannot know whether they were sent
            await second.submit(order)
        await self.all_run(member, second, orders[0].intent.id, 2)
        seen = (await observe(second)).intents[orders[1].intent.id]
        assert [(failure.index, failure.exit_code) for failure in seen.failed] == [(0, 4)]
        assert sorted(member.starts(orders[0].intent.id)) == [1, 6]
        assert member.starts(orders[1].intent.id) == [0]

    async def test_a_replica_over_its_time_limit_is_stopped(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(FOREVER, time_limit_s=1.0)
        await provider.submit(order)
        seen = await self.ended(member, provider, order.intent.id)
        assert [(failure.index, failure.reason) for failure in seen.failed] == [(0, "DeadlineExceeded")]
        assert member.running(order.intent.id) == []

    async def test_close_leaves_things_running(self, member: Member) -> None:
        first = await member.provider()
        order = member.order(FOREVER, range(2))
        await first.submit(order)
        await self.all_run(member, first, order.intent.id, 2)
        await first.close()
        assert sorted(member.running(order.intent.id)) == [0, 1]
        await self.all_run(member, await member.provider(), order.intent.id, 2)
        assert sorted(member.starts(order.intent.id)) == [0, 1]

    async def test_news_wake_who_waits_for_them(self, member: Member) -> None:
        provider = await member.provider()
        await observe(provider)
        order = member.order(Behaviour(member.short_s))
        await provider.submit(order)
        async with asyncio.timeout(member.patience_s):
            while not (await observe(provider)).intents[order.intent.id].succeeded:
                await provider.changed()

    async def test_an_order_that_says_nothing_to_run_is_refused_for_good(self, member: Member) -> None:
        provider = await member.provider()
        order = replace(member.order(FOREVER), container=Container())
        with pytest.raises(OrderRefused) as refusal:
            await provider.submit(order)
        assert refusal.value.permanent
        assert refusal.value.reason == "Invalid"
        assert order.intent.id not in (await observe(provider)).intents

    # How the claims wait

    async def shows(self, member, provider, intent_id, holds, what) -> ObservedIntent:
        return await until_intent(provider, intent_id, holds, what, member.patience_s)

    async def ended(self, member: Member, provider: ClusterProvider, intent_id: str) -> ObservedIntent:
        return await self.shows(member, provider, intent_id, lambda s: not s.pending and not s.running, "all ended")

    async def all_run(self, member: Member, provider: ClusterProvider, intent_id: str, count: int) -> ObservedIntent:
        def holds(seen: ObservedIntent) -> bool:
            return len(seen.running) == count and not seen.pending and len(member.running(intent_id)) == count

        return await self.shows(member, provider, intent_id, holds, f"{count} run")

    async def gone(self, member: Member, provider: ClusterProvider, intent_id: str) -> None:
        await until(provider, lambda o: intent_id not in o.intents, f"{intent_id} is gone", member.patience_s)

    async def unreachable(self, member: Member, provider: ClusterProvider) -> None:
        """It may take its time to notice."""
        async with asyncio.timeout(member.patience_s):
            while True:
                try:
                    await provider.observe()
                except ClusterUnreachable:
                    return
                await asyncio.sleep(0.1)

    async def reachable(self, member: Member, provider: ClusterProvider) -> None:
        async with asyncio.timeout(member.patience_s):
            while True:
                try:
                    await provider.observe()
                except ClusterUnreachable:
                    await asyncio.sleep(0.1)
                else:
                    return


class ProviderContract(BatchContract):
    """What every provider promises that runs services too."""

    async def test_it_says_that_it_runs_services(self, member: Member) -> None:
        assert "service" in (await observe(await member.provider())).abilities

    async def test_a_service_follows_its_number(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(FOREVER, range(2), lifetime=Lifetime.SERVICE)
        for count in (2, 4, 1):
            await provider.submit(scaled(order, count))
            await self.all_run(member, provider, order.intent.id, count)
            assert (await observe(provider)).intents[order.intent.id].replicas == count
        assert len(member.running(order.intent.id)) == 1

    async def test_a_service_starts_again_what_ended(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(Behaviour(member.short_s), range(1), lifetime=Lifetime.SERVICE)
        await provider.submit(order)
        await until(provider, lambda _: len(member.starts(order.intent.id)) >= 2, "it starts again", member.patience_s)
        seen = (await observe(provider)).intents[order.intent.id]
        assert not seen.succeeded
        assert not seen.failed

    async def test_a_service_takes_over_a_new_spec(self, member: Member) -> None:
        provider = await member.provider()
        order = member.order(FOREVER, range(2), lifetime=Lifetime.SERVICE)
        await provider.submit(order)
        await self.all_run(member, provider, order.intent.id, 2)
        container = replace(order.container or Container(), env={**(order.container or Container()).env, "NEW": "1"})
        await provider.submit(replace(order, spec_hash="second", container=container))
        assert (await observe(provider)).intents[order.intent.id].spec_hash == "second"
        await until(
            provider, lambda _: len(member.starts(order.intent.id)) >= 4, "both are exchanged", member.patience_s
        )
        await self.all_run(member, provider, order.intent.id, 2)
        assert len(member.running(order.intent.id)) == 2
