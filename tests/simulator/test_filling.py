"""What backfill did in a run, and what it cost production, is measured; the report shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federator.simulator.delaying import delay, without_fillers
from federator.simulator.looks import Looks
from federator.simulator.record import Record
from federator.simulator.recording import recorded
from federator.simulator.report import backfill
from federator.simulator.report.charts import use
from federator.simulator.report.tables import tables
from federator.simulator.run import Run, simulate
from federator.simulator.story import Fault, NodesDown, Story
from tests.engine.build import cluster
from tests.simulator.test_backfill import arrival, filler, story

HOUR_S = 3600.0


def _told() -> Story:
    """Two nodes of four cores. A filler that keeps an eighth free, and saves every ten minutes; production comes after
    half an hour and needs all of one node; after 50 minutes a node breaks."""
    member = cluster("a", nodes=2, cpu=4)
    filling = filler(HOUR_S, 600.0, keep_free={"*": {"*": 125_000}})
    told = story([member], [filling], arrival(1500.0, 600.0, 5))
    return replace(told, faults=(Fault("a", 3000.0, None, nodes=NodesDown()),))


@pytest.fixture(scope="module")
def run() -> Run:
    """It, with fillers."""
    return simulate(_told())


@pytest.fixture(scope="module")
def record() -> Record:
    """Its record, with what it costs production."""
    looks = Looks()
    run = simulate(_told(), watch=looks)
    return replace(recorded(run, "filled", looks), delay=delay(run, simulate(without_fillers(_told()))))


def test_what_each_filler_did_on_each_cluster_adds_up_to_the_figures(run: Run, record: Record) -> None:
    (row,) = record.fillers
    figures = record.figures["backfill"]
    assert (row.filler, row.cluster) == ("f", "a")
    assert row.useful_h == pytest.approx(figures["cpu_s_useful"] / HOUR_S, abs=1e-5)
    assert row.lost_h == pytest.approx(figures["cpu_s_lost"] / HOUR_S, abs=1e-5)
    assert row.lost_h > 0
    span_h = record.span_s / HOUR_S
    for kind, hours in (("backfill", row.useful_h), ("backfill lost", row.lost_h)):
        assert sum(record.series[kind]["a"]) * span_h == pytest.approx(hours, abs=1e-3)


def test_replicas_that_ended_before_their_time_are_counted_by_cause(record: Record) -> None:
    """Of seven, production takes the room of four; a node takes what is on it with it; nothing else ends."""
    (row,) = record.fillers
    assert row.evictions["Preempted"] == record.figures["backfill"]["evictions"] == 4
    assert row.evictions["NodeLost"] > 0
    assert {cause: sum(counts) for cause, counts in record.evictions.items()} == row.evictions


def test_each_job_is_held_against_itself_without_fillers(record: Record) -> None:
    """On an empty cluster it starts at once, on a full one after the grace of 30 s."""
    cost = record.delay
    assert cost is not None
    assert (cost.jobs, cost.later, cost.longer_s["mean"], cost.wait_s["mean"]) == (1, 1.0, 30.0, 0.0)


def test_what_is_kept_free_is_known_at_every_look(record: Record) -> None:
    assert record.kept["f"][0] == 1.0
    assert len(record.kept["f"]) == len(record.looks_s)


def test_the_report_shows_it_and_nothing_of_it_where_nothing_fills(record: Record) -> None:
    looks = Looks()
    bare = recorded(simulate(without_fillers(_told()), watch=looks), "bare", looks)
    charts = (backfill.filling, backfill.delays, backfill.evictions, backfill.head_room)
    for runs in ([record], [bare, record]):
        assert all(draw(runs) is not None for draw in charts)
        assert {"fillers", "delays"} <= {table.name for table in tables(runs)}
    assert all(draw([bare]) is None for draw in charts)
    assert not {"fillers", "delays"} & {table.name for table in tables([bare])}
    (axes,) = use([record]).axes
    assert "backfill that was lost" in axes.get_legend_handles_labels()[1]
