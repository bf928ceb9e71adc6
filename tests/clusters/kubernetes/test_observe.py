"""What is said of an intent, from what the cluster has of it."""

from __future__ import annotations

from typing import Any

import pytest

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.cache import Cache
from federator.clusters.kubernetes.objects import DEPLOYMENT, JOB, Kind
from federator.clusters.outcomes import Outcomes, uncounted
from federator.model.indexset import IndexSet
from federator.model.intent import ObservedIntent
from tests.clusters.kubernetes.shapes import Json, condition, containers, ours, pod


class Seen:
    """A cache that is told things, and asked about the intent ``w1``."""

    def __init__(self) -> None:
        self.cache = Cache("fed", Outcomes("cern", uncounted))

    def object(self, name: str, indices: str, kind: Kind = JOB, **more: Any) -> Seen:
        record = self.cache.read_object(ours(kind[1], name, indices, **more), kind)
        assert record is not None
        self.cache.objects(kind).put(record)
        return self

    def pod(self, name: str, **more: Any) -> Seen:
        record = self.cache.read_pod(pod(name, intent="w1", **more))
        assert record is not None
        self.cache.pods.put(record)
        return self

    def gone(self, uid: str) -> Seen:
        (self.cache.pods if uid.startswith("pod") else self.cache.objects(JOB)).drop(uid)
        return self

    @property
    def w1(self) -> ObservedIntent:
        return self.cache.observed()["w1"]


def each(observed: ObservedIntent) -> tuple[str, str, str, str]:
    failed = IndexSet.of(failure.index for failure in observed.failed)
    return str(observed.pending), str(observed.running), str(observed.succeeded), str(failed)


def test_replicas_whose_pods_are_not_made_yet_are_pending_and_use_no_node() -> None:
    seen = Seen().object("w1-0", "0").object("w1-1", "1")
    assert each(seen.w1) == ("0-1", "", "", "")
    assert (seen.w1.bound, seen.w1.replicas, seen.w1.leaving) == (0, 2, False)


def test_each_replica_is_what_its_pod_is() -> None:
    seen = Seen()
    for index in range(4):
        seen.object(f"w1-{index}", str(index))
    seen.pod("a", index=0, node="n1")
    seen.pod("b", index=1, node="n1", phase="Running", status=containers("running", startedAt="2026-01-01T00:01:40Z"))
    seen.pod("c", index=2, node="n1", phase="Succeeded")
    seen.pod("d", index=3, node="n1", phase="Failed", status=containers("terminated", exitCode=3, reason="Error"))

    assert each(seen.w1) == ("0", "1", "2", "3")
    assert seen.w1.bound == 2
    assert seen.w1.started_s == 1767225700.0
    (failure,) = seen.w1.failed
    assert (failure.reason, failure.exit_code, failure.node, failure.own_fault) == ("Error", 3, "n1", True)


def test_a_success_outlives_its_pod_and_even_a_second_copy() -> None:
    seen = Seen().object("w1-0", "0").pod("a", index=0, node="n1", phase="Succeeded")
    seen.gone("pod-a")
    assert each(seen.w1) == ("", "", "0", "")
    seen.object("w1-0", "0", status={"succeeded": 1, "conditions": [condition("Complete")]})
    assert each(seen.w1) == ("", "", "0", "")


def test_an_indexed_job_counts_its_own_indices_when_the_pods_are_gone() -> None:
    status = {"completedIndexes": "0,2", "failedIndexes": "1"}
    seen = Seen().object("w1", "4,7,9,11", status=status)

    assert each(seen.w1) == ("11", "", "4,9", "7")
    (failure,) = seen.w1.failed
    assert (failure.reason, failure.own_fault) == ("PodLost", False)


def test_a_pod_of_an_indexed_job_speaks_for_the_index_at_its_place() -> None:
    notes = {names.COMPLETION_INDEX: "2", names.INDICES: "4,7,9"}
    seen = Seen().object("w1", "4,7,9").pod("w1-2-abc", annotations=notes, node="n1", phase="Running")
    assert each(seen.w1) == ("4,7", "9", "", "")


