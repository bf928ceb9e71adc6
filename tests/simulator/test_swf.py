"""The Standard Workload Format: what is read, what of it counts, and how errors name the line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from federator.documents.sources import TracePart
from federator.model.selectors import Constraint
from federator.simulator.story import Arrival
from federator.simulator.traces.opening import TraceError, find
from federator.simulator.traces.summary import summary
from federator.simulator.traces.swf import header, jobs
from federator.simulator.traces.workloads import arrivals

LOG = """; Version: 2.2
; MaxProcs: 240
; Note: made up
;
  1  100 5   50  4 49.5 -1  4  60 -1 1 7 2 -1 3 1 -1 -1
  2  130 5   -1  4 -1   -1  4  60 -1 0 7 2 -1 3 1 -1 -1
  3  130 5    0  4 -1   -1  4  60 -1 1 7 2 -1 3 1 -1 -1

  4  190 5   70  8 -1   -1 -1  -1 -1 1 8 2 -1 -1 1 -1 -1
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A small log, packed."""
    path = tmp_path / "log.swf.gz"
    path.write_bytes(gzip.compress(LOG.encode()))
    return path


def _read(log: Path, **more: object) -> list[Arrival]:
    return list(arrivals(TracePart.model_validate({"file": log.name, **more}), log))


def test_all_fields_and_the_header_are_read(log: Path) -> None:
    assert header(log) == [("Version", "2.2"), ("MaxProcs", "240"), ("Note", "made up")]
    first, *rest = jobs(log)
    assert (first.number, first.submit_s, first.run_s, first.cpu_s, first.requested_s) == (1, 100, 50, 49.5, 60)
    assert (first.status, first.user, first.queue, first.partition, first.think_s) == (1, 7, 3, 1, -1)
    assert len(rest) == 3


def test_jobs_of_unknown_run_time_are_left_out_unless_told_otherwise(log: Path) -> None:
    assert [one.workload.name for one in _read(log)] == ["job-00000001", "job-00000003", "job-00000004"]
    assert [one.run_s for one in _read(log, unknownRun="10s")] == [50, 10, 0, 70]
    assert [one.run_s for one in _read(log, zeroRun=False)] == [50, 70]
    assert [one.run_s for one in _read(log, skip=1, first=1)] == [0]


def test_what_users_asked_for_is_expected_and_what_is_not_known_is_what_it_took(log: Path) -> None:
    assert [one.workload.duration_s for one in _read(log)] == [60, 60, 70]
    assert [one.workload.duration_s for one in _read(log, estimates="exact")] == [50, 0, 70]


def test_a_job_is_a_gang_of_cores_or_one_replica_of_many(log: Path) -> None:
    (role,), gang = _read(log)[0].workload.roles, _read(log)[0].workload.gang
    assert (role.replicas, role.requests["cpu"]) == (4, 1000)
    assert gang is not None
    (role,) = _read(log, jobsAre="cores")[2].workload.roles
    assert (role.replicas, role.requests["cpu"]) == (1, 8000)


def test_queues_are_named_by_what_is_asked_for(log: Path) -> None:
    assert [one.workload.queue for one in _read(log)] == ["queue-3", "queue-3", "default"]
    assert [one.workload.queue for one in _read(log, queueBy="user")] == ["user-7", "user-7", "user-8"]
    assert {one.workload.queue for one in _read(log, queueBy="none")} == {"default"}


def test_times_can_begin_elsewhere(log: Path) -> None:
    assert [one.at_s for one in _read(log, start="0s")] == [0, 30, 90]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 2 3", "has 3 fields, not 18"),
        ("1 2 3 four" + " -1" * 14, "run_s is 'four'"),
        ("1 nan 3 4" + " -1" * 14, "submit_s is 'nan'"),
        ("1 -5 3 4" + " -1" * 14, "submit_s is below zero"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "bad.swf"
    path.write_text(f"; Version: 2\n\n{line}\n")
    with pytest.raises(TraceError, match=rf"bad\.swf:3: .*{words}"):
        list(jobs(path))


def test_a_log_that_ends_in_the_middle_is_told(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-20])
    with pytest.raises(TraceError, match="ends in the middle"):
        list(jobs(log))


def test_what_cannot_be_unpacked_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd....")
    with pytest.raises(TraceError, match=r"log\.zst: .*zstd"):
        list(jobs(path))


def test_a_log_is_found_beside_the_document_or_among_the_logs(tmp_path: Path, log: Path) -> None:
    assert find(log.name, tmp_path, tmp_path / "none") == log
    assert find(log.name, tmp_path / "none", tmp_path) == log
    with pytest.raises(TraceError, match="FEDERATOR_TRACES"):
        find("other", tmp_path, tmp_path)


def test_what_is_in_a_log_is_told(log: Path) -> None:
    found = summary(log)
    assert (found["jobs"], found["first_submit_s"], found["last_submit_s"], found["out_of_order"]) == (4, 100, 190, 0)
    assert (found["most_processors"], found["longest_run_s"], found["processor_s"]) == (8, 70, 4 * 50 + 8 * 70)
    assert (found["users"], found["queues"]) == (2, 1)
    assert found["unknown"]["run_s"] == 1
    assert found["header"][1] == {"key": "MaxProcs", "value": "240"}


def test_a_job_may_be_kept_at_the_site_that_it_ran_at(log: Path) -> None:
    assert {one.workload.clusters for one in _read(log)} == {Constraint()}
    (where,) = {one.workload.clusters for one in _read(log, runsAt="partition")}
    assert where.selector.matches({"partition": "partition-1"})
    assert not where.selector.matches({"partition": "2"})
    assert not where.selector.matches({})
