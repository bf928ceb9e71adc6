"""Announced downtimes: a cluster is drained before, and taken back after, by document and clock alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federator.documents import to_snapshot
from federator.documents.quantities import format_time
from federator.documents.reading import read_objects
from federator.engine.planner import plan
from tests.daemon.federation import Federation, fake, tiers


def announced(federation: Federation, in_s: float, lasts_s: float, drain: str = "0s", **more: str) -> dict[str, Any]:
    """CERN with a downtime that begins in so many seconds."""
    cern, begin_s = fake("cern", 4, nodes=2), federation.clock.now_s() + in_s
    one = {"from": format_time(begin_s), "to": format_time(begin_s + lasts_s), "drain": drain, **more}
    cern["spec"]["downtimes"] = [one]
    return cern


def write(federation: Federation, cern: dict[str, Any]) -> None:
    """CERN before the cloud."""
    federation.write(cern, fake("cloud", 4), tiers("cern-first", "cern", "cloud"))


async def shown(federation: Federation) -> Any:
    """CERN as people see it."""
    return await federation.daemon.service.get("clusters", "cern")


async def test_a_cluster_is_drained_before_a_downtime_empty_in_it_and_taken_back_after(
    federation: Federation,
) -> None:
    """Six of a service: four find a place in the cloud while CERN is drained, two run on until it begins."""
    write(federation, announced(federation, 60, 100, "40s", reason="new switches"))
    await federation.start()
    await federation.submit("web", 6, lifetime="service")
    await federation.run(16)
    assert federation.placed("web") == {"cern": 6}
    assert (await shown(federation))["downtime"]["state"] == "announced"

    await federation.run(32)
    assert federation.placed("web") == {"cern": 2, "cloud": 4}
    assert (await shown(federation))["downtime"]["state"] == "draining"
    assert not (await shown(federation))["draining"], "no operator has said so"

    await federation.run(20)
    assert (federation.placed("web"), federation.running("cern")) == ({"cloud": 4}, 0)
    (refusal,) = federation.daemon.state.plan.refusals
    assert refusal.reasons["cern"].message == (
        "the cluster is being drained for an announced downtime from 1970-01-12 13:47:40 to 13:49:20 UTC "
        "(new switches), and its deadline is over: what finds no other place stops"
    )
    begun = (await shown(federation))["downtime"]
    at_s = 1_000_060.0
    told = {"from": at_s, "to": at_s + 100, "drainFrom": at_s - 40, "reason": "new switches", "state": "begun"}
    assert begun == told
    assert not federation.store.values.keys() & {"draining", "drainBy"}, "nothing of it is stored"

    await federation.run(100)
    assert federation.placed("web") == {"cern": 2, "cloud": 4}
    assert (await shown(federation))["downtime"] is None


async def test_batch_work_that_a_downtime_stops_waits_and_pays_no_retry(federation: Federation) -> None:
    """Without `drain` nothing happens before it begins. Twelve run; those of CERN begin again after it."""
    write(federation, announced(federation, 30, 120))
    await federation.start()
    await federation.submit("reco", 12, retries=0, duration="60s")
    await federation.run(26)
    assert federation.placed("reco") == {"cern": 8, "cloud": 4}
    await federation.run(5)
    assert federation.placed("reco") == {"cloud": 4}
    await federation.until(lambda: federation.state("reco") == "finished")
    assert federation.store.workloads["reco"].failures == {}
    assert federation.kinds("reco").count("failed") == 0


async def test_a_daemon_that_starts_within_a_downtime_sends_nothing_there(federation: Federation) -> None:
    write(federation, announced(federation, 20, 100))
    await federation.start()
    await federation.run(25)
    await federation.crash()
    await federation.start()
    await federation.submit("web", 6, lifetime="service")
    await federation.run(10)
    assert federation.placed("web") == {"cloud": 4}
    await federation.run(85)
    assert federation.placed("web") == {"cern": 2, "cloud": 4}


async def test_what_an_operator_says_of_a_cluster_outlasts_its_downtime(federation: Federation) -> None:
    write(federation, announced(federation, 20, 30))
    await federation.start()
    await federation.daemon.service.set_drain("cern", True)
    await federation.run(60)
    await federation.submit("web", 6, lifetime="service")
    await federation.run(5)
    assert federation.placed("web") == {"cloud": 4}
    (refusal,) = federation.daemon.state.plan.refusals
    assert refusal.reasons["cern"].message == "the cluster is being drained"
    await federation.daemon.service.set_drain("cern", False)
    await federation.run(5)
    assert federation.placed("web") == {"cern": 2, "cloud": 4}


async def test_an_operator_cannot_take_a_cluster_back_within_its_downtime_but_its_document_can(
    federation: Federation,
) -> None:
    """Announcing it, and taking that back, touches nothing else: the cluster is not reached anew."""
    await federation.start()
    await federation.submit("web", 8, lifetime="service")
    await federation.run(5)
    member = federation.daemon.state.members["cern"]
    write(federation, announced(federation, 10, 1000))
    await federation.run(20)
    await federation.daemon.service.set_drain("cern", False)
    await federation.run(5)
    assert federation.placed("web") == {"cloud": 4}
    write(federation, fake("cern", 4, nodes=2))
    await federation.run(20)
    assert federation.placed("web") == {"cern": 4, "cloud": 4}
    assert federation.daemon.state.members["cern"] is member


async def test_nobody_has_to_wake_the_daemon_for_a_downtime(tmp_path: Path) -> None:
    """Its cycles are an hour apart here, and it looks at its clusters every few seconds: that is not soon enough."""
    federation = Federation(tmp_path, cycle_s=3600.0)
    write(federation, announced(federation, 61, 32, "18s"))
    begin_s = federation.clock.now_s() + 61
    await federation.start()
    await federation.submit("web", 6, lifetime="service")
    await federation.run(35)
    cycles = federation.daemon.state.cycles
    moments = (
        (begin_s - 18, {"cern": 2, "cloud": 4}),
        (begin_s, {"cloud": 4}),
        (begin_s + 32, {"cern": 2, "cloud": 4}),
    )
    for moment_s, expected in moments:
        await federation.run(moment_s - 0.25 - federation.clock.now_s())
        assert federation.placed("web") != expected
        await federation.run(0.75)
        assert federation.placed("web") == expected
    assert federation.daemon.state.cycles - cycles < 60, "it does not plan all the time"
    await federation.crash()


@pytest.mark.parametrize("waits_s", [25, 45])
async def test_a_snapshot_of_a_cluster_in_a_downtime_plans_the_same_offline(
    federation: Federation, waits_s: float
) -> None:
    write(federation, announced(federation, 40, 100, "20s", reason="new: switches"))
    await federation.start()
    await federation.submit("web", 6, lifetime="service")
    await federation.run(waits_s)
    documents = await federation.daemon.service.snapshot()
    offline = plan(to_snapshot(read_objects(documents)))
    live = federation.daemon.state.plan
    assert offline.placements == live.placements
    assert [one.reasons for one in offline.refusals] == [one.reasons for one in live.refusals]
    (cern,) = (one for one in documents if one["kind"] == "Cluster" and one["metadata"]["name"] == "cern")
    assert cern["spec"]["observed"]["downtime"]["reason"] == "new: switches"
    assert cern["spec"]["observed"].get("vacated", False) is (waits_s > 40)


async def test_a_plan_of_what_is_not_there_yet_heeds_its_downtime(federation: Federation) -> None:
    await federation.start()
    await federation.submit("web", 8, lifetime="service")
    await federation.run(5)
    made = await federation.daemon.service.plan([announced(federation, 0, 60)])
    assert {one["cluster"]: one["replicas"] for one in made["placements"]} == {"cloud": 4}
