"""What the daemon does with work, in moved time."""

from __future__ import annotations

import pytest

from federator.daemon.service import Conflict, NotFound
from federator.documents import DocumentErrors
from federator.ports import OrderRefused
from tests.daemon.federation import Federation, fake, named, tiers


async def test_work_fills_cern_before_the_cloud_and_ends(federation: Federation) -> None:
    await federation.start()
    await federation.submit("reco", 10)
    await federation.run(3)
    assert federation.placed("reco") == {"cern": 8, "cloud": 2}
    await federation.until(lambda: federation.state("reco") == "finished")
    assert federation.kinds("reco") == ["submitted", "placed", "dispatched", "running", *["completed"] * 2, "finished"]


async def test_what_finds_no_place_waits_and_says_why(federation: Federation) -> None:
    await federation.start()
    await federation.submit("first", 12)
    await federation.run(3)
    await federation.submit("second", 3)
    await federation.run(3)
    view = await federation.view("second")
    assert (view["state"], view["waiting"]) == ("waiting", 3)
    assert "cern" in view["message"]
    assert "a replica needs 1 cpu" in view["message"]
    explained = await federation.daemon.service.explain("second")
    assert {c["cluster"]: c["reason"] for c in explained["clusters"]} == {"cern": "NoRoom", "cloud": "NoRoom"}
    assert explained["policy"] == "cern-first"
    await federation.until(lambda: federation.state("second") == "finished")


async def test_a_replica_that_fails_is_run_again_and_a_workload_fails_when_its_retries_are_used_up(
    federation: Federation,
) -> None:
    await federation.start()
    await federation.submit("bad", 1, retries=2, env={"FAKE_RUN_S": 1, "FAKE_EXIT_CODE": 3})
    await federation.until(lambda: federation.state("bad") == "failed")
    assert federation.kinds("bad").count("failed") == 3 + 1, "three failures of the replica, one of the workload"
    view = await federation.view("bad")
    assert "exit code 3" in view["message"]
    assert "it has failed 3 times" in view["message"]
    await federation.run(2)
    assert federation.placed("bad") == {}


async def test_a_replica_that_was_taken_away_goes_back_and_pays_nothing(federation: Federation) -> None:
    await federation.start()
    await federation.submit("reco", 8, retries=0)
    await federation.run(5)
    federation.providers["cern"].lose_node("standard-0")
    await federation.until(lambda: federation.state("reco") == "finished")
    assert federation.store.workloads["reco"].failures == {}
    assert federation.placed("reco") == {}


async def test_a_cancelled_workload_leaves_nothing_anywhere(federation: Federation) -> None:
    await federation.start()
    await federation.submit("reco", 12)
    await federation.run(5)
    await federation.daemon.service.cancel("reco", permit=lambda queue: None)
    await federation.until(lambda: federation.state("reco") == "cancelled")
    assert federation.running("cern") == federation.running("cloud") == 0
    assert not federation.store.intents
    await federation.daemon.service.delete("workloads", "reco", permit=lambda queue: None)
    await federation.run(2)
    with pytest.raises(NotFound, match="there is no workload 'reco'"):
        await federation.view("reco")


async def test_a_running_workload_that_is_deleted_is_forgotten_when_it_is_gone(federation: Federation) -> None:
    await federation.start()
    await federation.submit("reco", 12)
    await federation.run(5)
    await federation.daemon.service.delete("workloads", "reco", permit=lambda queue: None)
    with pytest.raises(Conflict, match="is being deleted"):
        await federation.submit("reco", 12)
    await federation.until(lambda: federation.state("reco") == "forgotten")
    assert federation.running("cern") == 0
    assert not federation.store.intents


async def test_what_ended_is_let_go_of_at_its_cluster_after_its_time(federation: Federation) -> None:
    await federation.start()
    await federation.submit("reco", 1, env={"FAKE_RUN_S": 1})
    await federation.until(lambda: federation.state("reco") == "finished")
    assert federation.providers["cern"].cluster.observed(), "its logs can still be read"
    await federation.run(700, step_s=5)
    assert not federation.providers["cern"].cluster.observed()
    assert not federation.store.intents


async def test_the_same_work_handed_in_twice_is_one_workload_and_other_work_of_its_name_is_refused(
    federation: Federation,
) -> None:
    await federation.start()
    await federation.submit("reco", 2)
    await federation.submit("reco", 2)
    with pytest.raises(Conflict, match="another workload 'reco' is there already"):
        await federation.submit("reco", 3)
    assert len(federation.store.workloads) == 1


async def test_all_of_a_request_is_taken_or_nothing(federation: Federation) -> None:
    await federation.start()
    good = named("Workload", "good", {"replicas": 1, "requests": {"cpu": 1}, "container": {"command": ["x"]}})
    idle = named("Workload", "idle", {"replicas": 1, "requests": {"cpu": 1}})
    with pytest.raises(DocumentErrors, match="does not say what its replicas run"):
        await federation.daemon.service.submit([good, idle], owner="me", permit=lambda queue: None)
    assert not federation.store.workloads


async def test_nothing_of_a_mixed_request_is_applied_where_one_part_cannot_be(federation: Federation) -> None:
    await federation.start()
    await federation.submit("reco", 2)
    other = named("Workload", "reco", {"replicas": 3, "requests": {"cpu": 1}, "container": {"command": ["x"]}})
    policy = tiers("mine", "cloud", order=1)
    with pytest.raises(Conflict, match="another workload 'reco'"):
        await federation.daemon.service.apply([policy, other], owner="me", permit=lambda queue: None)
    assert [p.name for p in federation.daemon.state.policies] == ["cern-first"]
    assert not federation.store.objects


