"""Logs of every kind: how each is known, what is read of it, how errors name the line; and what they become."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import get_args

import pytest
import yaml
from zstandard import ZstdCompressor

from federator.documents import read_files, read_text
from federator.documents.sources import TracePart
from federator.model.resources import CPU, GPU, MEMORY, Resources
from federator.simulator.traces import openb
from federator.simulator.traces.converting import convert
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError, lines
from federator.simulator.traces.readers import READERS, format_of, jobs
from federator.simulator.traces.summary import summary
from federator.simulator.traces.workloads import arrivals

SAMPLES = Path(__file__).parents[2] / "simulations" / "traces"
GIB = 1 << 30
PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
p0,12000,16384,1,1000,,LS,Succeeded,10,110,20
p1,6000,12288,1,460,V100M32|V100M16,BE,Failed,5,65,5
p2,2000,1024,0,0,,LS,Pending,30,,
"""
TIRESIAS = "job_id,num_gpu,submit_time,iterations,model_name,duration,interval\n1,4,30,1000,vgg16,600,0\n"
OWN = """{"name": "a", "submit_s": 0, "replicas": 4, "requests": {"cpu": "500m", "memory": "1Gi"}, "run_s": 60}
{"name": "b", "submit_s": 9, "roles": [{"name": "l", "requests": {"cpu": "1"}}, {"name": "w", "replicas": 2}]}
"""
LOGS = {
    "swf": "1 0 -1 50 4 -1 -1 4 60 -1 1 7 2 -1 3 1 -1 -1\n",
    "sacct": "JobID|Submit|AllocCPUS|ElapsedRaw|QOS\n7|100|4|10|high prio\n",
    "condor": (SAMPLES / "condor-sample.txt").read_text(),
    "philly": (SAMPLES / "philly-sample.csv").read_text(),
    "openb": PODS,
    "federator": OWN,
}


def _log(tmp_path: Path, text: str, name: str = "log") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def _read(path: Path, **more: object) -> list[Job]:
    """The jobs, wherever they stand in the log."""
    found = jobs(path, TracePart.model_validate({"file": path.name, **more}))
    return [job._replace(line=0) for job in found]


def test_scenarios_name_the_formats_that_are_read() -> None:
    annotation = TracePart.model_fields["format"].annotation
    named = {name for one in get_args(annotation) for name in get_args(one)}
    assert named == set(READERS) == set(LOGS)


@pytest.mark.parametrize("form", LOGS)
def test_every_format_is_known_by_its_first_line_packed_or_not(form: str, tmp_path: Path) -> None:
    plain = _log(tmp_path, LOGS[form])
    packed, twice = tmp_path / "log.gz", tmp_path / "log.zst"
    packed.write_bytes(gzip.compress(LOGS[form].encode()))
    half = len(LOGS[form]) // 2
    twice.write_bytes(
        b"".join(ZstdCompressor().compress(part.encode()) for part in (LOGS[form][:half], LOGS[form][half:]))
    )
    assert [format_of(path) for path in (plain, packed, twice)] == [form] * 3
    assert _read(plain) == _read(packed) == _read(twice)
    assert _read(plain)


@pytest.mark.parametrize("form", LOGS)
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_a_log_in_our_own_format_says_what_it_was_made_of(form: str, ending: str, tmp_path: Path) -> None:
    path, to = _log(tmp_path, LOGS[form]), tmp_path / f"made.{ending}"
    assert convert(path, to) == len(_read(path))
    assert _read(to) == _read(path)
    first = to.read_bytes()
    convert(path, to)
    assert to.read_bytes() == first
    part = TracePart.model_validate({"file": "x", "unknownRun": "1h"})
    assert list(arrivals(part, to)) == list(arrivals(part, path))


def test_a_log_of_zstandard_that_is_cut_off_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.zst"
    path.write_bytes(ZstdCompressor().compress(LOGS["condor"].encode())[:-3])
    with pytest.raises(TraceError, match="ends in the middle"):
        list(lines(path))


