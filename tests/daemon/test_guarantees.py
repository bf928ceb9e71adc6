"""Guarantee 1, with trouble of every kind: no workload is lost, no replica runs to its end twice. And the test of the
test: with a mistake planted into the daemon it must fail."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federator.clusters.fake.world import FakeCluster
from federator.daemon.draft import Draft
from federator.engine import assign
from federator.model.indexset import IndexSet
from federator.ports import Store
from tests.daemon.federation import Federation, fake, tiers

pytestmark = pytest.mark.thorough

WORKLOADS, REPLICAS = 4, 6


class Ends:
    """What really ran to its end, told by the clusters' own hands and by nobody else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        original = FakeCluster._end

        def end(world: FakeCluster, intent: Any, indices: IndexSet, now_s: float) -> None:
            ended = indices & intent.running
            original(world, intent, indices, now_s)
            for index in ended & intent.succeeded:
                self.counts[intent.order.intent.workload, index] += 1

        monkeypatch.setattr(FakeCluster, "_end", end)


async def trouble(folder: Path, seed: int, ends: Ends) -> list[str]:
    """What was broken of the guarantee in one troubled run; empty if nothing was."""
    chance = random.Random(seed)
    files = folder / f"files-{seed}"
    files.mkdir()
    federation = Federation(files)
    federation.write(fake("cern", 4, nodes=2), fake("cloud", 8), tiers("cern-first", "cern", "cloud"))
    await federation.daemon.start()
    ends.counts.clear()
    for number in range(WORKLOADS):
        await federation.submit(f"w{number}", REPLICAS, env={"FAKE_RUN_S": 6})
    for _ in range(10):
        await _one_trouble(federation, chance)
        await federation.run(chance.uniform(0.05, 2), step_s=0.05)
    for provider in federation.providers.values():
        provider.come_back()
        provider.slow_down(0.0)
    await federation.run(150, step_s=0.5)
    broken = [
        f"w{number} is {federation.state(f'w{number}')}"
        for number in range(WORKLOADS)
        if federation.state(f"w{number}") != "finished"
    ]
    broken += [f"{name}/{index} ended {count} times" for (name, index), count in ends.counts.items() if count > 1]
    everything = {(f"w{number}", index) for number in range(WORKLOADS) for index in range(REPLICAS)}
    broken += [f"{name}/{index} never ended" for name, index in sorted(everything - set(ends.counts))]
    await federation.crash()
    return broken


async def _one_trouble(federation: Federation, chance: random.Random) -> None:
    provider = federation.providers[chance.choice(["cern", "cloud"])]
    match chance.choice(["crash", "lose", "repeat", "away", "slow", "drain", "store"]):
        case "crash":
            await federation.crash()
            await federation.daemon.start()
        case "lose":
            provider.lose_answers(2)
        case "repeat":
            provider.repeat_orders(2, after_s=chance.uniform(0, 5))
        case "away":
            provider.go_away()
            await federation.run(chance.uniform(0.3, 4), step_s=0.1)
            provider.come_back()
        case "slow":
            provider.slow_down(chance.uniform(0.2, 2.0))
        case "drain":
            await federation.daemon.service.set_drain(provider.name, not federation.daemon.state.draining)
        case "store":
            federation.store.down = "disk full"
            await federation.run(chance.uniform(0.2, 2), step_s=0.1)
            federation.store.down = ""


@pytest.mark.parametrize("seed", range(8))
async def test_no_workload_is_lost_and_no_replica_ends_twice_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    assert await trouble(tmp_path, seed, Ends(monkeypatch)) == [], f"seed {seed}"


def indices_are_free_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is told to leave is given to the next cluster before it has left."""
    monkeypatch.setattr(assign, "_taken", lambda intents, lost: _union(i.live for i in intents))


def orders_go_out_before_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state adopts what the store may never get."""
    original = Draft.commit

    async def commit(self: Draft, store: Store) -> None:
        self._state.adopt(self)
        await original(self, store)

    monkeypatch.setattr(Draft, "commit", commit)


def _union(sets: Any) -> IndexSet:
    union = IndexSet()
    for one in sets:
        union = union | one
    return union


SEEDS_OF_MUCH_TROUBLE = (45, 29, 26, *range(12))
"""Both mistakes need an unlucky moment; these runs have one."""
MISTAKES = [indices_are_free_at_once, orders_go_out_before_they_are_written]


@pytest.mark.parametrize("plant", MISTAKES, ids=lambda plant: plant.__name__)
async def test_a_planted_mistake_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    ends = Ends(monkeypatch)
    plant(monkeypatch)
    for seed in SEEDS_OF_MUCH_TROUBLE:
        if await trouble(tmp_path, seed, ends):
            return
    pytest.fail("no troubled run showed the planted mistake")
