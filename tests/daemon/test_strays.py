"""What nobody needs any more leaves the stores of checkpoints, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federator.daemon.strays import PREFIX, Strays, of_completed
from federator.daemon.sweeper import AFTER_S, GIVEN_UP_S
from federator.model.checkpoints import leftover
from federator.model.indexset import IndexSet
from tests.daemon.federation import Federation, fake, tiers
from tests.daemon.test_checkpoints import attempts
from tests.web_store import WebStore


def kept(url: str) -> dict[str, Any]:
    return {"checkpointEvery": "1m", "checkpoints": {"url": url}}


def places(federation: Federation, cluster: str, url: str) -> list[str]:
    """All that the attempts which a cluster was told of may keep."""
    told = attempts(federation, cluster).values()
    indices = IndexSet.span(0, 3)
    return [place for one in told for place in leftover(url, one.name, one.number, indices)]


async def begin(federation: Federation, url: str) -> None:
    """Three replicas run at CERN, and may go to Geneva."""
    federation.write(fake("cern", cpu=3), fake("gva", cpu=3), tiers("p", "cern", "gva"))
    await federation.start()
    await federation.submit("w", 3, env={"FAKE_RUN_S": 200}, **kept(url))
    await federation.until(lambda: federation.running("cern") == 3)


def put(places: list[str]) -> None:
    for place in map(Path, (one.removeprefix("file://") for one in places)):
        place.parent.mkdir(exist_ok=True)
        place.write_text("kept")


def swept(federation: Federation, outcome: str) -> float:
    value = federation.daemon.metrics.checkpoint_strays_total.labels(outcome)._value.get()
    return float(value)


async def test_what_a_cancelled_workload_kept_leaves_its_folder(federation: Federation, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/kept"
    await begin(federation, url)
    put([*places(federation, "cern", url), f"{url}/another-1a-0-0-0"])
    await federation.daemon.service.cancel("w", permit=lambda queue: None)
    await federation.until(lambda: federation.state("w") == "cancelled")
    assert len(list((tmp_path / "kept").iterdir())) == 7, "whoever was cut off just now may still write"
    await federation.crash()
    await federation.start()
    await federation.run(AFTER_S + 10.0, step_s=5.0)
    assert [one.name for one in (tmp_path / "kept").iterdir()] == ["another-1a-0-0-0"]
    assert (swept(federation, "removed"), waiting(federation)) == (3.0, 0)


async def test_a_store_that_is_away_keeps_no_workload_and_is_tried_again(federation: Federation, web: WebStore) -> None:
    url = f"{web.url}/kept"
    await begin(federation, url)
    web.kept = {place.removeprefix(web.url): b"kept" for place in places(federation, "cern", url)}
    web.trouble = 503
    await federation.daemon.service.delete("workloads", "w", permit=lambda queue: None)
    await federation.until(lambda: federation.state("w") == "forgotten")
    await federation.run(AFTER_S + 30.0, step_s=5.0)
    assert (len(web.kept), waiting(federation)) == (6, 1)
    assert (swept(federation, "failed"), web.refused) == (1.0, 1), "it is left alone for a minute"
    web.trouble = 0
    await federation.run(60.0, step_s=5.0)
    assert (web.kept, waiting(federation)) == ({}, 0)


@pytest.mark.thorough
async def test_what_a_running_attempt_may_need_stays_and_goes_when_its_task_is_complete(
    federation: Federation, web: WebStore
) -> None:
    """The first attempt at each task was drained away; it had kept something, and the second goes on from it."""
    url = f"{web.url}/kept"
    await begin(federation, url)
    web.kept = {place.removeprefix(web.url): b"kept" for place in places(federation, "cern", url)}
    await federation.daemon.service.set_drain("cern", True)
    await federation.until(lambda: federation.running("gva") == 3)
    assert not federation.daemon.state.strays
    await federation.run(AFTER_S / 3, step_s=5.0)
    assert len(web.kept) == 6
    await federation.until(lambda: federation.state("w") == "finished")
    await federation.run(AFTER_S + 10.0, step_s=5.0)
    assert (web.kept, waiting(federation)) == ({}, 0)


async def test_what_cannot_be_removed_for_a_week_is_given_up(federation: Federation, web: WebStore) -> None:
    web.trouble = 503
    federation.write(fake("cern", cpu=3))
    await federation.start()
    daemon, now_s = federation.daemon, federation.clock.now_s()
    young, old = (Strays(f"{web.url}/{n}", now_s - n * GIVEN_UP_S, {4: IndexSet.of([1])}) for n in (0.9, 1.1))
    daemon.state.strays = {"young": young, "old": old}
    await daemon._sweeper.once()
    assert (swept(federation, "given up"), list(daemon.state.strays)) == (1.0, ["young"])


def test_only_where_several_attempts_were_made_may_another_copy_have_kept_more() -> None:
    tried = {3: IndexSet.span(0, 10), 7: IndexSet.span(2, 4)}
    assert of_completed(tried, IndexSet.of([5, 6])) == {}
    assert of_completed(tried, IndexSet.of([2, 5])) == {3: IndexSet.of([2, 5]), 7: IndexSet.of([2])}


def waiting(federation: Federation) -> int:
    """Workloads whose strays are yet to be removed, by the word of the store."""
    return sum(name.startswith(PREFIX) for name in federation.store.values)
