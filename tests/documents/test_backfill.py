"""Backfill documents: their way into the model, and what is refused, where."""

from __future__ import annotations

import pytest
import yaml

from federator.documents import DocumentErrors, read_text, to_cluster, to_filler, to_snapshot
from federator.documents.stored import stamped, workload_spec
from federator.documents.workloads import read_workload
from federator.model.backfill import QuietHours
from federator.model.checkpoints import Checkpoints
from federator.model.intent import Container
from federator.model.resources import Resources

HEAD = "apiVersion: federator.dev/v1alpha1\n"
CERN = HEAD + "kind: Cluster\nmetadata: {name: cern}\n"
WORK = "workload: {requests: {cpu: 1}, container: {command: [simulate]}}"


def backfill(spec: str, work: str = WORK) -> str:
    return f"{HEAD}kind: Backfill\nmetadata: {{name: lhc}}\nspec:\n  {work}\n  {spec}\n"


def test_a_backfill_says_how_much_of_which_clusters_it_fills() -> None:
    (document,) = read_text(
        CERN + "---\n" + backfill(
            "weight: 3\n  keepFree: 5%\n  clusterKeepFree: {cern: {cpu: 20%}}\n  maxShare: 60%\n  grace: 10s\n"
            "  stops: 2s\n  idleFor: 5m\n  idleAtMost: 3%\n"
            "  checkpointEvery: 10m\n  smallestSlice: 5m\n  maxPrice: 0.02\n  maxCarbonIntensity: 100\n"
            "  clusters: {where: 'cluster.name != \"cloud\"'}\n"
            '  quietHours: [{days: [Mon], from: "22:00", to: "06:30", timezone: Europe/Zurich}]'
        )
    ).backfills  # fmt: skip
    filler = to_filler(document)
    assert (filler.name, filler.weight, filler.max_share) == ("backfill-lhc", 3, 600_000)
    assert filler.kept_free("cern", "cpu") == 200_000
    assert filler.kept_free("cern", "memory") == filler.kept_free("other", "cpu") == 50_000
    assert filler.quiet_hours == (QuietHours(22 * 3600, 30 * 3600 + 1800, frozenset({0}), "Europe/Zurich"),)
    assert (filler.max_price, filler.max_carbon) == (20_000, 100.0)
    assert (filler.grace_s, filler.stops_s, filler.smallest_slice_s) == (10.0, 2.0, 300.0)
    assert (filler.idle_for_s, filler.idle_at_most) == (300.0, 30_000)
    workload = filler.workload
    assert workload.backfill
    assert workload.checkpoint_every_s == 600.0
    assert workload.needs == {"process", "backfill"}
    assert workload.clusters.where == '(cluster.name != "cloud")'
    assert workload.roles[0].requests == Resources.of({"cpu": 1000})


def test_a_bag_holds_so_many_tasks_or_has_no_end() -> None:
    (endless,) = read_text(backfill("weight: 1")).backfills
    finite = "workload: {replicas: 500, parallelism: 20, requests: {cpu: 1}, container: {command: [simulate]}}"
    (bag,) = read_text(backfill("weight: 1", finite)).backfills
    assert to_filler(endless).workload.replicas == 1_000_000
    assert (to_filler(bag).workload.replicas, to_filler(bag).workload.parallelism) == (500, 20)


def test_it_becomes_a_workload_that_runs_and_a_part_of_the_snapshot() -> None:
    documents = read_text(backfill("grace: 5s"))
    spec = workload_spec(documents.backfills[0].raw)
    assert spec.containers[""] == Container(command=("simulate",))
    snapshot = to_snapshot(documents)
    assert [filler.workload for filler in snapshot.fillers] == [spec.workload]
    assert not snapshot.workloads, "a filler waits in no queue"


