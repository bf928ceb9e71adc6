"""What the daemon says of itself and of work when neither was seen at the best moment."""

from __future__ import annotations

import pytest

from federator.daemon import cycle
from federator.engine.ground import Ground
from federator.model.plan import Plan, Snapshot
from tests.daemon.federation import Federation


async def test_a_daemon_whose_cycles_fail_says_that_it_is_not_ready(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await federation.start()
    assert federation.daemon.service.ready()["ready"]

    def broken(snapshot: Snapshot, *, ground: Ground) -> Plan:
        raise AttributeError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr(cycle, "plan", broken)
        await federation.run(3)
        ready = federation.daemon.service.ready()
    assert not ready["ready"]
    assert any("a mistake of ours" in check["detail"] for check in ready["checks"] if not check["ok"])
    await federation.run(3)
    assert federation.daemon.service.ready()["ready"], "it goes on when the fault is gone"


async def test_what_ran_between_two_looks_has_started_all_the_same(federation: Federation) -> None:
    """A replica that ends before it is seen running: its workload has a start, and its wait is measured."""
    await federation.start()
    await federation.submit("short", 1, env={"FAKE_RUN_S": 0})
    await federation.until(lambda: federation.state("short") == "finished")
    assert "running" not in federation.kinds("short"), "it was seen running, so this test shows nothing"
    assert (await federation.view("short"))["startedAt"] is not None
    text = federation.daemon.metrics.render()[0].decode()
    assert 'federator_wait_seconds_count{queue="default"} 1.0' in text
