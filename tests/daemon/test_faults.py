"""What the daemon does when clusters, the store, or itself fail."""

from __future__ import annotations

import random

import pytest

from federator.ports import StoreUnavailable
from tests.daemon.federation import Federation, fake, named, tiers

GRACE = named("Planning", "default", {"outageGrace": "60s"})


async def outage(federation: Federation, **spec: object) -> None:
    """Eight replicas at CERN, which goes away."""
    federation.write(GRACE, file="planning.yaml")
    await federation.start()
    await federation.submit("web", 4, lifetime="service", **spec)
    await federation.run(5)
    assert federation.placed("web") == {"cern": 4}
    federation.providers["cern"].go_away()


async def test_work_stays_at_a_cluster_that_is_away_for_less_than_the_grace(federation: Federation) -> None:
    await outage(federation)
    await federation.run(50)
    assert federation.placed("web") == {"cern": 4}
    federation.providers["cern"].come_back()
    await federation.run(20)
    assert (federation.placed("web"), federation.running("cern")) == ({"cern": 4}, 4)


async def test_work_leaves_a_lost_cluster_and_the_surplus_is_removed_at_its_return(federation: Federation) -> None:
    await outage(federation)
    await federation.run(75)
    assert federation.placed("web") == {"cloud": 4}
    assert federation.running("cern") == 4, "nobody can stop them there"
    federation.providers["cern"].come_back()
    await federation.run(60)
    assert federation.running("cern") + federation.running("cloud") == 4


@pytest.mark.thorough
async def test_a_lost_cluster_goes_on_with_what_found_no_place_elsewhere(federation: Federation) -> None:
    federation.write(GRACE, file="planning.yaml")
    await federation.start()
    await federation.submit("long", 8, env={"FAKE_RUN_S": 1000})
    await federation.run(5)
    federation.providers["cern"].go_away()
    await federation.run(80)
    assert federation.placed("long") == {"cern": 4, "cloud": 4}
    federation.providers["cern"].come_back()
    await federation.run(30)
    assert (federation.running("cern"), federation.running("cloud")) == (4, 4)
    await federation.run(1000, step_s=50)
    assert federation.state("long") == "finished"
    assert "duplicate" not in federation.kinds("long")


async def test_a_replica_that_ended_while_its_cluster_was_away_counts_once(federation: Federation) -> None:
    federation.write(GRACE, file="planning.yaml")
    await federation.start()
    await federation.submit("reco", 4, env={"FAKE_RUN_S": 70})
    await federation.run(5)
    federation.providers["cern"].go_away()
    await federation.until(lambda: federation.running("cloud") == 4)
    federation.providers["cern"].come_back()
    await federation.until(lambda: federation.state("reco") == "finished")
    record = federation.store.workloads["reco"]
    assert len(record.finished[""]) == 4
    await federation.run(100)
    assert federation.running("cloud") == 0, "the copies that nobody needs any more are removed"


async def test_a_slow_cluster_holds_up_nobody_else(federation: Federation) -> None:
    await federation.start()
    federation.providers["cern"].slow_down(8.0)
    await federation.submit("reco", 10)
    await federation.run(4)
    assert federation.running("cloud") == 2


async def test_nothing_is_sent_while_the_store_is_down_and_all_goes_on_afterwards(federation: Federation) -> None:
    await federation.start()
    federation.store.down = "database or disk is full"
    with pytest.raises(StoreUnavailable):
        await federation.submit("reco", 4)
    assert federation.daemon.state.workloads == {}
    federation.store.down = ""
    await federation.submit("reco", 4)
    federation.store.down = "database is locked"
    await federation.run(20)
    assert federation.running("cern") == 0, "no order may go out before its intent is written"
    assert not federation.daemon.service.ready()["ready"]
    federation.store.down = ""
    await federation.until(lambda: federation.state("reco") == "finished")
    assert federation.daemon.service.ready()["ready"]