def test_how_a_pod_failed_is_remembered_until_its_job_counts_it() -> None:
    notes = {names.COMPLETION_INDEX: "1", names.INDICES: "0-1"}
    oom = containers("terminated", exitCode=137, reason="OOMKilled")
    seen = Seen().object("w1", "0-1").pod("a", annotations=notes, node="n1", phase="Failed", status=oom)
    seen.gone("pod-a").object("w1", "0-1", status={"failedIndexes": "1"})

    (failure,) = seen.w1.failed
    assert (failure.index, failure.reason, failure.exit_code, failure.node) == (1, "OOMKilled", 137, "n1")


def test_a_pod_that_vanished_before_its_end_is_made_again_by_its_job() -> None:
    """On a server that does not count deletions as failures the Job makes a new pod: the replica waits, no more."""
    seen = Seen().object("w1-0", "0").pod("a", index=0, node="n1", phase="Running")
    seen.gone("pod-a")
    assert each(seen.w1) == ("0", "", "", "")
    assert seen.w1.bound == 0
    seen.pod("b", index=0, node="n2", phase="Running", created="2026-01-01T00:05:00Z")
    assert each(seen.w1) == ("", "0", "", "")


def test_a_pod_that_vanished_counts_as_taken_away_where_its_job_gives_up() -> None:
    seen = Seen().object("w1-0", "0").pod("a", index=0, node="n1", phase="Running")
    seen.gone("pod-a").object("w1-0", "0", status={"conditions": [condition("Failed", reason="BackoffLimitExceeded")]})
    (failure,) = seen.w1.failed
    assert (failure.reason, failure.own_fault, failure.node) == ("Deleted", False, "n1")


def test_the_newer_of_two_pods_of_a_replica_speaks_for_it() -> None:
    seen = Seen().object("w1-0", "0")
    seen.pod("old", index=0, node="n1", phase="Running", deleted="2026-01-01T00:01:00Z")
    seen.pod("new", index=0, created="2026-01-01T00:00:40Z")
    assert each(seen.w1) == ("0", "", "", "")


@pytest.mark.parametrize(
    ("status", "reason", "own_fault"),
    [
        (containers("terminated", exitCode=137, reason="OOMKilled"), "OOMKilled", True),
        ({"reason": "DeadlineExceeded", "message": "was active too long"}, "DeadlineExceeded", True),
        ({"reason": "Evicted", "message": "The node was low on resource: memory."}, "Evicted", False),
        (
            {"reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds the total limit"},
            "Evicted",
            True,
        ),
        ({"reason": "NodeLost"}, "NodeLost", False),
        ({"conditions": [condition("DisruptionTarget", reason="PreemptionByScheduler")]}, "Preempted", False),
        (
            {"conditions": [condition("DisruptionTarget", reason="EvictionByEvictionAPI")]},
            "EvictionByEvictionAPI",
            False,
        ),
        (containers("terminated", exitCode=128, reason="StartError", message="no such file"), "StartError", True),
        ({}, "Error", True),
    ],
)
def test_how_a_pod_ended_says_whose_fault_it_was(status: Json, reason: str, own_fault: bool) -> None:
    seen = Seen().object("w1-0", "0").pod("a", index=0, node="n1", phase="Failed", status=status)
    (failure,) = seen.w1.failed
    assert (failure.reason, failure.own_fault) == (reason, own_fault)


@pytest.mark.parametrize(("ended", "own_fault"), [("2026-01-01T00:00:40Z", False), ("2026-01-01T00:00:10Z", True)])
def test_a_pod_that_somebody_deleted_while_it_ran_did_not_fail_by_itself(ended: str, own_fault: bool) -> None:
    """Its deletion was asked for at 0:30, thirty seconds before its timestamp."""
    status = containers("terminated", exitCode=143, reason="Error", finishedAt=ended)
    seen = Seen().object("w1-0", "0")
    seen.pod("a", index=0, node="n1", phase="Failed", status=status, deleted="2026-01-01T00:01:00Z")
    assert seen.w1.failed[0].own_fault is own_fault


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (
            {"conditions": [condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes")]},
            "Unschedulable",
            "0/3 nodes",
        ),
        (containers("waiting", reason="ImagePullBackOff", message="not found"), "ImagePullBackOff", "not found"),
        (
            containers("waiting", reason="CreateContainerConfigError", message="no secret"),
            "CreateContainerConfigError",
            "no secret",
        ),
    ],
)
def test_what_keeps_a_replica_from_running_is_noted_in_the_cluster_s_words(
    status: Json, reason: str, message: str
) -> None:
    seen = Seen().object("w1-0", "0").pod("a", index=0, status=status)
    (note,) = seen.w1.notes
    assert (note.index, note.reason, note.message) == (0, reason, message)