async def test_nobody_changes_a_workload_of_a_queue_that_is_not_theirs(federation: Federation) -> None:
    await federation.start()
    await federation.submit("web", 1, lifetime="service", queue="theirs")

    def only_mine(queue: str) -> None:
        if queue != "mine":
            raise PermissionError(queue)

    body = {"queue": "mine", "replicas": 9, "requests": {"cpu": 1}, "lifetime": "service"}
    web = named("Workload", "web", {**body, "container": {"command": ["x"]}})
    with pytest.raises(PermissionError, match="theirs"):
        await federation.daemon.service.apply([web], owner="me", permit=only_mine)
    assert federation.store.workloads["web"].queue == "theirs"


async def test_a_cluster_that_refuses_for_good_is_not_asked_again_and_says_why(federation: Federation) -> None:
    await federation.start()
    refusal = OrderRefused("AdmissionDenied", "no images from example.org", permanent=True)
    federation.providers["cern"].refuse(refusal)
    await federation.submit("reco", 4)
    await federation.run(10)
    assert federation.placed("reco") == {"cloud": 4}
    explained = await federation.daemon.service.explain("reco")
    verdicts = {c["cluster"]: c["message"] for c in explained["clusters"]}
    assert "no images from example.org" in verdicts["cern"]


async def test_a_cluster_that_refuses_for_now_is_asked_again(federation: Federation) -> None:
    await federation.start()
    federation.providers["cern"].refuse(OrderRefused("TooManyRequests", "slow down", permanent=False), count=3)
    await federation.submit("reco", 4)
    await federation.until(lambda: federation.state("reco") == "finished")
    assert federation.kinds("reco").count("placed") == 1


async def test_an_answer_that_was_lost_makes_no_second_copy(federation: Federation) -> None:
    await federation.start()
    federation.providers["cern"].lose_answers(2)
    federation.providers["cern"].repeat_orders(2, after_s=3.0)
    await federation.submit("reco", 8)
    await federation.until(lambda: federation.state("reco") == "finished")
    assert "duplicate" not in federation.kinds("reco")
    assert federation.kinds("reco").count("placed") == 1


async def test_a_service_follows_its_number_and_its_spec(federation: Federation) -> None:
    await federation.start()
    await federation.submit("web", 3, lifetime="service")
    await federation.run(5)
    assert federation.placed("web") == {"cern": 3}
    body = {"replicas": 10, "requests": {"cpu": 1}, "lifetime": "service", "container": {"command": ["payload"]}}
    await federation.daemon.service.apply([named("Workload", "web", body)], owner="me", permit=lambda queue: None)
    await federation.run(5)
    assert federation.placed("web") == {"cern": 8, "cloud": 2}
    assert federation.running("cern") == 8
    await federation.daemon.service.apply(
        [named("Workload", "web", {**body, "replicas": 2})], owner="me", permit=lambda queue: None
    )
    await federation.run(5)
    assert (federation.placed("web"), federation.running("cern")) == ({"cern": 2}, 2)


async def test_a_drained_cluster_gives_its_work_away_as_far_as_there_is_room_elsewhere(federation: Federation) -> None:
    await federation.start()
    await federation.submit("web", 6, lifetime="service")
    await federation.run(5)
    await federation.daemon.service.set_drain("cern", True)
    await federation.run(30)
    assert federation.placed("web") == {"cern": 2, "cloud": 4}
    federation.write(
        fake("cern", 4, 2), fake("cloud", 4), fake("more", 4), tiers("cern-first", "cern", "cloud", "more")
    )
    await federation.run(30)
    assert federation.placed("web") == {"cloud": 4, "more": 2}


async def test_what_finds_no_other_place_stops_when_the_deadline_of_draining_is_over(federation: Federation) -> None:
    """Also over a crash; and once the cluster takes work again, it goes on."""
    await federation.start()
    await federation.submit("web", 6, lifetime="service")
    await federation.run(5)
    await federation.daemon.service.set_drain("cern", True, 60.0)
    await federation.run(30)
    assert federation.placed("web") == {"cern": 2, "cloud": 4}
    await federation.crash()
    await federation.start()
    await federation.run(60)
    assert (federation.placed("web"), federation.running("cern")) == ({"cloud": 4}, 0)
    (refusal,) = federation.daemon.state.plan.refusals
    assert "its deadline is over" in refusal.reasons["cern"].message
    shown = await federation.daemon.service.get("clusters", "cern")
    assert (shown["draining"], shown["drainBy"] <= federation.clock.now_s()) == (True, True)
    await federation.daemon.service.set_drain("cern", False)
    await federation.run(30)
    assert federation.placed("web") == {"cern": 2, "cloud": 4}
    assert (await federation.daemon.service.get("clusters", "cern"))["drainBy"] is None


async def test_a_cordoned_cluster_keeps_what_it_has_and_gets_nothing_new(federation: Federation) -> None:
    await federation.start()
    await federation.submit("web", 3, lifetime="service")
    await federation.run(5)
    await federation.daemon.service.set_cordon("cern", True)
    await federation.submit("reco", 2)
    await federation.run(5)
    assert federation.placed("web") == {"cern": 3}
    assert federation.placed("reco") == {"cloud": 2}
    await federation.crash()
    await federation.start()
    assert (await federation.daemon.service.get("clusters", "cern"))["cordoned"], "kept over a restart"
