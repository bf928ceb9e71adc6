"""What queues had lately: counted in the daemon, kept over restarts, and heeded by the fair order."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from federator.daemon import usage
from federator.documents import read_objects, to_snapshot
from federator.engine.planner import plan
from federator.model.records import Changes
from tests.daemon.federation import Federation, fake, named

pytestmark = pytest.mark.thorough

HALF_LIFE_S = 60.0


async def fair(folder: Path, usage_s: float = 5.0, run_time: str | None = "20s") -> Federation:
    """Four cores for two groups of equal weight."""
    federation = Federation(folder, usage_s)
    queues = [named("Queue", name, {"halfLife": f"{HALF_LIFE_S:g}s"}) for name in ("old", "new")]
    planning = named("Planning", "default", {"order": "fair"})
    federation.write(fake("cern", 4, run_time=run_time), planning, *queues)
    await federation.start()
    return federation


def cores(federation: Federation, queue: str) -> float:
    """What a queue had lately, in cores."""
    had = federation.daemon.state.lately.get(queue)
    return had["cpu"] / 10**9 if had else 0.0


async def newcomer(federation: Federation) -> Mapping[str, int]:
    """Old has had everything for long and a restart lies between: how many cores each group gets when new comes."""
    await federation.submit("olds", 200, queue="old")
    await federation.run(200, step_s=1.0)
    had = cores(federation, "old")
    await federation.crash()
    await federation.start()
    assert cores(federation, "old") == pytest.approx(had, rel=0.1)
    await federation.submit("news", 200, queue="new")
    await federation.run(30, step_s=0.5)
    await federation.until(lambda: sum(federation.placed(name).get("cern", 0) for name in ("olds", "news")) == 4)
    return {name: federation.placed(name).get("cern", 0) for name in ("olds", "news")}


async def test_a_queue_that_had_much_yields_to_a_new_one_also_after_a_restart(tmp_path: Path) -> None:
    """Equal weights give two cores each; because old had all four until now, new gets half more than its part."""
    federation = await fair(tmp_path)
    assert await newcomer(federation) == {"olds": 1, "news": 3}
    assert {one.queue for one in federation.daemon.state.snapshot.usage} == {"old", "new"}


async def test_a_past_that_is_forgotten_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the test: with this mistake both get the same."""
    monkeypatch.setattr(usage, "lately", lambda old, use, elapsed_s, half_life_s: {})
    assert await newcomer(await fair(tmp_path)) == {"olds": 2, "news": 2}


async def test_what_is_used_counts_by_the_half_life_and_is_written_once_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = await fair(tmp_path, usage_s=30.0, run_time=None)
    original, written = federation.store.commit, list[float]()

    async def commit(changes: Changes) -> Any:
        if usage.VALUE in changes.values:
            written.append(changes.values[usage.VALUE]["at"])
        return await original(changes)

    monkeypatch.setattr(federation.store, "commit", commit)
    await federation.submit("long", 4, queue="old")
    await federation.run(130)
    assert len(written) == 4, "every 30 s in 130 s"
    assert all(30 <= later - earlier < 32 for earlier, later in pairwise(written))
    span_s = written[-1] - written[0] + 30
    assert cores(federation, "old") == pytest.approx(4 * (1 - 0.5 ** (span_s / HALF_LIFE_S)), rel=0.02)


async def test_while_no_daemon_runs_time_counts_with_what_still_runs_after_it(tmp_path: Path) -> None:
    """Two cores run on all the while; the two replicas that ended meanwhile are not counted for it."""
    federation = await fair(tmp_path, run_time=None)
    await federation.submit("stays", 2, queue="old")
    await federation.submit("ends", 2, queue="new", env={"FAKE_RUN_S": 100})
    await federation.run(90, step_s=1.0)
    had = {name: cores(federation, name) for name in ("old", "new")}
    assert had["old"] == pytest.approx(had["new"])
    await federation.crash()
    await federation.clock.advance(600)
    await federation.start()
    assert federation.state("ends") == "finished"
    assert cores(federation, "old") == pytest.approx(2.0, rel=0.01)
    assert 0 < cores(federation, "new") < 0.01
    await federation.run(600, step_s=5.0)
    assert set(federation.store.values[usage.VALUE]["queues"]) == {"old", "new"}