def test_condor_history_is_read_whichever_way_it_was_printed(tmp_path: Path) -> None:
    """The earlier comes first; what is an expression is not known; a job that ended badly took what it took."""
    removed, done = _read(_log(tmp_path, LOGS["condor"]))
    assert (removed.name, removed.submit_s, removed.run_s, removed.status, removed.wait_s) == ("1041.3", 0, 90, 5, 10)
    assert removed.roles[0].requests == Resources.of({CPU: 1000, GPU: 1})
    assert (done.name, done.submit_s, done.run_s, done.expected_s, done.status) == ("1042.0", 90, 3600, 7200, 1)
    assert done.roles[0].requests == Resources.of({CPU: 8000, MEMORY: 16 * GIB})
    assert (done.user, done.queue) == ("ada", "group_higgs.prod")
    ad = '"ClusterId": 7,\n"ProcId": 1,\n"QDate": 50,\n"RequestMemory": "\\/Expr(1024 + 1)\\/",\n"Env": {"a": 1}\n'
    as_json = f"[\n{{\n{ad}}}\n,\n{{\n{ad.replace('50', '40')}}}\n]\n"
    as_lines = f"{{{ad}}}".replace("\n", "") + "\n" + f"{{{ad.replace('50', '40')}}}".replace("\n", "") + "\n"
    for text in (as_json, as_lines):
        path = _log(tmp_path, text)
        assert format_of(path) == "condor"
        assert [(one.name, one.submit_s, one.run_s) for one in _read(path)] == [("7.1", 0, None), ("7.1", 10, None)]


def test_both_habits_of_gpu_logs_are_read(tmp_path: Path) -> None:
    """Nodes are replicas where the log tells them, GPUs where it does not; a job that never ran tells no run time."""
    one, many, never = _read(_log(tmp_path, LOGS["philly"]))
    assert [job.submit_s for job in (one, many, never)] == [0, 60, 660]
    assert (one.run_s, one.status, one.queue, one.together) == (300, 0, "vcB", False)
    assert (many.roles[0].replicas, many.roles[0].requests) == (2, Resources.of({CPU: 32000, GPU: 8}))
    assert (many.together, many.wait_s) == (True, 60)
    assert never.run_s is None
    path = _log(tmp_path, TIRESIAS)
    (short,) = _read(path)
    assert (short.run_s, short.roles[0].replicas, short.roles[0].requests) == (600, 4, Resources.of({GPU: 1}))
    (whole,) = _read(path, jobsAre="cores")
    assert (whole.roles[0].replicas, whole.roles[0].requests, whole.together) == (1, Resources.of({GPU: 4}), False)


def test_pods_that_share_a_gpu_take_a_whole_one_or_are_left_out(tmp_path: Path) -> None:
    path = _log(tmp_path, PODS)
    shared, whole, never = _read(path)
    assert (shared.name, shared.run_s, shared.status, shared.roles[0].requests[GPU]) == ("p1", 60, 0, 1)
    assert shared.roles[0].flavors.selector.matches({"model": "V100M16"})
    assert not shared.roles[0].flavors.selector.matches({"model": "T4"})
    assert (whole.run_s, whole.wait_s, whole.roles[0].requests[MEMORY]) == (90, 10, 16 * GIB)
    assert (never.run_s, never.roles[0].requests[GPU]) == (None, 0)
    assert [one.name for one in _read(path, gpuParts="leaveOut")] == ["p0", "p2"]
    assert [pod.part for pod in openb.pods(path)] == [1000, 460, 0]


def test_a_list_of_nodes_is_a_cluster(tmp_path: Path) -> None:
    path = _log(tmp_path, "sn,cpu_milli,memory_mib,gpu,model\na,64000,1024,2,P100\nb,64000,1024,2,P100\nc,1000,1,0,\n")
    flavors = openb.cluster(path, "x")["spec"]["flavors"]
    assert [(one["name"], one["count"], one["allocatable"].get(GPU)) for one in flavors] == [
        ("p100-0", 2, "2"), ("none-1", 1, None),
    ]  # fmt: skip


