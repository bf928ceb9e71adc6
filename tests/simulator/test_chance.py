"""Workloads made by chance come as often as is said, when it is said."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from federator.documents import read_text
from federator.documents.problems import DocumentErrors
from federator.documents.sources import GeneratePart
from federator.simulator.chance import generated
from federator.simulator.story import Arrival
from federator.simulator.telling import read_scenario, told
from federator.simulator.traces.opening import TraceError
from federator.simulator.traces.workloads import arrivals

DAY_S, HOUR_S = 86400.0, 3600.0
LOG = """\
; a log of three jobs
1  0 0 100 2 -1 -1 2 200 -1 1 1 1 1 1 1 -1 -1
2 10 0  50 1 -1 -1 1  60 -1 1 1 1 1 1 1 -1 -1
3 20 0   7 4 -1 -1 4  -1 -1 1 1 1 1 1 1 -1 -1
"""


def made(lasts_s: float | None, jobs: tuple[Arrival, ...] = (), **fields: Any) -> list[Arrival]:
    written = {"name": "w", **fields} if "like" in fields else {"name": "w", "duration": "1h", **fields}
    return list(generated(GeneratePart.model_validate(written), 1, lasts_s, jobs))


def near(count: int, expected: float) -> bool:
    """Within four standard deviations of a Poisson count."""
    return abs(count - expected) <= 4 * expected**0.5


def test_the_last_two_days_of_a_week_have_less() -> None:
    days = Counter(int(one.at_s // DAY_S) % 7 for one in made(70 * DAY_S, rate="20/h", weekly="75%"))
    assert all(near(days[day], 10 * 24 * (20 if day < 5 else 5)) for day in range(7)), days


def test_weeks_and_days_swing_together() -> None:
    came = made(70 * DAY_S, rate="20/h", weekly="50%", daily="100%")
    at_two = [one for one in came if 13 <= one.at_s % DAY_S / HOUR_S < 15]
    weekend = [one for one in at_two if one.at_s // DAY_S % 7 >= 5]
    assert near(len(at_two) - len(weekend), 50 * 2 * 20 * 1.99)
    assert near(len(weekend), 20 * 2 * 10 * 1.99)


def test_before_a_deadline_ever_more_arrives() -> None:
    """From once to nine times as much: on average twice, four, six, eight times, and after it once."""
    hours = made(30 * HOUR_S, rate="100/h", deadline={"at": "20h", "over": "16h", "by": 9})
    came = Counter(int(one.at_s // (4 * HOUR_S)) for one in hours)
    expected = {0: 1, 1: 2, 2: 4, 3: 6, 4: 8, 5: 1, 6: 1}
    assert all(near(came[part], 400 * times) for part, times in expected.items()), came


def test_campaigns_come_again() -> None:
    came = made(100 * DAY_S, rate="10/h", begins="3d", lasts="2d", every="30d")
    days = Counter(int(one.at_s // DAY_S) for one in came)
    assert sorted(days) == [3, 4, 33, 34, 63, 64, 93, 94]
    assert all(near(count, 240) for count in days.values())


def test_bursts_arrive_together() -> None:
    came = made(10 * DAY_S, rate="2/h", burst={"uniform": [3, 5]})
    moments = Counter(one.at_s for one in came)
    assert set(moments.values()) == {3, 4, 5}
    assert near(len(moments), 480)
    assert len({one.workload.name for one in came}) == len(came)
    assert len(made(None, rate="2/h", burst=4, count=10)) == 10, "in the middle of a burst"


def test_they_are_as_jobs_of_a_log_are(tmp_path: Path) -> None:
    (tmp_path / "log.swf").write_text(LOG)
    part = GeneratePart.model_validate({"name": "w", "rate": "1/h", "like": {"file": "log.swf", "jobsAre": "cores"}})
    assert part.like is not None
    jobs = tuple(arrivals(part.like, tmp_path / "log.swf"))
    came = made(None, jobs, rate="30/h", count=900, like={"file": "log.swf", "jobsAre": "cores"}, queue="q")
    kinds = Counter((one.workload.roles[0].requests["cpu"], one.run_s, one.workload.duration_s) for one in came)
    assert set(kinds) == {(2000, 100.0, 200.0), (1000, 50.0, 60.0), (4000, 7.0, 7.0)}
    assert all(near(count, 300) for count in kinds.values())
    assert {one.workload.queue for one in came} == {"q"}
    gaps = came[-1].at_s / len(came)
    assert gaps == pytest.approx(120, rel=0.15), "they come as the source says, not as the log does"


SLIPS = [
    ({"like": {"file": "x.swf"}, "duration": "1h"}, (), "gives 2 of duration, like"),
    ({"duration": None}, (), "gives 0 of duration, like"),
    ({"like": {"file": "x.swf"}, "requests": {"cpu": 1}}, ("requests",), "tells this"),
    ({"like": {"file": "x.swf", "start": "1h"}}, ("like", "start"), "does not count"),
    ({"every": "1h"}, ("every",), "before it is over"),
    ({"every": "1h", "lasts": "2h"}, ("every",), "before it is over"),
    ({"burst": 0}, ("burst",), "none"),
    ({"replicas": {"uniform": [9, 1]}}, ("replicas", "uniform"), "larger than the last"),
    ({"duration": {"uniform": ["9h", "1h"]}}, ("duration", "uniform"), "larger than the last"),
    ({"expected": [4, 1]}, ("expected",), "larger than the last"),
]


@pytest.mark.parametrize(("fields", "at", "message"), SLIPS)
def test_slips_are_told_where_they_are(fields: dict[str, Any], at: tuple[str, ...], message: str) -> None:
    text = {"duration": "1h"} if "like" not in fields else {}
    part = {"name": "w", "rate": "1/h", **text, **fields}
    written = {name: value for name, value in part.items() if value is not None}
    scenario = {
        "apiVersion": "federator.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "s"},
        "spec": {"lasts": "1d", "workloads": [{"generate": written}]},
    }
    with pytest.raises(DocumentErrors) as found:
        read_text(json.dumps(scenario), "s.json")
    [problem] = found.value.problems
    assert problem.field == ".".join(("spec.workloads[0].generate", *at))
    assert message in problem.message


def test_a_log_without_jobs_is_none_to_be_like(tmp_path: Path) -> None:
    (tmp_path / "log.swf").write_text(LOG)
    (tmp_path / "s.yaml").write_text(
        """
apiVersion: federator.dev/v1alpha1
kind: Scenario
metadata: {name: s}
spec: {lasts: 1d, workloads: [{generate: {name: w, rate: 1/h, like: {file: log.swf, skip: 3}}}]}
---
apiVersion: federator.dev/v1alpha1
kind: Cluster
metadata: {name: c}
spec: {provider: fake, flavors: [{name: n, count: 1, allocatable: {cpu: 8}}]}
"""
    )
    with pytest.raises(TraceError, match="none of its jobs counts"):
        list(told(*read_scenario(tmp_path / "s.yaml"), tmp_path).arrivals())
