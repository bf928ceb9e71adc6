"""What the daemon keeps from one snapshot to the next, and how others have their turn while it works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federator import turns
from federator.clusters.fake import FakeProvider
from federator.daemon import cycle, recorder, settle
from federator.daemon.draft import Draft
from federator.daemon.snapshots import Picture, Snapshots
from federator.daemon.state import State
from federator.documents import Document
from federator.engine.reconcile import reconcile
from federator.model.intent import Intent
from federator.model.plan import Snapshot
from federator.model.records import Changes
from federator.ports import ClusterProvider, StoreUnavailable
from tests.daemon.federation import Federation, fake, named, tiers
from tests.daemon.test_guarantees import Ends, trouble

SEEDS = range(3)


def in_order(seen: Snapshot) -> Snapshot:
    """The order of holdings means nothing."""
    return replace(seen, holdings=tuple(sorted(seen.holdings, key=lambda h: (h.workload, h.role, h.cluster))))


def counted(kept: Snapshots) -> tuple[Any, Any]:
    """What is measured, without the zeros that are left of what is gone."""
    return dict(kept.states), {queue: +used for queue, used in kept.used.items() if +used}


class Doubt:
    """Makes every snapshot afresh as well, and notes where it is another than the one that was kept up to date."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.compared = 0
        self.differences: list[str] = []
        original = Snapshots.take

        async def take(kept: Snapshots, at_s: float) -> Picture:
            picture = await original(kept, at_s)
            stale = dict(kept._state.stale)
            fresh = Snapshots(kept._state)
            afresh = await original(fresh, at_s)
            kept._state.stale = stale
            self.compared += 1
            if in_order(picture.snapshot()) != in_order(afresh.snapshot()) or counted(kept) != counted(fresh):
                self.differences.append(f"snapshot {self.compared}: {picture}\nafresh: {afresh}")
            return picture

        async def refresh(kept: Snapshots, at_s: float) -> None:
            if not kept._parts:
                kept._state.stale.update(dict.fromkeys(kept._state.workloads))
            await refreshed(kept, at_s)

        refreshed = Snapshots.refresh
        monkeypatch.setattr(Snapshots, "take", take)
        monkeypatch.setattr(Snapshots, "refresh", refresh)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_snapshot_that_was_kept_up_to_date_equals_one_made_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Through crashes, outages, slow and lying clusters, drains and a store that is full: after all of it."""
    doubt = Doubt(monkeypatch)
    await trouble(tmp_path, seed, Ends(monkeypatch))
    assert doubt.compared > 50, "hardly any snapshot was made, so this test shows nothing"
    assert not doubt.differences, f"seed {seed}: {doubt.differences[0]}"


def nodes_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas that were bound to a node since the last look count as unbound for ever."""
    monkeypatch.setattr(Snapshots, "_look_at", lambda self, member: None)


def changes_are_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is new is looked at: what changes about it afterwards is not."""
    original = State.adopt

    def adopt(self: State, draft: Draft) -> None:
        stale, known = dict(self.stale), set(self.workloads)
        original(self, draft)
        self.stale = {name: None for name in self.stale if name in stale or name not in known}

    monkeypatch.setattr(State, "adopt", adopt)


def rests_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A workload of which a replica rests after a failure is not looked at again when the rest is over."""
    monkeypatch.setattr("federator.daemon.snapshots._keep", _keep_no_rests)


def _keep_no_rests(kept: dict[str, Any], name: str, value: Any) -> None:
    kept.pop(name, None)
    if value is not None and value is not True:
        kept[name] = value