def test_a_container_that_is_merely_being_created_is_no_news() -> None:
    seen = (
        Seen().object("w1-0", "0").pod("a", index=0, node="n", status=containers("waiting", reason="ContainerCreating"))
    )
    assert seen.w1.notes == ()


def test_a_job_that_cannot_make_its_pod_says_why() -> None:
    seen = Seen().object("w1-0", "0")
    involved = {"kind": "Job", "uid": "Job-w1-0", "name": "w1-0"}
    words = "pods is forbidden: exceeded quota"
    seen.cache.hear({"involvedObject": involved, "reason": "FailedCreate", "message": words, "metadata": {}})
    assert [(note.reason, note.message) for note in seen.w1.notes] == [("FailedCreate", words)]


def test_a_service_runs_as_many_replicas_as_it_has_running_pods() -> None:
    seen = Seen().object("w1", "0-3", kind=DEPLOYMENT, spec={"replicas": 4})
    seen.pod("a", node="n1", created="2026-01-01T00:00:02Z")
    seen.pod("b", node="n1", phase="Running", status=containers("running"))
    crashing = containers("waiting", reason="CrashLoopBackOff")
    seen.pod("c", node="n1", phase="Running", created="2026-01-01T00:00:03Z", status=crashing)

    assert each(seen.w1) == ("1-3", "0", "", "")
    assert (seen.w1.bound, seen.w1.replicas) == (3, 4)
    assert [(note.index, note.reason) for note in seen.w1.notes] == [(2, "CrashLoopBackOff")]


def test_pods_beyond_the_number_wanted_are_not_counted() -> None:
    seen = Seen().object("w1", "0-1", kind=DEPLOYMENT, spec={"replicas": 2})
    for name in "abc":
        seen.pod(name, node="n1", phase="Running")
    assert each(seen.w1) == ("", "0-1", "", "")
    assert seen.w1.bound == 2


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"conditions": [condition("Succeeded")]}, ("", "", "0-2", "")),
        ({"conditions": [condition("Failed", reason="MPIJobFailed")]}, ("", "", "", "0-2")),
        ({"conditions": [condition("Running")]}, ("0-2", "", "", "")),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "FAILED"}, ("", "", "", "0-2")),
        ({"applicationState": {"state": "COMPLETED"}}, ("", "", "0-2", "")),
        ({"phase": "Succeeded"}, ("", "", "0-2", "")),
        ({"state": "odd"}, ("0-2", "", "", "")),
    ],
)
def test_all_replicas_of_another_kind_end_as_the_object_says(status: Json, expected: tuple[str, ...]) -> None:
    seen = Seen().object("w1", "0-2", kind=("kubeflow.org/v2beta1", "MPIJob"), status=status)
    assert each(seen.w1) == expected


def test_an_intent_is_leaving_until_its_last_pod_is_gone() -> None:
    seen = Seen().object("w1-0", "0").pod("a", index=0, node="n1", phase="Running")
    seen.object("w1-0", "0", deleting=True)
    assert (seen.w1.leaving, each(seen.w1)) == (True, ("", "0", "", ""))
    seen.gone("Job-w1-0")
    assert (seen.w1.leaving, seen.w1.bound) == (True, 1)
    seen.gone("pod-a")
    assert seen.cache.observed() == {}


def test_withdrawn_replicas_are_no_longer_spoken_of_once_they_are_gone() -> None:
    withdrawn = {names.WITHDRAWN: "1"}
    seen = Seen().object("w1", "0-2", annotations=withdrawn, status={"failedIndexes": "1"})
    assert each(seen.w1) == ("0,2", "", "", "")


def test_objects_of_another_federation_are_not_ours() -> None:
    cache = Cache("other", Outcomes("cern", uncounted))
    assert cache.read_object(ours("Job", "w1", "0"), JOB) is None
    theirs = cache.read_pod(pod("a", intent="w1", node="n1"))
    assert theirs is not None
    assert theirs.ours is None
