"""How long production takes to start is measured: where backfill ran, and where none did."""

from __future__ import annotations

from dataclasses import replace

from federator.daemon.starts import LATELY, Starts
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, Intent, ObservedIntent
from tests.daemon.federation import Federation, fake
from tests.daemon.test_backfill import backfill, fill, filling


def intent(number: int = 0, replicas: int = 4) -> Intent:
    return Intent(f"i{number}", "w", "u", "", "cern", IndexSet.span(0, replicas), created_s=100.0)


def running(*indices: int, failed: tuple[Failure, ...] = ()) -> ObservedIntent:
    return ObservedIntent("i0", running=IndexSet.of(indices), failed=failed)


def test_each_replica_is_seen_to_start_once() -> None:
    """Four replicas: two run at first; a third ends before anybody saw it run; the last takes longer."""
    starts = Starts()
    starts.planned(intent(), filled=True)
    first = starts.seen(intent(), running(0, 1), 101.0)
    assert first is not None
    assert (first.cluster, first.beside, first.took_s) == ("cern", "backfill", 1.0)
    assert starts.seen(intent(), running(0, 1, failed=(Failure(2, "Error"),)), 102.0) is None
    second = starts.seen(intent(), running(0, 1, 3), 105.0)
    assert second is not None
    assert second.took_s == 5.0
    assert starts.seen(intent(), running(0, 1, 3), 109.0) is None
    assert starts.medians(["cern"]) == {"backfill": {"medianSeconds": 3.0, "of": 2}}


def test_what_left_before_it_ran_and_what_nobody_planned_is_not_counted() -> None:
    starts = Starts()
    starts.planned(intent(), filled=False)
    starts.forget("i0")
    assert starts.seen(intent(), running(0), 101.0) is None
    assert starts.medians(["cern"]) == {}


def test_only_the_latest_count() -> None:
    starts = Starts()
    for number in range(LATELY + 50):
        starts.planned(intent(number), filled=False)
        starts.seen(intent(number), running(0), 100.0 + (9.0 if number < 50 else 2.0))
    assert starts.medians(["cern"]) == {"free": {"medianSeconds": 2.0, "of": LATELY}}


async def test_operators_see_what_backfill_costs_production_and_what_it_was_worth(federation: Federation) -> None:
    """A filler takes three seconds to end. Production that comes to an empty cluster starts at once, beside backfill
    it waits for that; what it displaced, what that lost and what is kept free can be seen, as numbers and metrics."""
    federation.write(fake("cern", cpu=4))
    await federation.start()
    site = federation.providers["cern"].cluster
    site.settings = replace(site.settings, stop_time_s=3.0)
    await federation.submit("before", 2, env={"FAKE_RUN_S": 5})
    await federation.until(lambda: federation.state("before") == "running")
    service = federation.daemon.service
    await service.apply([backfill(idleFor="30s", idleAtMost="25%", grace="10s")], owner="me", permit=lambda queue: None)
    await federation.until(lambda: filling(federation) == 3)
    (kept,) = (await service.get("backfills", "lhc"))["clusters"][0]["keptFree"]
    assert (kept["resource"], kept["rule"], kept["kept"], kept["idleFor"]) == ("cpu", "idleAtMost", 1.0, 2.0)
    assert 0 < federation.clock.now_s() - kept["mostUsedAt"] < 30.0
    assert 'kept_free{cluster="cern",filler="lhc",resource="cpu"} 1.0' in federation.daemon.metrics.render()[0].decode()
    await federation.until(lambda: filling(federation) == 4)
    assert 'kept_free{cluster="cern",filler="lhc",resource="cpu"} 0.0' in federation.daemon.metrics.render()[0].decode()

    await federation.submit("analysis", 2, env={"FAKE_RUN_S": 5})
    await federation.until(lambda: federation.state("analysis") == "finished")
    starts = (await service.get("clusters", "cern"))["productionStart"]
    assert starts["free"]["medianSeconds"] < 1.0 < 3.0 <= starts["backfill"]["medianSeconds"] < 5.0
    shown = await service.get("backfills", "lhc")
    assert shown["productionStart"] == starts
    assert shown["clusters"][0]["evictions"] == shown["evictions"] == {"Preempted": 2}
    assert shown["lostCpuSeconds"] > 0.0
    text = federation.daemon.metrics.render()[0].decode()
    assert 'federator_production_start_seconds_count{beside="backfill",cluster="cern"} 1.0' in text
    assert 'federator_production_start_seconds_count{beside="free",cluster="cern"} 1.0' in text


async def test_what_the_plan_takes_back_is_counted_under_its_reason(federation: Federation) -> None:
    """What is to be kept free, and what goes with its document, are told apart."""
    await fill(federation, stops="2s")
    service = federation.daemon.service
    await service.apply([backfill(keepFree="50%", stops="2s")], owner="me", permit=lambda queue: None)
    await federation.until(lambda: filling(federation) == 2)
    await service.delete("backfills", "lhc", permit=lambda queue: None)
    await federation.until(lambda: filling(federation) == 0 and federation.state("backfill-lhc") == "forgotten")
    tally = federation.daemon.state.tallies["lhc", "cern"]
    assert tally.evictions == {"KeptFree": 2, "Withdrawn": 2}
    assert tally.lost_s == 0.0 < tally.useful_s, "they save when they are told to end, with or without their document"
