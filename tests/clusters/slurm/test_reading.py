"""What Slurm says, read in both spellings; nodes as flavors; what became of replicas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federator.clusters.slurm import merging
from federator.clusters.slurm.flavors import constraint_for, flavors_of, used_by_all
from federator.clusters.slurm.jobs import Marks, comment_of, marks_of
from federator.clusters.slurm.ledger import Entry
from federator.clusters.slurm.records import Listing, Node, Partition, Task, nodes_of, partitions_of, tasks_of
from federator.clusters.slurm.settings import SlurmSettings
from federator.model.indexset import IndexSet
from federator.model.resources import CPU, MEMORY, Resources

GIB = 1 << 30
JOB = {
    "job_id": 12, "array_job_id": 10, "array_task_id": 2, "array_task_string": "", "job_state": "FAILED",
    "state_reason": "NonZeroExitCode", "comment": "federator:f:c-1:h:0:1000:", "exit_code": 3 << 8, "nodes": "n1",
    "tres_alloc_str": "cpu=2,mem=1.5G,node=1", "tres_per_node": "gres:gpu:1", "submit_time": 1, "start_time": 5,
    "end_time": 9,
}  # fmt: skip


def number(value: int) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": value}


def test_jobs_are_read_in_both_spellings() -> None:
    newer = {
        **JOB,
        "array_job_id": number(10),
        "array_task_id": number(2),
        "job_state": ["FAILED"],
        "exit_code": {"status": ["ERROR"], "return_code": number(3), "signal": {"id": {"set": False, "number": 0}}},
        "start_time": number(5),
        "end_time": number(9),
        "submit_time": number(1),
    }
    (old,), (new,) = tasks_of({"jobs": [JOB]}), tasks_of({"jobs": [newer]})
    assert old == new
    assert (old.job, old.tasks, old.exit_code, old.signal) == (10, IndexSet.of((2,)), 3, 0)
    assert (old.cpus, old.memory_mib, old.gpus) == (2, 1536, 1)
    assert tasks_of({"jobs": [{**JOB, "comment": "somebody else's"}]}) == ()


@pytest.mark.parametrize(
    ("text", "tasks", "cut"),
    [("0-2,7%4", (0, 1, 2, 7), False), ("0-10:5", (0, 5, 10), False), ("1,3,...", (1, 3), True)],
)
def test_the_waiting_tasks_of_an_array_are_read(text: str, tasks: tuple[int, ...], cut: bool) -> None:
    (task,) = tasks_of({"jobs": [{**JOB, "array_task_id": None, "array_task_string": text, "job_state": "PENDING"}]})
    assert (task.tasks, task.cut) == (IndexSet.of(tasks), cut)


def test_gpus_and_states_of_nodes_are_read() -> None:
    row = {"name": "n1", "cpus": 16, "real_memory": 65536, "partitions": ["a"], "active_features": "x,y"}
    row |= {"state": "mixed", "state_flags": [], "alloc_cpus": 3, "alloc_memory": 100}
    row |= {"gres": "gpu:a100:2(S:0-1),license:4,gpu:3", "gres_used": "gpu:a100:1(IDX:0),gpu:0"}
    (node,) = nodes_of({"nodes": [row]})
    assert (node.gpus, node.used_gpus, node.gpu_types, node.features) == (5, 1, ("a100",), ("x", "y"))
    assert node.usable
    for state, flags in (("idle", ["DRAIN"]), ("down", []), ("idle", ["MAINTENANCE"]), ("idle", ["NOT_RESPONDING"])):
        assert not nodes_of({"nodes": [{**row, "state": state, "state_flags": flags}]})[0].usable, (state, flags)
    assert not nodes_of({"nodes": [{**row, "state": ["IDLE", "DRAIN"]}]})[0].usable
    told = {"partitions": [{"name": "a", "flags": ["default"], "state": "UP"}, {"name": "b", "state": "DOWN"}]}
    assert partitions_of(told) == (Partition("a", True, True), Partition("b", False, False))


def node(name: str, partitions: tuple[str, ...], *, used: int = 0, gpus: int = 0, usable: bool = True, **more) -> Node:
    features = more.get("features", ())
    return Node(name, usable, partitions, features, 16, 65536, gpus, ("a100",) if gpus else (), used, used * 1024, 0)


LISTING = Listing(
    (),
    (
        node("n1", ("cpu", "all")),
        node("n2", ("cpu", "all"), used=4),
        node("n3", ("cpu",), usable=False),
        node("g1", ("gpu", "all"), gpus=2, features=("fast",)),
        node("g2", ("gpu",), gpus=2),
        node("x1", ("other",)),
    ),
    (Partition("cpu", True, True), Partition("gpu", False, True), Partition("all", False, True)),
    "22.05",
)


def settings(*partitions: str) -> SlurmSettings:
    return SlurmSettings(ledger=Path("/nowhere"), directory="/d", partitions=partitions)


def test_alike_nodes_of_a_partition_are_a_flavor_and_none_counts_twice() -> None:
    (cpu,) = flavors_of(LISTING, settings())
    assert (cpu.name, cpu.count, cpu.labels) == ("cpu", 2, {"partition": "cpu"})
    assert {group.free[CPU] for group in cpu.nodes} == {16_000, 12_000}
    assert used_by_all(LISTING, settings()) == Resources.of({CPU: 4000, MEMORY: 4 * GIB})
    flavors = flavors_of(LISTING, settings("gpu", "cpu", "all"))
    assert sum(flavor.count for flavor in flavors) == 4
    assert {f.name for f in flavors} == {"cpu", "gpu-16cpu-65536mib-2gpu-a100", "gpu-16cpu-65536mib-2gpu-a100-fast"}
    fast = next(flavor for flavor in flavors if flavor.name.endswith("fast"))
    assert fast.allocatable["nvidia.com/gpu"] == 2
    assert fast.labels == {"partition": "gpu", "gpu": "a100", "feature/fast": "true"}


def test_a_wanted_flavor_becomes_partitions_and_features() -> None:
    flavors = flavors_of(LISTING, settings("gpu", "cpu"))
    assert constraint_for(["cpu"], flavors) == (("cpu",), "")
    assert constraint_for(["gpu-16cpu-65536mib-2gpu-a100-fast"], flavors) == (("gpu",), "fast")
    with pytest.raises(ValueError):
        constraint_for(["gpu-16cpu-65536mib-2gpu-a100"], flavors)
    with pytest.raises(KeyError):
        constraint_for(["away"], flavors)


def test_a_comment_says_whose_a_job_is() -> None:
    marks = Marks("c-1", "abc", 2000, 1000, 90.0)
    assert marks_of("f", comment_of("f", marks)) == marks
    assert marks_of("other", comment_of("f", marks)) is None
    assert marks_of("f", comment_of("f", Marks("c-1", "abc", 0, 10, None))) == Marks("c-1", "abc", 0, 10, None)


def entry(count: int = 4, **more: Any) -> Entry:
    return Entry("c-1", IndexSet.span(0, count), "h", 0.0, 1000, jobs={0: [10]}, **more)


def task(index: int, state: str, job: int = 10, **more: Any) -> Task:
    return Task(job, IndexSet.of((index,)), False, state, more.pop("reason", "None"), "", **more)


def test_what_is_not_listed_is_on_its_way_or_forgotten() -> None:
    listed = [task(0, "RUNNING"), task(1, "COMPLETED")]
    seen = merging.look(entry(), listed, 5)
    assert seen.forgotten == {2, 3}
    young = merging.look(entry(sent={10: 5}), listed, 5)
    assert (young.forgotten, young.unknown) == (set(), {2, 3}), "the listing began before the job was known"
    cut = [*listed, Task(10, IndexSet.of((2,)), True, "PENDING", "Priority", "")]
    assert merging.look(entry(), cut, 5).forgotten == set(), "Slurm cut its list of tasks short"
    assert not merging.look(entry(succeeded=IndexSet.span(0, 4)), [], 5).forgotten, "ends that are known stay"


def test_the_better_of_two_jobs_for_one_replica_counts() -> None:
    two = entry(1)
    two.jobs[0] = [10, 11]
    loser, winner = task(0, "FAILED", exit_code=75), task(0, "RUNNING", 11)
    for order in ([loser, winner], [winner, loser]):
        seen = merging.look(two, order, 1)
        assert (set(seen.active), seen.ended) == ({0}, {})
    ended = merging.look(two, [loser, task(0, "COMPLETED", 11)], 1)
    assert ended.ended == {0: None}
    failed = merging.look(two, [loser, task(0, "FAILED", 11, exit_code=4)], 1).ended[0]
    assert failed is not None
    assert failed.exit_code == 4


def test_ends_have_reasons_and_whose_fault_they_are() -> None:
    def told(state: str, **more: Any) -> tuple[str, int | None, bool]:
        end = merging.end_of(0, task(0, state, **more), 10.0)
        assert end is not None
        return end.reason, end.exit_code, end.own_fault

    assert merging.end_of(0, task(0, "COMPLETED"), None) is None
    assert told("FAILED", exit_code=3) == ("Error", 3, True)
    assert told("FAILED", signal=9) == ("Error", 137, True)
    assert told("FAILED", exit_code=124, started_s=5.0, ended_s=15.0) == ("DeadlineExceeded", 124, True)
    assert told("FAILED", exit_code=124, started_s=5.0, ended_s=6.0) == ("Error", 124, True), "its own 124"
    assert told("FAILED")[2] is False, "it never ran: not its fault"
    assert told("TIMEOUT")[0] == "DeadlineExceeded"
    assert told("OUT_OF_MEMORY", signal=9) == ("OOMKilled", 137, True)
    for state in ("NODE_FAIL", "PREEMPTED", "CANCELLED", "BOOT_FAIL"):
        assert told(state)[2] is False


def test_a_cancel_of_ours_is_no_failure() -> None:
    leaving = entry(2, leaving=True)
    assert not merging.look(leaving, [task(0, "CANCELLED"), task(1, "CANCELLED")], 1).ended
    some = entry(2, withdrawn=IndexSet.of((1,)))
    seen = merging.look(some, [task(0, "CANCELLED"), task(1, "CANCELLED")], 1)
    assert set(seen.ended) == {0}
