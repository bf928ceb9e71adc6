"""Backfill at a Kubernetes cluster: its class of priority, what of it counts as free, and how its end is read."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.objects import JOB
from federator.model.intent import PREEMPTED
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.fake_api import FakeApi, Trouble
from tests.clusters.kubernetes.fake_member import opened, until
from tests.clusters.kubernetes.shapes import Json, condition, containers, ours, pod
from tests.clusters.kubernetes.test_observe import Seen, each

SAVED = containers("terminated", exitCode=0, reason="Completed", finishedAt="2026-01-01T00:00:40Z")
TOLD = "2026-01-01T00:01:00Z"
"""The end of the grace: it was told to end at 00:00:30."""


async def test_backfill_has_a_class_that_gives_way_and_the_time_to_save_what_it_has(
    api: FakeApi, tmp_path: Path
) -> None:
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("fill", 1, backfill=True, grace_s=4.5))
        await provider.submit(orders.batch("work", 1))
        assert "backfill" in (await provider.observe()).abilities
    classes = {found["metadata"]["name"]: (found["value"], found["preemptionPolicy"]) for found in classes_of(api)}
    assert classes == {"federator-work": (0, "PreemptLowerPriority"), "federator-backfill": (-1000, "Never")}
    fill, work = (api.objects["jobs"]["work", name]["spec"]["template"] for name in ("fill", "work"))
    assert (fill["spec"]["priorityClassName"], work["spec"]["priorityClassName"]) == tuple(reversed(list(classes)))
    assert fill["spec"]["terminationGracePeriodSeconds"] == 5
    assert "terminationGracePeriodSeconds" not in work["spec"]
    assert (names.BACKFILL in fill["metadata"]["labels"], names.BACKFILL in work["metadata"]["labels"]) == (True, False)


def classes_of(api: FakeApi) -> list[Json]:
    return api.all("priorityclasses")


@pytest.mark.parametrize(
    ("work", "backfill"), [((1000, "Never"), (-1000, "Never")), ((0, "PreemptLowerPriority"), (0, "Never"))]
)
async def test_a_cluster_whose_classes_displace_no_backfill_is_not_filled(
    api: FakeApi, tmp_path: Path, work: tuple[int, str], backfill: tuple[int, str]
) -> None:
    """The first is the class that versions before made, under another name."""
    for name, (value, policy) in {"federator-work": work, "federator-backfill": backfill}.items():
        await api.put("priorityclasses", {"metadata": {"name": name}, "value": value, "preemptionPolicy": policy})
    async with opened(api, tmp_path) as provider:
        assert "backfill" not in (await provider.observe()).abilities


async def test_where_no_class_may_be_made_nothing_is_filled_and_work_goes_on(
    api: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.troubles.append(Trouble("POST", "/priorityclasses", 403, "cannot create", times=9))
    with caplog.at_level(logging.WARNING):
        async with opened(api, tmp_path) as provider:
            await provider.submit(orders.batch("w1", 1))
            assert "backfill" not in (await provider.observe()).abilities
    assert "priorityClassName" not in api.all("jobs")[0]["spec"]["template"]["spec"]
    said = [record.getMessage() for record in caplog.records if "PriorityClass" in record.getMessage()]
    assert [words.split()[3] for words in said] == ["federator-work", "federator-backfill"]


async def test_what_backfill_uses_counts_as_free(api: FakeApi, tmp_path: Path) -> None:
    filler = pod("f", node="a", phase="Running", cpu="6", intent="fill", index=0)
    filler["metadata"]["labels"][names.BACKFILL] = "true"
    async with opened(api, tmp_path) as provider:
        await api.put("pods", filler)
        await api.put("pods", pod("w", node="a", phase="Running", cpu="1", intent="work", index=0))
        seen = await until(provider, lambda seen: len(seen.intents) == 2)
    free = sorted(group.free["cpu"] for flavor in seen.flavors or () for group in flavor.nodes)
    assert free == [7000, 8000]
    assert (seen.intents["fill"].bound, seen.foreign["cpu"]) == (1, 0)


def ended(status: Json, *, deleted: str = "", backfill: bool = True) -> Seen:
    """The first replica of ``w1``, whose Job counted it as done."""
    succeeded = {"conditions": [condition("Complete")]}
    raw = pod("a", intent="w1", index=0, node="n1", phase="Succeeded", status=status, deleted=deleted)
    raw["metadata"]["labels"] |= {names.BACKFILL: "true"} if backfill else {}
    seen = Seen()
    job = ours("Job", "w1-0", "0", status=succeeded)
    job["metadata"]["labels"] |= raw["metadata"]["labels"]
    record, found = seen.cache.read_object(job, JOB), seen.cache.read_pod(raw)
    assert record is not None
    assert found is not None
    seen.cache.objects(JOB).put(record)
    seen.cache.pods.put(found)
    return seen


@pytest.mark.parametrize("gone", [False, True], ids=["its pod is there", "its pod is gone"])
@pytest.mark.parametrize(
    ("status", "deleted", "reason"),
    [
        (SAVED, TOLD, "Deleted"),
        ({**SAVED, "conditions": [condition("DisruptionTarget", reason="PreemptionByScheduler")]}, TOLD, PREEMPTED),
    ],
    ids=["1.20", "1.26"],
)
def test_backfill_that_saved_and_ended_because_it_was_told_to_has_not_done_its_work(
    status: Json, deleted: str, reason: str, gone: bool
) -> None:
    """Its exit code is 0 and its Job counts it: to believe that would count half a task as a whole one."""
    seen = ended(status, deleted=deleted)
    if gone:
        seen.gone("pod-a")
    assert each(seen.w1) == ("", "", "", "0")
    (failure,) = seen.w1.failed
    assert (failure.reason, failure.own_fault) == (reason, False)


@pytest.mark.parametrize(
    ("deleted", "backfill"), [("", True), ("2026-01-01T00:02:00Z", True), (TOLD, False)],
    ids=["nobody asked it to go", "asked when it had ended", "no backfill"],
)  # fmt: skip
def test_what_ended_well_by_itself_is_done(deleted: str, backfill: bool) -> None:
    assert each(ended(SAVED, deleted=deleted, backfill=backfill).w1) == ("", "", "0", "")


def test_a_pod_that_waits_for_what_it_displaces_is_not_unschedulable() -> None:
    """Else it would be withdrawn while the room that is made for it becomes free."""
    waits = condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes are available")
    seen = Seen().object("w1-0", "0")
    seen.pod("a", index=0, status={"conditions": [waits], "nominatedNodeName": "n1"})
    (note,) = seen.w1.notes
    assert (note.reason, note.message) == (
        "Nominated",
        "waits for room that others leave on n1: 0/3 nodes are available",
    )


def test_a_copy_that_its_job_makes_meanwhile_changes_nothing() -> None:
    """Jobs of 1.20 replace a pod that is on its way out, and remove the copy when the pod has ended."""
    seen = ended(SAVED, deleted=TOLD)
    seen.pod("copy", index=0, created="2026-01-01T00:00:31Z")
    assert each(seen.w1) == ("0", "", "", "")
    seen.gone("pod-a").gone("pod-copy")
    assert each(seen.w1) == ("", "", "", "0")
    (failure,) = seen.w1.failed
    assert failure.message == "the pod was deleted while it ran"


def test_what_ended_while_nobody_watched_is_done_only_if_its_pod_says_so() -> None:
    """The federator was dead: of this replica there is no more than the count of its Job."""
    raw = ours("Job", "w1-0", "0", status={"conditions": [condition("Complete")]})
    raw["metadata"]["labels"][names.BACKFILL] = "true"
    seen = Seen()
    record = seen.cache.read_object(raw, JOB)
    assert record is not None
    seen.cache.objects(JOB).put(record)
    (failure,) = seen.w1.failed
    assert (failure.reason, failure.own_fault) == ("PodLost", False)
    assert "cannot tell" in failure.message
