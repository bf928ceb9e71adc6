"""Comparing: paired by seed, with intervals that are Student's."""

from __future__ import annotations

from typing import Any

import pytest

from federator.simulator.comparing import compared, interval


def test_the_interval_is_that_of_student() -> None:
    """Five values of mean 3 and standard deviation 1.5811: 2.776 x 1.5811 / sqrt(5) = 1.963."""
    assert interval([1, 2, 3, 4, 5]) == (pytest.approx(3 - 1.963, abs=1e-3), pytest.approx(3 + 1.963, abs=1e-3))
    assert interval([7.0]) == (None, None)
    assert interval([2.0] * 50) == (2.0, 2.0)


def _run(wait_s: float, finished: int) -> dict[str, Any]:
    return {
        "wait_s": {"mean": wait_s, "p95": wait_s}, "bounded_slowdown": {"mean": 1.0}, "jobs": {"finished": finished},
        "makespan_s": 1.0, "moves": 0, "cost": 0.0, "carbon_g": 0.0, "fairness_jain": 1.0,
    }  # fmt: skip


def test_who_is_better_is_counted_seed_by_seed() -> None:
    runs = [(_run(10, 5), _run(8, 6)), (_run(30, 5), _run(27, 4)), (_run(20, 5), _run(21, 5))]
    found = {one.figure: one for one in compared(runs)}
    waits, finished = found["wait, mean (s)"], found["finished jobs"]
    assert (waits.a, waits.b, waits.a_better, waits.b_better) == (20, pytest.approx(56 / 3), 1, 2)
    assert (finished.a_better, finished.b_better) == (1, 1), "of these, more is better"
    assert (found["cost"].a_better, found["cost"].b_better) == (0, 0)