def test_the_clusters_of_the_gpu_scenario_are_what_its_list_of_nodes_gives() -> None:
    folder = SAMPLES.parent / "gpu-cluster"
    expected = read_text(yaml.safe_dump(openb.cluster(folder / "nodes.csv", "openb"))).all[0].spec.flavors
    for name in ("pack", "spread", "fragmentation-aware"):
        (made,) = read_files([str(folder / f"{name}.yaml")]).clusters
        assert made.spec.flavors == expected


def test_queues_have_the_names_of_the_log_in_small_letters(tmp_path: Path) -> None:
    path = _log(tmp_path, LOGS["sacct"])
    (one,) = arrivals(TracePart.model_validate({"file": "log"}), path)
    assert (one.at_s, one.workload.queue) == (0, "high-prio")
    (other,) = arrivals(TracePart.model_validate({"file": "log", "queueBy": "user", "start": "5s"}), path)
    assert (other.at_s, other.workload.queue) == (5, "default")


def test_gpus_are_summed_up(tmp_path: Path) -> None:
    found = summary(_log(tmp_path, LOGS["philly"]))
    assert (found["format"], found["jobs"], found["most_gpus"], found["gpu_s"]) == ("philly", 3, 16, 16 * 3600 + 300)
    assert (found["most_processors"], found["unknown"]["run_s"], found["users"], found["queues"]) == (64, 1, 2, 2)


def test_a_log_without_gpus_or_cores_has_no_place_in_swf(tmp_path: Path) -> None:
    assert convert(_log(tmp_path, TIRESIAS), tmp_path / "log.swf") == 1
    (one,) = _read(tmp_path / "log.swf")
    assert (one.roles, one.run_s) == ((), 600)


@pytest.mark.parametrize(
    ("text", "form", "told"),
    [
        ("hello\n", None, r"log:1: its format is not known; say which of swf, sacct"),
        ("", None, "log: is empty"),
        ("job_id,submit_time\n", "philly", r"log:1: the heading has no num_gpu or gpu_num"),
        (TIRESIAS + "2,x,40,1,a,600,0\n", None, r"log:3: num_gpu is 'x'; write a whole number"),
        (TIRESIAS + "2,4.5,40,1,a,600,0\n", None, r"log:3: num_gpu is '4.5'; write a whole number"),
        (TIRESIAS + "2,4,soon,1,a,600,0\n", None, r"log:3: submit_time is 'soon'"),
        (TIRESIAS + "2,4,,1,a,600,0\n", None, r"log:3: submit_time is ''; every job needs"),
        (TIRESIAS + "2,4,40,1,a,-600,0\n", None, r"log:3: duration is '-600'"),
        (TIRESIAS + "2,4\n", None, r"log:3: has 2 fields, the heading 7"),
        ("ClusterId = 4\nQDate = 1\n\nClusterId = 5\n\n", None, r"log:5: the job has no QDate"),
        ("ClusterId = 4\nwhat\n", None, r"log:2: 'what' is no attribute"),
        ('[\n{\n"ClusterId": 4\n', None, r"log:2: a job begins that does not end"),
        (PODS + "p3,x,1,0,0,,LS,Running,1,2,1\n", None, r"log:5: cpu_milli is 'x'"),
        ("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,0,0\n", None, r"log:2: .*the list has no times"),
        (OWN + '{"name": "c", "submit_s": -1}\n', None, r"log:3: submit_s: .*greater than or equal to 0"),
        (OWN + '{"name": "c", "submit_s": 1, "gpus": 1}\n', None, r"log:3: gpus: Extra inputs"),
        (OWN + "{\n", None, r"log:3: the line: Invalid JSON"),
        (OWN + '{"name": "c", "submit_s": 1, "requests": {"cpu": "x"}}\n', None, r"log:3: requests"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, form: str | None, told: str) -> None:
    path = _log(tmp_path, text)
    with pytest.raises(TraceError, match=told):
        _read(path, format=form)


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"let its name end in \.swf or \.jsonl"):
        convert(_log(tmp_path, OWN), tmp_path / "log.csv")
