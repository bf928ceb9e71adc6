"""How replicas end is counted by cluster, each end once: it tells which cluster fails what others run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federator.daemon import cycle
from federator.model.indexset import IndexSet
from tests.daemon.federation import Federation, fake, named


def counted(federation: Federation) -> dict[tuple[str, str], float]:
    """Ends by cluster and outcome."""
    (family,) = federation.daemon.metrics.replicas_ended_total.collect()
    samples = [sample for sample in family.samples if sample.name.endswith("_total") and sample.value]
    return {(sample.labels["cluster"], sample.labels["outcome"]): sample.value for sample in samples}


async def six_running(federation: Federation) -> str:
    """Six replicas at CERN for 60 s; the id of their intent."""
    await federation.start()
    await federation.submit("reco", 6, retries=3)
    await federation.until(lambda: federation.running("cern") == 6)
    (intent,) = federation.store.intents.values()
    return intent.id


@pytest.mark.parametrize("at_once", [1, 1000])
async def test_successes_failures_and_losses_are_counted_once_each(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Two fail, one is evicted, all three are run again; the store is away while some ends become known. It is the
    same in whatever pieces they are written."""
    monkeypatch.setattr(cycle, "CHANGES_AT_ONCE", at_once)
    intent = await six_running(federation)
    federation.store.down = "database is locked"
    federation.providers["cern"].crash(intent, IndexSet.of([0, 1]))
    federation.providers["cern"].evict(intent, IndexSet.of([2]))
    await federation.run(10)
    assert counted(federation) == {}, "what is not written does not count"
    federation.store.down = ""
    await federation.until(lambda: federation.state("reco") == "finished")
    await federation.run(30)
    assert counted(federation) == {("cern", "succeeded"): 6.0, ("cern", "failed"): 2.0, ("cern", "lost"): 1.0}


async def test_what_vanished_is_lost_and_what_is_withdrawn_is_not_counted(federation: Federation) -> None:
    intent = await six_running(federation)
    kept = federation.daemon.state.intents[intent]
    federation.daemon.state.intents[intent] = replace(kept, withdrawn=IndexSet.of([5]))
    del federation.providers["cern"].cluster.intents[intent]
    federation.providers["cern"].cluster.touch()
    await federation.until(lambda: ("cern", "lost") in counted(federation))
    await federation.daemon.service.delete("workloads", "reco", permit=lambda queue: None)
    await federation.until(lambda: federation.running("cern") == 0 and federation.state("reco") != "running")
    await federation.run(10)
    assert counted(federation) == {("cern", "lost"): 5.0}


async def test_backfill_that_gives_way_is_preempted_and_no_fault_of_its_cluster(federation: Federation) -> None:
    federation.write(fake("cern", cpu=4))
    await federation.start()
    work = {"replicas": 4, "requests": {"cpu": 1}, "container": {"command": ["x"], "env": {"FAKE_RUN_S": "900"}}}
    document = named("Backfill", "lhc", {"workload": work, "keepFree": "0%"})
    await federation.daemon.service.apply([document], owner="me", permit=lambda queue: None)
    await federation.until(lambda: federation.running("cern") == 4)
    await federation.submit("analysis", 2, env={"FAKE_RUN_S": 10})
    await federation.until(lambda: federation.state("analysis") == "finished")
    await federation.run(10)
    assert counted(federation) == {("cern", "succeeded"): 2.0, ("cern", "preempted"): 2.0}
