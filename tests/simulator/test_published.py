"""What others have published, on the sample of a log that ships; `make validate` does it for all logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.validate import HPC2N, WAITS, mean_wait, pool_story, row
from federator.simulator.run import simulate_quickly
from tests.simulator.oracle import Job, starts

LOG = Path(__file__).parents[2] / "simulations" / "traces" / "hpc2n-10300.swf.gz"


@pytest.mark.parametrize(
    "rule", ["EASY", *(pytest.param(rule, marks=pytest.mark.thorough) for rule in ("FCFS", "SJF"))]
)
def test_mean_waits_of_ten_thousand_jobs_are_those_that_are_known(rule: str) -> None:
    planning, expected = WAITS[rule]
    assert round(mean_wait(LOG, planning), 2) == expected


@pytest.mark.thorough
def test_the_batch_queue_table_is_reproduced_to_every_digit() -> None:
    assert row(LOG, HPC2N.processors, backfilled=False) == list(HPC2N.plain)
    assert row(LOG, HPC2N.processors, backfilled=True) == list(HPC2N.backfilled)


@pytest.mark.thorough
def test_a_naive_simulator_gives_the_schedule_of_easy_job_by_job() -> None:
    told = pool_story(LOG, HPC2N.processors, WAITS["EASY"][0], {"first": 10_000})
    jobs = [
        Job(at, one.at_s, one.run_s, one.workload.duration_s or 0.0, one.workload.roles[0].requests["cpu"] // 1000)
        for at, one in enumerate(told.arrivals())
    ]
    ours = starts(jobs, HPC2N.processors, "fifo", "easy")
    assert [one.started_s for one in simulate_quickly(told).measures.workloads] == [ours[job.number] for job in jobs]