async def test_replicas_that_find_no_node_are_recalled_and_placed_elsewhere(federation: Federation) -> None:
    """Somebody else's work sits on CERN's nodes in a way that the planner's numbers do not show."""
    await federation.start()
    world = federation.providers["cern"].cluster
    for node in ("standard-0", "standard-1"):
        federation.providers["cern"].lose_node(node)
    flavors = world.flavors
    world.flavors = lambda: fake_flavors  # type: ignore[method-assign]
    fake_flavors = federation.daemon.state.members["cloud"].observation.flavors  # type: ignore[union-attr]
    await federation.submit("reco", 3)
    await federation.until(lambda: federation.placed("reco") == {"cloud": 3}, 60)
    assert "recalled" in federation.kinds("reco")
    explained = await federation.daemon.service.explain("reco")
    assert {c["cluster"]: c["reason"] for c in explained["clusters"]}["cern"] == "Unschedulable"
    world.flavors = flavors  # type: ignore[method-assign]


async def test_a_bad_file_keeps_the_set_before_it_and_says_so(federation: Federation) -> None:
    await federation.start()
    (federation.folder / "bad.yaml").write_text("kind: PlacementPolicy\nspec: {tires: []}\n")
    # Files are looked at in a thread, which is not bound to the clock that is moved.
    await federation.until(lambda: bool(federation.daemon.state.file_problem))
    assert [p.name for p in federation.daemon.state.policies] == ["cern-first"]
    detail = next(c["detail"] for c in federation.daemon.service.ready()["checks"] if c["name"] == "files")
    assert "bad.yaml" in detail
    assert "federator_stale_policies 1.0" in federation.daemon.metrics.render()[0].decode()
    (federation.folder / "bad.yaml").unlink()
    federation.write(tiers("cloud-first", "cloud", "cern", order=1), file="more.yaml")
    await federation.until(lambda: not federation.daemon.state.file_problem)
    assert [p.name for p in federation.daemon.state.policies] == ["cern-first", "cloud-first"]
    assert "federator_stale_policies 0.0" in federation.daemon.metrics.render()[0].decode()


async def test_a_cluster_that_leaves_the_files_is_emptied_first(federation: Federation) -> None:
    await federation.start()
    await federation.submit("web", 2, lifetime="service")
    await federation.run(5)
    federation.write(fake("cloud", 4), tiers("cloud-only", "cloud"))
    await federation.run(60)
    assert federation.placed("web") == {"cloud": 2}
    assert list(federation.daemon.state.members) == ["cloud"]
    assert federation.running("cern") == 0


async def test_what_nobody_means_is_removed(federation: Federation) -> None:
    await federation.start()
    await federation.submit("reco", 2, env={"FAKE_RUN_S": 1000})
    await federation.run(5)
    await federation.crash()
    federation.store.intents.clear()
    federation.store.workloads.clear()
    await federation.start()
    await federation.run(10)
    assert federation.running("cern") == 0


@pytest.mark.parametrize("seed", range(6))
async def test_a_daemon_that_crashes_at_any_moment_loses_nothing_and_completes_nothing_twice(
    federation: Federation, seed: int
) -> None:
    """Crashes, lost answers, repeated orders and outages at moments drawn by a seed."""
    chance = random.Random(seed)
    await federation.start()
    for number in range(4):
        await federation.submit(f"w{number}", 6, env={"FAKE_RUN_S": 5})
    for _ in range(12):
        provider = federation.providers[chance.choice(["cern", "cloud"])]
        trouble = chance.choice(["crash", "lose", "repeat", "away", "evict"])
        if trouble == "crash":
            await federation.crash()
            await federation.daemon.start()
        elif trouble == "lose":
            provider.lose_answers(2)
        elif trouble == "repeat":
            provider.repeat_orders(2, after_s=chance.uniform(0, 5))
        elif trouble == "away":
            provider.go_away()
            await federation.run(chance.uniform(0.3, 8))
            provider.come_back()
        else:
            for intent_id, seen in list(provider.cluster.observed().items()):
                provider.evict(intent_id, seen.running)
        await federation.run(chance.uniform(0.05, 3))
    for number in range(4):
        await federation.until(lambda n=number: federation.state(f"w{n}") == "finished")  # type: ignore[misc]
        assert len(federation.store.workloads[f"w{number}"].finished[""]) == 6
        assert "duplicate" not in federation.kinds(f"w{number}"), f"seed {seed}\n{federation.story()}"