async def test_a_clock_that_was_set_back_stops_nothing(tmp_path: Path) -> None:
    federation = await fair(tmp_path, run_time=None)
    await federation.submit("long", 4, queue="old")
    await federation.run(20)
    before = cores(federation, "old")
    federation.daemon.state.lately_s = federation.clock.now_s() + 86_400
    await federation.run(20)
    assert cores(federation, "old") > before


async def test_nothing_is_counted_before_anything_was_seen(tmp_path: Path) -> None:
    """The first folding has no time behind it, whatever the clock says."""
    federation = await fair(tmp_path, usage_s=3600.0)
    await federation.submit("first", 4, queue="old")
    await federation.run(5)
    assert federation.daemon.state.lately == {}
    assert usage.VALUE not in federation.store.values
    assert usage.of_value(None) == ({}, None)


async def test_a_snapshot_has_the_past_of_queues_and_their_cohorts_and_plans_as_the_daemon_does(tmp_path: Path) -> None:
    federation = Federation(tmp_path, usage_s=5.0)
    federation.write(
        fake("cern", 4, run_time=None),
        named("Cohort", "lhc", {"parent": "science"}),
        named("Cohort", "science", {}),
        named("Queue", "atlas", {"cohort": "lhc", "quota": {"cpu": 3}, "observed": {"lately": {"cpu": 77}}}),
        named("Planning", "default", {"order": "fair"}),
    )
    await federation.start()
    await federation.submit("a", 2, queue="atlas")
    await federation.submit("b", 1, queue="nowhere-declared")
    await federation.run(20)
    documents = await federation.daemon.service.snapshot()
    seen = to_snapshot(read_objects(documents), at_s=federation.clock.now_s())
    live = federation.daemon.state.snapshot
    assert {one.queue: one.lately for one in seen.usage} == federation.daemon.state.lately
    assert {one.queue for one in seen.usage} == {"atlas", "nowhere-declared"}
    assert [(cohort.name, cohort.parent) for cohort in seen.cohorts] == [("lhc", "science"), ("science", "")]
    assert plan(seen).queues == plan(live).queues


async def test_people_see_what_queues_and_cohorts_have(tmp_path: Path) -> None:
    federation = Federation(tmp_path, usage_s=5.0)
    federation.write(
        fake("cern", 8, run_time=None),
        named("Queue", "atlas", {"cohort": "lhc", "weight": 3, "quota": {"cpu": 3}}),
        named("Queue", "cms", {"cohort": "lhc", "quota": {"cpu": 1}}),
    )
    await federation.start()
    service = federation.daemon.service
    await federation.submit("a", 6, queue="atlas")
    await federation.submit("b", 1, queue="other")
    await federation.run(20)
    atlas = await service.get("queues", "atlas")
    assert (atlas["used"], atlas["quota"], atlas["left"]) == ({"cpu": 4.0}, {"cpu": 3.0}, {"cpu": 0.0})
    assert (atlas["share"], atlas["dominant"], atlas["cohort"]) == (0.5, "cpu", "lhc")
    assert atlas["borrowed"] == 0.25, "one core beyond its quota, of four that its cohort has"
    assert atlas["byWeight"] == 0.375, "three quarters of what its cohort gets beside queue other"
    assert 0 < atlas["lately"] < 0.5
    assert atlas["workloads"] == {"running": 1}
    page = await service.list("queues", limit=2)
    assert ([one["name"] for one in page.items], page.next) == (["atlas", "cms"], "cms")
    assert [one["name"] for one in (await service.list("queues", after="cms")).items] == ["other"]
    (lhc,) = (await service.list("cohorts")).items
    assert (lhc["name"], lhc["queues"], lhc["used"], lhc["share"]) == ("lhc", ["atlas", "cms"], {"cpu": 4.0}, 0.5)
    metrics = federation.daemon.metrics.render()[0].decode()
    assert 'federator_queue_share{queue="atlas"} 0.5' in metrics
    assert 'federator_queue_share{queue="cms"} 0.0' in metrics, "declared, and nobody is in it"
    told = await service.explain("a")
    assert (told["queue"], told["queuePosition"], told["queueShare"]["share"]) == ("atlas", 1, 0.5)
