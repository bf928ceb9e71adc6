"""What is kept of a run says what its figures say, and the report made of it needs nothing else."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from random import Random

import pytest

from federator.documents import DocumentErrors
from federator.model.plan import Plan, Refusal, Snapshot
from federator.model.reasons import Reason, Verdict
from federator.simulator.looks import MOST_LOOKS, Looks
from federator.simulator.record import Record, read, write
from federator.simulator.recording import distribution, recorded
from federator.simulator.report.files import write_report
from federator.simulator.report.page import page
from federator.simulator.run import Run, simulate, simulate_quickly
from federator.simulator.story import Fault
from tests.engine.build import cluster
from tests.simulator.stories import arrival, story

CHARTS = {"use", "clusters", "waiting", "queues", "distributions", "fairness", "costs", "refused"}
TABLES = {"figures", "clusters", "queues", "refusals", "faults"}


def _run(seed: int) -> tuple[Run, Looks]:
    """Two queues share two small clusters, one of which falls silent; work waits, and is paid for."""
    random = Random(seed)
    sites = [cluster("north", nodes=2, cpu=4, price={"cpu": 1e6}), cluster("south", nodes=1, cpu=4)]
    coming = [
        arrival(f"w{number:02}", 20.0 * number, random.uniform(50, 900), random.randint(1, 3), queue=f"q{number % 2}")
        for number in range(40)
    ]
    looks = Looks()
    faults = (Fault("south", 300.0, 900.0),)
    return simulate(story(sites, coming, faults=faults, name=f"seed {seed}"), watch=looks), looks


@pytest.fixture(scope="module")
def runs() -> list[tuple[Run, Record]]:
    """Two runs, and their records."""
    found = []
    for seed in (1, 2):
        run, looks = _run(seed)
        found.append((run, recorded(run, run.story.name, looks)))
    return found


@pytest.fixture(scope="module")
def records(runs: list[tuple[Run, Record]]) -> list[Record]:
    """Their records alone."""
    return [record for _, record in runs]


def _total(record: Record, kind: str) -> float:
    """What averages over time add up to, in hours."""
    spans = len(record.moves)
    lengths = [min(record.span_s, record.until_s - at * record.span_s) for at in range(spans)]
    series = record.series[kind].values()
    return sum(value * length for values in series for value, length in zip(values, lengths, strict=True)) / 3600


def test_what_is_kept_over_time_adds_up_to_the_figures(runs: list[tuple[Run, Record]]) -> None:
    for run, record in runs:
        core_h = sum(used["cpu"] for used in run.measures.use.values()) / 3_600_000
        assert core_h > 5, "hardly anything ran, so this test shows nothing"
        assert _total(record, "queue") == pytest.approx(core_h, abs=1e-4)
        assert _total(record, "production") + _total(record, "lost") == pytest.approx(core_h, abs=1e-4)
        assert _total(record, "cost") == pytest.approx(record.figures["cost"], abs=1e-4)
        assert record.figures["cost"] > 0
        waited_h = sum(one.wait_s for one in run.measures.workloads) / 3600
        assert _total(record, "waiting") == pytest.approx(waited_h, abs=1e-4)
        assert record.fairness[-1] == pytest.approx(record.figures["fairness_jain"], abs=1e-6)
        assert record.waits[-1] == (record.figures["wait_s"]["max"], 1.0)
        assert sum(row.core_h or 0 for row in record.queues) == pytest.approx(core_h, abs=1e-4)
        assert sum(row.submitted for row in record.queues) == record.figures["jobs"]["submitted"]


def test_what_was_refused_is_told_with_its_reasons(records: list[Record]) -> None:
    for record in records:
        assert sum(record.refused["NoRoom"]) > 0
        silent = next(row for row in record.reasons if row.cluster == "south" and row.reason == "ClusterAway")
        assert 0 < silent.replica_h < 10
        assert silent.words.startswith("the cluster has not answered for")


def test_a_distribution_keeps_the_least_the_most_and_what_does_not_exceed_each() -> None:
    values = [0.0] * 900 + [float(n) for n in range(1, 4101)]
    points = distribution(values)
    assert len(points) <= 400
    assert points[0] == (0.0, 0.18)
    assert points[-1] == (4100.0, 1.0)
    assert all(part == pytest.approx(sum(v <= value for v in values) / 5000, abs=1e-6) for value, part in points[::40])


def test_looks_stay_few_and_cover_the_whole_run() -> None:
    looks = Looks()
    refusal = Refusal("w", "", 3, {"north": Verdict(Reason.CORDONED)})
    for at in range(5000):
        looks(Snapshot(at_s=2.0 * at), Plan(refusals=(refusal,)))
    assert MOST_LOOKS / 3 < len(looks.looks) <= MOST_LOOKS
    gaps = [b.at_s - a.at_s for a, b in zip(looks.looks, looks.looks[1:], strict=False)]
    assert max(gaps) < 10_000 / 50
    assert looks.looks[-1].by_cluster == {("north", "Cordoned"): 3}


def test_a_record_can_be_read_again_and_what_is_none_is_told(records: list[Record], tmp_path: Path) -> None:
    write(records[0], tmp_path / "run.json")
    assert read(tmp_path / "run.json") == records[0]
    (tmp_path / "other.json").write_text('{"name": 7}')
    with pytest.raises(DocumentErrors, match=r"other\.json.*name.*is no record of a run.*--record"):
        read(tmp_path / "other.json")


@pytest.mark.thorough
def test_a_report_needs_nothing_else(records: list[Record], tmp_path: Path) -> None:
    """Two runs side by side: the page holds every chart and table, refers to nothing outside, and its parts are
    files that others can open."""
    page, parts = tmp_path / "report.html", tmp_path / "parts"
    write_report(records, page, parts)
    text = page.read_text()
    assert len(text) < 2_000_000
    assert "default-src 'none'" in text
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert not re.findall(r"(?:src|href)=\"(?!#)|url\((?!#)|@import|<script|https?://", outside)
    assert {one.stem for one in parts.glob("*.svg")} == {one.stem for one in parts.glob("*.png")} == CHARTS
    assert {one.stem for one in parts.glob("*.csv")} == TABLES
    assert all(f'id="{name}"' in text for name in CHARTS | TABLES)
    assert "A: seed 1" in text
    assert "B: seed 2" in text
    with (parts / "figures.csv").open(newline="") as file:
        rows = {row["figure"]: row for row in csv.DictReader(file)}
    assert float(rows["cost"]["B"]) == records[1].figures["cost"]


def test_a_run_that_the_shortcut_told_has_its_reasons_and_says_so() -> None:
    looks = Looks()
    coming = [arrival(f"w{number:02}", 20.0 * number, 300.0, cpu=2) for number in range(10)]
    quick = simulate_quickly(story([cluster("pool", cpu=4)], coming), watch=looks)
    kept = recorded(quick, "pool", looks)
    assert kept.quick
    assert sum(kept.refused["NoRoom"]) > 0
    assert {row.cluster for row in kept.reasons} == {"pool"}
    assert f"the planner was asked {len(kept.looks_s)} times" in page([kept], [], [])