@pytest.mark.parametrize(
    ("text", "place", "message", "cure"),
    [
        (backfill("keepFre: 5%"), "10:3", "there is no 'keepFre' here", "did you mean 'keepFree'?"),
        (backfill("keepFree: 105%"), "10:13", "more than the whole", ""),
        (backfill("weight: 0"), "10:11", "too small", "1"),
        (backfill("clusterKeepFree: {crn: {cpu: 5%}}"), "10:21", "no cluster is called 'crn'", "'cern'"),
        (backfill("clusterKeepFree: {cern: {mem: 5%}}"), "10:28", "no resource is called 'mem'", "'memory'"),
        (backfill("quietHours: [{from: '8', to: '18:00'}]"), "10:23", "'8' is no time of day", "08:00"),
        (backfill("quietHours: [{from: '08:00', to: '18:00', timezone: Mars}]"), "10:55", "time zone", "there are"),
        (backfill("quietHours: [{from: '08:00'}]"), "10:16", "", ""),
        (backfill("grace: soon"), "10:10", "", ""),
        (backfill("grace: 5s\n  stops: 6s"), "11:10", "killed 5 s after", "longer 'grace'"),
        (backfill("weight: 1", "workload: {requests: {cpu: 1}, gang: {}}"), "9:40", "no 'gang'", "one by one"),
        (backfill("weight: 1", "workload: {requests: {cpu: 1}, priority: 3}"), "9:44", "no 'priority'", "after"),
        (backfill("weight: 1", "workload: {roles: [{name: a}]}"), "9:21", "no 'roles'", "requests"),
        (backfill("weight: 1", "workload: {requests: {cpu: 1}, lifetime: service}"), "9:44", "no service", ""),
        (backfill("checkpoints: {url: 'file:///kept'}"), "10:16", "nobody says how often", "checkpointEvery"),
        (backfill("weight: 1", "workload: {}"), "9:13", "nothing limits how many", "give 'requests'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_cure(text: str, place: str, message: str, cure: str) -> None:
    with pytest.raises(DocumentErrors) as caught:
        read_text(CERN + "---\n" + text, "f.yaml")
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"f.yaml:{place}"), str(problem)
    assert message in problem.message
    assert cure in problem.cure


@pytest.mark.parametrize(
    ("provider", "settings", "fills"),
    [
        ("htcondor", "submit: pilots", True),
        ("htcondor", "submit: jobs", False),
        ("slurm", "submit: pilots, directory: /shared", True),
        ("slurm", "submit: jobs, directory: /shared", False),
        ("kubernetes", "", True),
    ],
)
def test_what_fills_a_batch_system_are_pilots(provider: str, settings: str, fills: bool) -> None:
    (document,) = read_text(f"{CERN}spec: {{provider: {provider}, {provider}: {{{settings}}}}}\n").clusters
    assert ("backfill" in to_cluster(document).abilities) is fills


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("kept", "is no address of a store"),
        ("ftp://host/kept", "is no address of a store"),
        ("file://host/kept", "names no folder"),
        ("file:///kept/../etc", "leaves its own folder"),
        ("https:///kept", "names no host"),
        ("s3:///kept", "names no host"),
        ("https://me:secret@host/kept", "would read secrets"),
        ("https://host/kept?token=secret", "would read secrets"),
    ],
)
def test_where_checkpoints_are_kept_is_an_address_without_secrets(url: str, message: str) -> None:
    with pytest.raises(DocumentErrors, match=message):
        read_text(backfill(f"checkpointEvery: 1m\n  checkpoints: {{url: '{url}'}}"), "f.yaml")


def test_checkpoints_need_a_cluster_that_keeps_them() -> None:
    raw = yaml.safe_load(backfill("checkpointEvery: 1m\n  checkpoints: {url: 'file:///kept', limit: 1Ki}"))
    spec = workload_spec(raw)
    assert spec.checkpoints == Checkpoints("file:///kept", 60.0, 1024)
    assert {"backfill", "checkpoints"} <= spec.workload.needs
    stored = stamped(spec, "other", 5.0)
    assert stored.checkpoints == spec.checkpoints


def test_batch_work_of_ours_has_them_too_and_nothing_else() -> None:
    given = {"checkpointEvery": "1m", "checkpoints": {"url": "s3://bucket/kept"}}
    raw = {"apiVersion": "federator.dev/v1alpha1", "kind": "Workload", "metadata": {"name": "w"}}
    kept = {"container": {"command": ["true"]}, **given}
    for read in (workload_spec, read_workload):
        assert read({**raw, "spec": kept}).checkpoints == Checkpoints("s3://bucket/kept", 60.0, 2**30)
    for wrong in ({"lifetime": "service"}, {"checkpointEvery": "0s"}):
        with pytest.raises(DocumentErrors, match="checkpoints"):
            workload_spec({**raw, "spec": {**kept, **wrong}})