@pytest.mark.parametrize(
    "plant", [nodes_are_not_looked_at, changes_are_not_noticed, rests_do_not_end], ids=lambda plant: plant.__name__
)
async def test_a_snapshot_that_misses_a_change_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    doubt = Doubt(monkeypatch)
    plant(monkeypatch)
    federation = Federation(tmp_path)
    cern = fake("cern", 400)
    cern["spec"]["fake"]["startDelay"] = "5s"  # being on a node is all that changes for a while
    federation.write(cern, tiers("only", "cern"))
    await federation.start()
    federation.providers["cern"].slow_down(0.7)  # it answers an order before it tells of its nodes
    await federation.submit("bad", 2, env={"FAKE_RUN_S": 2, "FAKE_EXIT_CODE": 1})
    for number in range(50):
        await federation.submit(f"good{number}", 3, env={"FAKE_RUN_S": 20})
        await federation.run(3)
        if doubt.differences:
            return
    raise AssertionError("nothing was found")


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_when_others_have_their_turn_after_every_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Every pause that may be made is made, every transaction holds as little as it may, and there is trouble."""
    monkeypatch.setattr(turns, "PIECE_S", -1.0)
    monkeypatch.setattr(cycle, "CHANGES_AT_ONCE", 1)
    monkeypatch.setattr(cycle, "ORDERS_AT_ONCE", 1)
    monkeypatch.setattr(recorder, "WORKLOADS_AT_ONCE", 1)
    assert await trouble(tmp_path, seed, Ends(monkeypatch)) == [], f"seed {seed}"


async def test_a_plan_that_is_written_in_part_is_sent_in_part_and_the_rest_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full in the middle of a plan: what was written goes out, nothing else does, and all of it ends."""
    monkeypatch.setattr(recorder, "WORKLOADS_AT_ONCE", 1)
    federation = Federation(tmp_path)
    federation.write(fake("cern", 8, run_time="5s"), tiers("only", "cern"))
    await federation.start()
    original, written = federation.store.commit, list[str]()

    async def commit(changes: Changes) -> Any:
        made = [intent.workload for intent in changes.intents if intent.plan_id and not intent.sent_s]
        if made and len(written) == 2:
            raise StoreUnavailable("the disk is full")
        written.extend(made)
        return await original(changes)

    with monkeypatch.context() as patch:
        await asyncio.gather(*(federation.submit(f"w{number}", 1) for number in range(4)))
        patch.setattr(federation.store, "commit", commit)
        await federation.run(3)
        there = {i.order.intent.workload for i in federation.providers["cern"].cluster.intents.values()}
        assert there == set(written)
        assert len(there) == 2
    await federation.until(lambda: all(federation.state(f"w{number}") == "finished" for number in range(4)))


async def test_the_first_plan_waits_until_every_cluster_has_answered(tmp_path: Path) -> None:
    """Without CERN's answer all of the work would go to the cloud, and stay there."""
    federation = Federation(tmp_path)
    federation.write(fake("cern", 4), fake("cloud", 4))
    await federation.start()
    await federation.submit("reco", 4)
    await federation.crash()
    federation.store.intents.clear()
    make = federation.daemon._registry._make_provider

    def make_slow(document: Document) -> ClusterProvider:
        provider = make(document)
        if isinstance(provider, FakeProvider) and provider.name == "cern":
            provider.slow_down(1.0)
        return provider

    federation.daemon._registry._make_provider = make_slow
    await federation.daemon.start()
    await federation.until(lambda: bool(federation.placed("reco")), seconds=10)
    assert federation.placed("reco") == {"cern": 2, "cloud": 2}


async def test_two_objects_that_are_made_at_the_same_time_are_both_there(tmp_path: Path) -> None:
    """Both wait for their turn to write, and neither may go by what there was before the other."""
    federation = Federation(tmp_path)
    federation.write(fake("cern", 4))
    await federation.start()
    state = federation.daemon.state

    def apply(name: str) -> Coroutine[Any, Any, Any]:
        return federation.daemon.service.apply([named("Queue", name, {})], owner="admin", permit=lambda queue: None)

    async with state.writing:
        both = [asyncio.create_task(apply(name)) for name in ("atlas", "cms")]
        await asyncio.sleep(0)
    await asyncio.gather(*both)
    assert {name for _, name in state.objects} == {q.name for q in state.queues} == {"atlas", "cms"}


async def quiet_and_ending(folder: Path) -> Federation:
    """One workload that runs for long, and one that ends soon."""
    federation = Federation(folder)
    federation.write(fake("cern", 8), tiers("only", "cern"))
    await federation.start()
    await federation.submit("long", 2, env={"FAKE_RUN_S": 10_000})
    await federation.submit("short", 2, env={"FAKE_RUN_S": 30})
    await federation.run(10)
    return federation


async def test_an_intent_of_which_nothing_new_is_said_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = await quiet_and_ending(tmp_path)
    settled: list[str] = []

    def counting(intents: Collection[Intent], *others: Any, **words: Any) -> Any:
        settled.extend(intent.workload for intent in intents)
        return reconcile(intents, *others, **words)

    monkeypatch.setattr(settle, "reconcile", counting)
    looked = federation.daemon.state.members["cern"].began
    await federation.until(lambda: federation.state("short") == "finished")
    assert federation.daemon.state.members["cern"].began > looked, "nobody looked, so this test shows nothing"
    assert set(settled) == {"short"}


async def test_passing_over_what_did_change_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the test: with this mistake the end of a workload goes unseen."""
    federation = await quiet_and_ending(tmp_path)
    monkeypatch.setattr(settle, "_alike", lambda look, before: before is not None)
    await federation.run(120)
    assert federation.state("short") == "running"
