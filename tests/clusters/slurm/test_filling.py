"""When a Slurm is filled, what counts as free then, and how the task of a filler ends that made room."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federator.clusters.slurm import filling, merging
from federator.clusters.slurm.jobs import Job, Marks, comment_of, jobs_of, marks_of
from federator.clusters.slurm.ledger import Entry
from federator.clusters.slurm.records import Listing, Node, Partition, Task, partitions_of, partitions_told
from federator.clusters.slurm.script import GAVE_WAY, GIVE_WAY, script
from federator.clusters.slurm.settings import SlurmSettings
from federator.model.checkpoints import plain
from federator.model.cluster import Flavor, NodeGroup
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, Order
from federator.model.resources import Resources
from federator.model.workload import Lifetime, Role

SETTINGS = SlurmSettings(Path("/nowhere"), "/d", partitions=("cpu",), backfill_partition="fill")
CPU, FILL = Partition("cpu", True, True, 10, "OFF"), Partition("fill", False, True, 1, "REQUEUE")
NODE = Node("n1", True, ("cpu", "fill"), (), 16, 65536, 2, ("a100",), 12, 12288, 2)
COMMAND = Container(command=("true",))
LISTING = Listing((), (NODE,), (CPU, FILL), "22.05")


def test_both_ways_in_tell_how_partitions_make_room() -> None:
    rows = [
        {"name": "cpu", "flags": ["default"], "state": "UP", "priority_tier": 10, "preemption_mode": ["disabled"]},
        {"name": "fill", "state": "UP", "priority_tier": 1, "preemption_mode": ["requeue"]},
    ]
    assert partitions_of({"partitions": rows}) == partitions_told("cpu*,up,OFF,10\nfill,up,REQUEUE,1\n") == (CPU, FILL)
    newer = {"name": "fill", "partition": {"state": ["UP"]}, "priority": {"tier": 1}, "preempt": {"mode": ["REQUEUE"]}}
    assert partitions_of({"partitions": [newer]}) == (FILL,)


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (LISTING, ""),
        (replace(LISTING, partitions=(CPU,)), "no partition fill"),
        (replace(LISTING, partitions=(CPU, replace(FILL, up=False))), "starts no jobs"),
        (replace(LISTING, partitions=(CPU, replace(FILL, preempt="OFF"))), "do not end for others"),
        (replace(LISTING, partitions=(CPU, replace(FILL, preempt="SUSPEND,GANG"))), "do not end for others"),
        (replace(LISTING, partitions=(CPU, replace(FILL, tier=10))), "PriorityTier of cpu is not above"),
        (replace(LISTING, nodes=(NODE, replace(NODE, name="n2", partitions=("cpu",)))), "1 nodes (n2 ...)"),
    ],
)
def test_a_cluster_is_filled_only_where_slurm_gives_the_room_to_others(listing: Listing, words: str) -> None:
    told = filling.why_not(listing, SETTINGS)
    assert words in told if words else not told
    assert filling.why_not(listing, replace(SETTINGS, backfill_partition=""))


def test_by_quality_of_service_slurm_tells_nothing_and_a_partition_is_looked_at_all_the_same() -> None:
    listing = replace(LISTING, partitions=(CPU,))
    assert not filling.why_not(listing, replace(SETTINGS, backfill_partition="", backfill_qos="low"))
    assert "no partition fill" in filling.why_not(listing, replace(SETTINGS, backfill_qos="low"))


@pytest.mark.parametrize(
    ("partition", "qos", "sent_to", "sent_as"),
    [
        ("", "low", (("cpu",), ""), "low"),
        ("fill", "", (("fill",), "plain"), "usual"),
        ("fill", "low", (("fill",), "plain"), "low"),
    ],
)
def test_fillers_go_where_the_document_says_and_production_does_not(
    partition: str, qos: str, sent_to: tuple[tuple[str, ...], str], sent_as: str
) -> None:
    """To the nodes of one flavor. In a partition of its own backfill could come to those of the other."""
    settings = replace(SETTINGS, partitions=("cpu", "gpu"), qos="usual", backfill_partition=partition, backfill_qos=qos)
    flavors = [flavor("cpu", "plain"), flavor("gpu", "v100")]

    def sent(backfill: bool) -> Job:
        intent = Intent("i-1", "w", "u", "", "hpc", IndexSet.of((0,)))
        role = Role("", 1, Resources.of({"cpu": 1000}))
        order = Order(
            intent, Lifetime.BATCH, (role,), "default", container=COMMAND, flavors=("cpu",), backfill=backfill
        )
        (job,) = jobs_of(order, settings, "f", flavors, ("cpu", "gpu"), 100, plain, 0.0)
        return job

    filler, production = sent(True), sent(False)
    assert ((filler.partitions, filler.constraint), filler.qos) == (sent_to, sent_as)
    assert ((production.partitions, production.constraint), production.qos) == ((("cpu",), ""), "usual")


def flavor(partition: str, feature: str) -> Flavor:
    each = Resources.of({"cpu": 16_000})
    labels = {"partition": partition, f"feature/{feature}": "true"}
    return Flavor(partition, count=1, allocatable=each, nodes=(NodeGroup(each, 1),), labels=labels)


def task(state: str, **more: Any) -> Task:
    return Task(10, IndexSet.of((0,)), False, state, "None", "", node="n1", **more)


def test_what_fillers_use_counts_as_free_and_never_more_than_there_is() -> None:
    runs = task("RUNNING", cpus=8, memory_mib=8192, gpus=1)
    (node,) = filling.without(LISTING, [runs], [runs]).nodes
    assert (node.used_cpus, node.used_memory_mib, node.used_gpus) == (4, 4096, 1)
    larger = replace(runs, cpus=16)
    (node,) = filling.without(LISTING, [larger], [larger]).nodes
    assert node.used_cpus == 0


@pytest.mark.parametrize("used", [0, 8, 16])
def test_what_starts_or_ends_while_slurm_is_asked_leaves_free_what_fillers_hold_and_no_more(used: int) -> None:
    """Whether the node was listed before or after it, and whoever else uses the node."""
    listing = replace(LISTING, nodes=(replace(NODE, used_cpus=used),))
    first, second = task("RUNNING", cpus=8), replace(task("RUNNING", cpus=4), job=11)
    for before, after, free in (
        ([], [first], 8),
        ([first], [], 0),
        ([first], [second], 4),
        ([first, second], [first], 8),
    ):
        (node,) = filling.without(listing, before, after).nodes
        assert node.cpus - node.used_cpus == free


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (task("PREEMPTED"), "Preempted"),
        (task("FAILED", preempted=True, exit_code=GAVE_WAY), "Preempted"),
        (task("FAILED", preempted=True, signal=12), "Preempted"),
        (task("PENDING", restarts=1), "Preempted"),
        (task("RUNNING", restarts=1), "Preempted"),
        (task("FAILED", restarts=1, exit_code=GAVE_WAY), "Preempted"),
        (task("FAILED", exit_code=GAVE_WAY), "TimeLimit"),
        (task("TIMEOUT"), "TimeLimit"),
    ],
)
def test_a_filler_that_made_room_is_put_back_without_using_a_retry(seen: Task, reason: str) -> None:
    filler = Entry("c-1", IndexSet.of((0,)), "h", 0.0, 1000, jobs={0: [10]}, backfill=True)
    (end,) = merging.look(filler, [seen], 1).ended.values()
    assert end is not None
    assert (end.reason, end.own_fault) == (reason, False)


def test_production_that_slurm_starts_again_is_left_to_it_and_a_filler_that_is_done_is_done() -> None:
    work = Entry("c-1", IndexSet.of((0,)), "h", 0.0, 1000, jobs={0: [10]})
    assert list(merging.look(work, [task("PENDING", restarts=1)], 1).active) == [0]
    filler = replace(work, backfill=True)
    assert merging.look(filler, [task("COMPLETED", preempted=True)], 1).ended == {0: None}
    (end,) = merging.look(filler, [task("FAILED", exit_code=3)], 1).ended.values()
    assert end is not None
    assert (end.reason, end.own_fault) == ("Error", True)
    assert list(merging.look(filler, [task("COMPLETING", restarts=1)], 1).active) == [0], "it uses its node still"


def test_a_comment_says_that_a_job_is_backfill() -> None:
    marks = Marks("c-1", "h", 0, 1000, None, backfill=True)
    assert marks_of("f", comment_of("f", marks)) == marks
    assert comment_of("f", replace(marks, backfill=False)) == "federator:f:c-1:h:0:1000:"


def begin(folder: Path, payload: str, grace_s: float, **env: str) -> subprocess.Popen[bytes]:
    command = Container(command=("sh", "-c"), args=(payload,))
    text = script(
        f"{folder}/c-1", 0, command, {"FEDERATOR_INTENT": "c-1"},
        apptainer=False, gpus=False, limit_s=None, grace_s=1.0, yield_s=grace_s,
    )  # fmt: skip
    base = {"PATH": os.environ["PATH"], "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    return subprocess.Popen(["bash", "-c", text], env=base | env, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("told", [signal.SIGTERM, getattr(signal, f"SIG{GIVE_WAY}")])
def test_a_filler_that_is_told_to_end_saves_and_is_not_done(tmp_path: Path, told: signal.Signals) -> None:
    """By SIGTERM Slurm tells all of a job at once, by the other signal only its script."""
    here = tmp_path / "here"
    running = begin(tmp_path, f"trap 'echo saved; exit 0' TERM; touch {here}; while :; do sleep 0.05; done", 30.0)
    while not here.exists():
        time.sleep(0.02)
    if told is signal.SIGTERM:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.killpg(int(children[0]), signal.SIGTERM)
    running.send_signal(told)
    assert running.wait(20) == GAVE_WAY
    assert "saved" in (tmp_path / "c-1" / "logs" / "3").read_text()
    assert not list((tmp_path / "c-1" / "ends").iterdir())


def test_a_filler_that_is_deaf_ends_with_its_grace_although_slurm_would_wait(tmp_path: Path) -> None:
    here = tmp_path / "here"
    running = begin(tmp_path, f"trap '' TERM; touch {here}; while :; do sleep 0.05; done", 0.5)
    while not here.exists():
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == GAVE_WAY


def test_a_filler_that_slurm_starts_again_runs_nothing(tmp_path: Path) -> None:
    assert begin(tmp_path, f"touch {tmp_path}/ran", 1.0, SLURM_RESTART_COUNT="1").wait(20) == GAVE_WAY
    assert not (tmp_path / "ran").exists()
