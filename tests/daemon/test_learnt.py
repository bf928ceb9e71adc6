"""What is learnt of how production comes outlives the daemon."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from federator.daemon.learnt import PREFIX, as_value, of_value
from federator.engine.use_history import KEPT, Learnt
from federator.ports import StoreUnavailable
from tests.daemon.federation import Federation, fake, named

RESTLESS = {"requests": {"cpu": 1}, "duration": "2h"}


def filler(**spec: Any) -> dict[str, Any]:
    container = {"command": ["simulate"], "env": {"FAKE_RUN_S": "9000"}}
    return named("Backfill", "lhc", {"workload": {**RESTLESS, "container": container}, "keepFree": "0%", **spec})


async def learn(federation: Federation, **spec: Any) -> None:
    """A filler that has yet to start, on four cores; production of two of them came and went within five minutes."""
    federation.write(fake("cern", cpu=4))
    await federation.start()
    quiet = filler(quietHours=[{"from": "00:00", "to": "24:00"}], **spec)
    await federation.daemon.service.apply([quiet], owner="me", permit=lambda queue: None)
    await federation.submit("first", 2, env={"FAKE_RUN_S": 30})
    await federation.until(lambda: federation.state("first") == "finished")
    await federation.run(300, step_s=1.0)


async def filled(federation: Federation, **spec: Any) -> int:
    """How many cores it uses some seconds after it may."""
    await federation.daemon.service.apply([filler(**spec)], owner="me", permit=lambda queue: None)
    await federation.until(lambda: federation.running("cern") > 0)
    await federation.run(5)
    return federation.running("cern")


async def end(federation: Federation) -> None:
    """End the daemon in order."""
    await federation.daemon.stop()
    await federation.crash()


async def test_a_daemon_that_was_ended_in_order_has_learnt_everything(federation: Federation) -> None:
    await learn(federation)
    await end(federation)
    await federation.start()
    assert await filled(federation) == 2, "two are left to who came before"


async def test_head_room_of_the_last_hour_is_known_after_a_restart(federation: Federation) -> None:
    await learn(federation, idleFor="1h", mostLost="100%")
    await end(federation)
    await federation.start()
    assert await filled(federation, idleFor="1h", mostLost="100%") == 2
    assert "KeptFree" in (await federation.daemon.service.get("backfills", "lhc"))["message"]


@pytest.mark.thorough
async def test_a_crash_forgets_what_was_learnt_since_the_last_write_and_no_more(federation: Federation) -> None:
    """Every ten minutes here (every hour else) it is written, and not in each cycle."""
    await learn(federation)
    await federation.crash()
    assert not stored(federation)
    federation.learnt_s = 600.0
    await federation.crash()
    await federation.start()
    await federation.run(610, step_s=5.0)
    assert federation.store.written[PREFIX + "cern"] == 1
    await federation.crash()
    await federation.start()
    learnt = federation.daemon.state.members["cern"].history.learnt()
    assert learnt is not None
    assert len(learnt.rows) > 1, "of this slot and of one before"


async def test_a_store_that_is_away_delays_the_write_and_what_cannot_be_read_is_learnt_anew(
    federation: Federation,
) -> None:
    await learn(federation)
    keeper = federation.daemon._cycle.learnt
    federation.store.down = "away"
    with pytest.raises(StoreUnavailable):
        await keeper.keep_all(federation.clock.now_s())
    federation.store.down = ""
    await keeper.keep_up(federation.clock.now_s())
    (value,) = stored(federation)
    federation.store.values[PREFIX + "cern"] = {**value, "packed": "nonsense"}
    await federation.crash()
    await federation.start()
    assert await filled(federation) == 4


@pytest.mark.thorough
async def test_what_is_kept_of_a_cluster_that_is_gone_is_forgotten_a_week_later(federation: Federation) -> None:
    await learn(federation)
    await end(federation)
    federation.write(fake("other", cpu=4))
    await federation.start()
    await federation.run(60, step_s=5.0)
    assert len(stored(federation)) == 1
    await federation.crash()
    await federation.clock.advance(8 * 86_400.0)
    await federation.start()
    await federation.until(lambda: not any(name.endswith("cern") for name in federation.store.values))


def stored(federation: Federation) -> list[Any]:
    return [value for name, value in federation.store.values.items() if name.startswith(PREFIX)]


def test_what_is_stored_is_what_was_learnt_and_small() -> None:
    """A week of a cluster of 4,000 cores with jobs coming and going at random: 200 of such are a few megabytes."""
    random = np.random.default_rng(7)
    free = np.clip(2000 + random.integers(-8, 9, KEPT).cumsum(), 0, 4000) * 1000
    memory = free * 2 * 2**20
    least = free - random.integers(0, 16, KEPT) * 1000
    rows = np.stack([free, memory, least, memory, np.ones(KEPT, dtype=np.int64)], axis=1)
    learnt = Learnt(("cpu", "memory"), 5_000_000, rows)
    value = as_value(learnt)
    assert plain(of_value(value)) == plain(learnt)
    assert len(value["packed"]) < 15_000


def plain(learnt: Learnt) -> tuple[Any, ...]:
    return learnt.names, learnt.slot, learnt.rows.tolist()
