"""What sacct printed becomes a log that scenarios read; errors name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from federator.documents.sources import TracePart
from federator.simulator.traces.converting import convert
from federator.simulator.traces.opening import TraceError
from federator.simulator.traces.swf import header, jobs
from federator.simulator.traces.workloads import arrivals

SAMPLE = Path(__file__).parents[2] / "simulations" / "traces" / "sacct-sample.txt"
HEADING = "JobID|Submit|AllocCPUS|ElapsedRaw\n"


def test_the_sample_becomes_a_log_in_the_order_of_submission(tmp_path: Path) -> None:
    """Steps are left out; a job that has not ended tells no run time, so that it takes no part."""
    log = tmp_path / "log.swf.gz"
    assert convert(SAMPLE, log) == 5
    found = list(jobs(log))
    assert [(job.submit_s, job.wait_s, job.run_s, job.processors) for job in found] == [
        (0, 5, 3600, 16), (90, 10, 600, 64), (300, 60, 90, 4), (600, 3005, 1800, 8), (1200, -1, -1, 128),
    ]  # fmt: skip
    assert [job.requested_s for job in found] == [7200, 3600, 1800, -1, 3600]
    assert [job.status for job in found] == [1, 0, 5, 0, -1]
    assert [job.user for job in found] == [1, 2, 3, 1, 2]
    told = header(log)
    assert ("UnixStartTime", "1795420800") in told
    assert {value for key, value in told if key == "User"} == {"1 ada", "2 emmy", "3 lise"}
    assert ("Partition", "2 gpu") in told
    counted = list(arrivals(TracePart.model_validate({"file": "log.swf.gz", "queueBy": "group"}), log))
    assert [one.workload.queue for one in counted] == ["group-1", "group-2", "group-2", "group-1"]
    first = log.read_bytes()
    convert(SAMPLE, log)
    assert log.read_bytes() == first


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("User|Submit\n", r"log:1: the heading has no JobIDRaw or JobID; .*--parsable2"),
        ("JobID|AllocCPUS\n", r"log:1: the heading has no Submit"),
        (HEADING + "1|2026-11-23T08:00:00|4|10\n2|x|4|10\n", r"log:3: Submit is 'x'; write 2026-11-26T08:00:00"),
        (HEADING + "1|Unknown|4|10\n", r"log:2: Submit is 'Unknown'; every job needs"),
        (HEADING + "1|2026-11-23T08:00:00|4\n", r"log:2: has 3 fields, the heading 4"),
        (HEADING + "1|2026-11-23T08:00:00|4|01:00:00\n", r"log:2: ElapsedRaw is '01:00:00'; print the Raw field"),
        ("", r"log:1: the heading has no"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "log").write_text(text)
    with pytest.raises(TraceError, match=told):
        convert(tmp_path / "log", tmp_path / "log.swf", "sacct")
    assert not (tmp_path / "log.swf").exists()


def test_times_may_be_seconds_and_starts_unknown(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(HEADING + "7_1|1000|4|10\n7_2|900|2|20\n")
    assert convert(tmp_path / "log", tmp_path / "log.swf") == 2
    found = [(job.number, job.submit_s, job.used_processors, job.run_s) for job in jobs(tmp_path / "log.swf")]
    assert found == [(1, 0, 2, 20), (2, 100, 4, 10)]
