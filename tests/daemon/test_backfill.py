"""Backfill documents in the daemon, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federator.daemon.service import NotFound
from federator.documents import DocumentErrors, read_objects, to_snapshot
from federator.engine.planner import plan
from federator.model.intent import Observation, ObservedIntent
from tests.daemon.federation import Federation, fake, named


def backfill(*, container: bool = True, run_s: float = 600.0, exit_code: int = 0, **spec: Any) -> dict[str, Any]:
    work: dict[str, Any] = {"requests": {"cpu": 1}, **spec.pop("work", {})}
    if container:
        env = {"FAKE_RUN_S": str(run_s), "FAKE_EXIT_CODE": str(exit_code)}
        work["container"] = {"command": ["simulate"], "env": env}
    return named("Backfill", "lhc", {"workload": work, "keepFree": "0%", **spec})


async def test_a_backfill_is_applied_shown_kept_and_deleted(federation: Federation) -> None:
    federation.write(fake("cern", cpu=4))
    await federation.start()
    service = federation.daemon.service
    (applied,) = await service.apply([backfill(weight=2)], owner="me", permit=lambda queue: None)
    assert applied == {"kind": "Backfill", "name": "lhc", "result": "created"}

    await federation.crash()
    await federation.start()
    service = federation.daemon.service
    shown = await service.get("backfills", "lhc")
    assert (shown["name"], shown["weight"], shown["source"]) == ("lhc", 2, "api")
    assert [one["name"] for one in (await service.list("backfills")).items] == ["lhc"]

    await service.delete("backfills", "lhc", permit=lambda queue: None)
    with pytest.raises(NotFound):
        await service.get("backfills", "lhc")


async def test_one_that_says_nothing_to_run_is_refused_with_the_cure(federation: Federation) -> None:
    federation.write(fake("cern", cpu=4))
    await federation.start()
    with pytest.raises(DocumentErrors, match="does not say what its replicas run; give 'container'"):
        await federation.daemon.service.apply([backfill(container=False)], owner="me", permit=lambda queue: None)


def filling(federation: Federation) -> int:
    """How many replicas of the filler really run at CERN."""
    intents = federation.providers["cern"].cluster.intents.values()
    return sum(len(one.running) for one in intents if one.order.backfill)


async def fill(federation: Federation, **spec: Any) -> None:
    """CERN with 4 cores, full of backfill."""
    federation.write(fake("cern", cpu=4))
    await federation.start()
    await federation.daemon.service.apply([backfill(**spec)], owner="me", permit=lambda queue: None)
    await federation.until(lambda: filling(federation) == 4)


async def test_idle_cores_are_filled_and_nobody_sees_them_used(federation: Federation) -> None:
    await fill(federation)
    shown = await federation.daemon.service.get("backfills", "lhc")
    assert (shown["running"], shown["placements"]) == (4, {"cern": 4})
    assert shown["message"] == "NoRoom: cern"
    cern = await federation.daemon.service.get("clusters", "cern")
    assert (cern["used"]["backfill"], cern["used"]["production"]) == ({"cpu": 4.0}, {})
    assert cern["free"] == {"cpu": 4.0}


async def test_production_on_a_full_cluster_starts_within_the_grace_and_a_cycle(federation: Federation) -> None:
    """Guarantee 6 in the daemon: the cluster ends three tasks for it, and they are run again when it has gone."""
    await fill(federation, grace="5s")
    begun_s = federation.clock.now_s()
    await federation.submit("analysis", 3, env={"FAKE_RUN_S": 60})
    await federation.until(lambda: (federation.store.workloads["analysis"].started_s or 0) > 0)
    started_s = federation.store.workloads["analysis"].started_s
    assert started_s is not None
    assert started_s - begun_s <= 5.0 + 1.0 + 1.0, federation.story()
    assert filling(federation) == 1
    assert "Preempted" in federation.story()
    await federation.until(lambda: federation.state("analysis") == "finished" and filling(federation) == 4)


async def test_a_crash_while_production_drives_backfill_out_loses_nothing(federation: Federation) -> None:
    await fill(federation, work={"replicas": 8}, run_s=30.0)
    await federation.submit("analysis", 4, env={"FAKE_RUN_S": 20})
    await federation.run(0.5)
    await federation.crash()
    await federation.start()
    names = ("analysis", "backfill-lhc")
    await federation.until(lambda: all(federation.state(name) == "finished" for name in names))
    record = federation.store.workloads["backfill-lhc"]
    assert str(record.finished[""]) == "0-7"
    completed = [e for e in federation.store.entries if e.workload == "backfill-lhc" and e.kind == "duplicate"]
    assert not completed, federation.story()


async def test_a_backfill_that_is_deleted_leaves_and_a_poisoned_task_ends_no_bag(federation: Federation) -> None:
    await fill(federation, work={"replicas": 6, "retries": 0}, run_s=1000.0)
    provider = federation.providers["cern"]
    (intent,) = [one for one in provider.cluster.intents.values() if one.order.backfill]
    provider.crash(intent.order.intent.id, intent.running.first(1))
    await federation.until(lambda: filling(federation) == 4)
    assert federation.state("backfill-lhc") == "running"
    shown = await federation.daemon.service.get("backfills", "lhc")
    assert (shown["setAside"], shown["running"]) == (1, 4)
    await federation.daemon.service.delete("backfills", "lhc", permit=lambda queue: None)
    await federation.until(lambda: filling(federation) == 0 and federation.state("backfill-lhc") == "forgotten")


async def test_a_filler_whose_tasks_all_fail_burns_through_no_bag(federation: Federation) -> None:
    """It says so, and starts some less and less often; a hundred rounds of four would fit."""
    await fill(federation, work={"retries": 0}, run_s=1.0, exit_code=78)
    await federation.run(120)
    shown = await federation.daemon.service.get("backfills", "lhc")
    assert 10 <= shown["setAside"] < 40, federation.story()
    assert "tasks in a row were set aside; none starts for" in shown["message"]


@pytest.mark.thorough
async def test_what_backfill_used_and_lost_is_counted(federation: Federation) -> None:
    await fill(federation, checkpointEvery="10s", work={"replicas": 4}, run_s=100.0)
    await federation.run(25)
    await federation.submit("analysis", 2, env={"FAKE_RUN_S": 10})
    await federation.until(lambda: federation.state("backfill-lhc") == "finished")
    text = federation.daemon.metrics.render()[0].decode()
    evicted = 'federator_backfill_evictions_total{cause="Preempted",cluster="cern",filler="lhc"} 2.0'
    assert evicted in text
    lost = next(
        line for line in text.splitlines() if 'seconds_total{cluster="cern",filler="lhc",outcome="lost"' in line
    )
    assert 0 < float(lost.split()[-1]) < 2 * 10.0


async def test_why_there_is_no_more_of_it_and_what_the_federation_is_can_be_asked(federation: Federation) -> None:
    """A snapshot of the live federation plans as the daemon does, its fillers included."""
    await fill(federation, work={"replicas": 100})
    service = federation.daemon.service
    told = await service.explain("backfill-lhc")
    assert [(one["cluster"], one["replicas"], one["reason"]) for one in told["clusters"]] == [("cern", 4, "NoRoom")]
    documents = await service.snapshot()
    seen = to_snapshot(read_objects(documents))
    assert {filled.workload: dict(filled.replicas) for filled in plan(seen).backfill} == {"backfill-lhc": {"cern": 4}}


async def test_a_filler_takes_no_workload_over_that_has_its_name(federation: Federation) -> None:
    federation.write(fake("cern", cpu=4))
    await federation.start()
    await federation.submit("backfill-lhc", 1, env={"FAKE_RUN_S": 20})
    await federation.daemon.service.apply([backfill()], owner="me", permit=lambda queue: None)
    await federation.run(5)
    assert federation.store.workloads["backfill-lhc"].owner == "tester"
    assert filling(federation) == 0
    await federation.daemon.service.delete("workloads", "backfill-lhc", permit=lambda queue: None)
    await federation.until(lambda: filling(federation) == 4)


async def test_what_production_used_lately_is_left_to_it(federation: Federation) -> None:
    """Two of four cores have just become free: work that comes within the minute finds them, then they are filled."""
    federation.write(fake("cern", cpu=4))
    await federation.start()
    await federation.submit("first", 2, env={"FAKE_RUN_S": 5})
    await federation.until(lambda: federation.state("first") == "running")
    await federation.daemon.service.apply([backfill(idleFor="60s")], owner="me", permit=lambda queue: None)
    await federation.until(lambda: federation.state("first") == "finished" and filling(federation) == 2)
    await federation.run(20)
    assert filling(federation) == 2
    await federation.until(lambda: filling(federation) == 4)
    (cern,) = [one for one in await federation.daemon.service.snapshot() if one["metadata"]["name"] == "cern"]
    assert cern["spec"]["observed"]["idle"] == [{"for": "1m", "free": {"cpu": "4"}}]


async def test_what_production_comes_for_is_learnt_and_a_snapshot_tells_of_it(federation: Federation) -> None:
    """Two of four cores were used within five minutes; a filler that saves nothing leaves them alone, in the daemon as
    in the plan of its snapshot."""
    federation.write(fake("cern", cpu=4))
    await federation.start()
    service = federation.daemon.service
    idle = backfill(work={"duration": "2h"}, quietHours=[{"from": "00:00", "to": "24:00"}])
    await service.apply([idle], owner="me", permit=lambda queue: None)
    await federation.submit("first", 2, env={"FAKE_RUN_S": 30})
    await federation.until(lambda: federation.state("first") == "finished")
    await federation.run(300)
    await service.apply([backfill(work={"duration": "2h"})], owner="me", permit=lambda queue: None)
    await federation.until(lambda: filling(federation) == 2)
    await federation.run(5)
    documents = await service.snapshot()
    (cern,) = [one for one in documents if one["metadata"]["name"] == "cern"]
    assert cern["spec"]["observed"]["rises"] == [{"within": "5m", "samples": [{"by": {"cpu": "2"}, "times": 1}]}]
    (filled,) = plan(to_snapshot(read_objects(documents))).backfill
    assert (dict(filled.replicas), filled.why["cern"].reason.value) == ({"cern": 2}, "LosesTooMuch")
    told = await service.explain("backfill-lhc")
    assert [(one["replicas"], one["reason"]) for one in told["clusters"]] == [(2, "LosesTooMuch")]


async def test_of_a_filler_that_saves_when_it_is_told_to_end_nothing_is_lost(federation: Federation) -> None:
    await fill(federation, stops="2s", work={"replicas": 4}, run_s=100.0)
    await federation.run(25)
    await federation.submit("analysis", 2, env={"FAKE_RUN_S": 10})
    await federation.until(lambda: federation.state("analysis") == "finished")
    text = federation.daemon.metrics.render()[0].decode()
    assert 'federator_backfill_evictions_total{cause="Preempted",cluster="cern",filler="lhc"} 2.0' in text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("federator_backfill_cpu"))
    counted = {key.split('outcome="')[1].split('"')[0]: float(value) for key, value in found.items()}
    assert counted["lost"] == 0.0
    assert counted["useful"] > 2 * 20.0


def evicted(federation: Federation) -> dict[str, int]:
    """Replicas that ended before their time at CERN, by cause, since the daemon began."""
    return dict(federation.daemon.state.tallies["lhc", "cern"].evictions)


async def test_a_cluster_that_tells_late_whom_it_ended_has_no_others_ended_as_well(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows the production on its nodes, and for five seconds still the fillers that made room for it: what a plan
    took back of these was in addition, and the youngest, not the same."""
    await fill(federation, work={"replicas": 100})
    provider, clock = federation.providers["cern"], federation.clock
    truly, shown, since = provider.observe, dict[str, ObservedIntent](), dict[str, float]()

    async def late() -> Observation:
        seen = await truly()
        told = {}
        for name, one in seen.intents.items():
            if name.startswith("backfill") and one != shown.setdefault(name, one):
                if clock.now_s() < since.setdefault(name, clock.now_s()) + 5.0:
                    told[name] = shown[name]
                else:
                    shown[name] = one
                    del since[name]
        return replace(seen, intents={**seen.intents, **told})

    monkeypatch.setattr(provider, "observe", late)
    await federation.run(10)
    await federation.submit("analysis", 2, env={"FAKE_RUN_S": 60})
    await federation.until(lambda: federation.state("analysis") == "running")
    await federation.run(20)
    assert (evicted(federation), filling(federation)) == ({"Preempted": 2}, 2), federation.story()


async def test_why_a_plan_took_fillers_back_is_known_after_a_restart(federation: Federation) -> None:
    """The daemon dies between the withdrawal and its end; the next one has no plan yet when it sees that."""
    await fill(federation, work={"replicas": 100})
    federation.providers["cern"].slow_down(3.0)
    half = backfill(work={"replicas": 100}, keepFree="50%")
    await federation.daemon.service.apply([half], owner="me", permit=lambda queue: None)
    await federation.until(lambda: any(intent.withdrawn for intent in federation.store.intents.values()))
    await federation.crash()
    await federation.start()
    await federation.until(lambda: bool(evicted(federation)))
    assert evicted(federation) == {"KeptFree": 2}, federation.story()
