"""What queues spend of their budgets: counted by the daemon, kept over restarts, and heeded by the planner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from federator.daemon import spending
from federator.documents import read_objects, to_snapshot
from federator.engine.purse import CARBON, MONEY
from federator.engine.spending import counted_on
from federator.model.budget import Budget, Spending
from federator.model.plan import Snapshot
from federator.model.policy import Queue
from tests.daemon.federation import Federation, fake, named

HOUR_S = 3600.0


async def priced(folder: Path, **budget: Any) -> Federation:
    """Four cores at 36 an hour each, which is one for each 100 s."""
    federation = Federation(folder, usage_s=5.0)
    cluster = fake("cloud", 4, run_time=None)
    cluster["spec"] |= {"price": {"cpu": 36}, "power": {"cpu": 1000}, "carbonIntensity": 100}
    federation.write(cluster)
    await federation.start()
    await apply(federation, named("Queue", "students", {"budget": {"period": "365d", **budget}}))
    return federation


async def apply(federation: Federation, document: Mapping[str, Any]) -> None:
    await federation.daemon.service.apply([document], owner="me", permit=lambda queue: None)


def spent(federation: Federation) -> float:
    """What the planner knows the queue to have spent, of money."""
    return sum(one.cost.money_micro for one in federation.daemon.state.snapshot.spent) / 1e6


async def test_what_runs_is_added_up_kept_over_a_crash_and_then_stops_more(tmp_path: Path) -> None:
    federation = await priced(tmp_path, money=8)
    await federation.submit("homework", 2, queue="students", duration="200s")
    await federation.run(100, step_s=1.0)
    assert spent(federation) == pytest.approx(2.0, abs=0.25), "two cores for 100 s"
    await federation.crash()
    await federation.start()
    assert spent(federation) == pytest.approx(2.0, abs=0.25)
    await federation.run(100, step_s=1.0)
    assert spent(federation) == pytest.approx(4.0, abs=0.4)
    await federation.submit("more", 3, queue="students", duration="200s")
    await federation.run(3)
    refused = {one.workload: one for one in federation.daemon.state.plan.refusals}
    assert {str(verdict.reason) for verdict in refused["more"].reasons.values()} == {"OverBudget"}
    view = await federation.daemon.service.get("queues", "students")
    assert view["budget"]["money"] == "8"
    assert 3.5 < float(view["spent"]["money"]) < 4.6
    assert 'queue_spent{queue="students",what="money"}' in federation.daemon.metrics.render()[0].decode()


async def test_a_snapshot_tells_what_was_spent_and_the_larger_count_holds(tmp_path: Path) -> None:
    federation = await priced(tmp_path, money=1000, carbon="1t")
    await federation.submit("homework", 4, queue="students", duration="10m")
    await federation.run(60, step_s=1.0)
    live = federation.daemon.state.snapshot
    documents = await federation.daemon.service.snapshot()
    seen = to_snapshot(read_objects(documents), at_s=live.at_s)
    assert spent(federation) > 1
    assert seen.spent == spending.known(federation.daemon.state, live.at_s)
    queue = next(one for one in documents if one["kind"] == "Queue")
    spec = {**queue["spec"], "observed": {"spent": {"money": 50}}}
    await apply(federation, {**queue, "spec": spec})
    await federation.run(10)
    assert spent(federation) == 50


async def test_where_nobody_has_a_budget_nothing_is_counted(tmp_path: Path) -> None:
    federation = Federation(tmp_path, usage_s=5.0)
    federation.write(fake("cern", 4, run_time=None))
    await federation.start()
    await federation.submit("work", 2)
    await federation.run(30)
    assert spending.VALUE not in federation.store.values
    assert spending.of_value(None) == ({}, None)


def queue(period_s: float) -> Snapshot:
    """As of ten minutes after an hour began."""
    return Snapshot(at_s=100 * HOUR_S + 600, queues=(Queue("q", budget=Budget(period_s, 1, 1)),))


RATES = {("q", MONEY): 3600, ("q", CARBON): 7200}


def test_a_new_period_begins_with_nothing_and_counts_from_its_beginning() -> None:
    seen = queue(HOUR_S)
    old = {"q": Spending(99 * HOUR_S, 5, 5)}
    assert counted_on(seen, old, RATES, seen.at_s - 1800) == {"q": Spending(100 * HOUR_S, 600, 1200)}
    same = {"q": Spending(100 * HOUR_S, 5, 5)}
    assert counted_on(seen, same, RATES, seen.at_s - 60) == {"q": Spending(100 * HOUR_S, 65, 125)}


def test_what_is_stored_is_read_again() -> None:
    counted = {"q": Spending(100 * HOUR_S, 600, 1200)}
    assert spending.of_value(spending.as_value(counted, 7.0)) == (counted, 7.0)
