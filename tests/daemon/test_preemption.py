"""Preemption as it is carried out: what gives way ends, waits, and comes back; over crashes too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.daemon.federation import Federation, fake, named

URGENT = named("PlacementPolicy", "urgent", {"preempt": "lowerPriority"})


@pytest.fixture
def crowded(federation: Federation) -> Federation:
    """One cluster of eight cores, whose work runs for two minutes."""
    federation.write(fake("cern", 8, run_time="120s"), URGENT)
    return federation


async def test_urgent_work_takes_the_place_of_other_work_which_comes_back(crowded: Federation) -> None:
    await crowded.start()
    await crowded.submit("low", 8, retries=0)
    await crowded.run(20)
    assert crowded.running("cern") == 8
    await crowded.submit("alarm", 3, priority=5)
    await crowded.until(lambda: crowded.placed("alarm") == {"cern": 3}, 30)
    assert crowded.placed("low") == {"cern": 5}
    await crowded.run(10)
    assert crowded.running("cern") == 8
    (entry,) = [e for e in crowded.store.entries if e.kind == "preempted"]
    assert (entry.workload, entry.message) == ("low", "3 on cern gave way to alarm (LowerPriority)")
    assert crowded.daemon.metrics.preemptions_total.labels("LowerPriority")._value.get() == 3
    await crowded.until(lambda: crowded.state("low") == "finished", 400)
    assert crowded.store.workloads["low"].failures == {}
    assert crowded.kinds("low").count("preempted") == 1


async def test_no_more_gives_way_while_what_gave_way_is_leaving(crowded: Federation) -> None:
    """The cluster takes its time to end replicas; every cycle until then finds that enough is leaving."""
    await crowded.start()
    await crowded.submit("low", 8)
    await crowded.run(20)
    there = crowded.providers["cern"].cluster
    there.settings = replace(there.settings, stop_time_s=15.0)
    await crowded.submit("alarm", 2, priority=5)
    await crowded.until(lambda: crowded.placed("alarm") == {"cern": 2}, 200)
    assert crowded.placed("low") == {"cern": 6}
    assert crowded.kinds("low").count("preempted") == 1


async def test_what_is_called_back_is_not_taken_again_after_a_crash(federation: Federation) -> None:
    """The borrower is older: it would be served first as soon as its own place is free."""
    queues = [named("Queue", name, {"cohort": "lhc", "quota": {"cpu": 4}}) for name in ("a", "b")]
    federation.write(fake("cern", 8, run_time="120s"), *queues)
    await federation.start()
    await federation.submit("borrower", 8, queue="b")
    await federation.run(20)
    await federation.submit("owner", 3, queue="a")
    await federation.until(lambda: federation.placed("borrower") == {"cern": 5}, 30)
    await federation.crash()
    await federation.start()
    await federation.until(lambda: federation.placed("owner") == {"cern": 3}, 60)
    await federation.run(60)
    assert federation.placed("borrower") == {"cern": 5}
    assert federation.kinds("borrower").count("preempted") == 1
