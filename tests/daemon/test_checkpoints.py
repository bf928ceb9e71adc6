"""Attempts at tasks whose checkpoints are kept: each order says which came before it, over restarts too."""

from __future__ import annotations

from federator.model.checkpoints import Attempt
from tests.daemon.federation import Federation, fake, tiers

KEPT = {"checkpointEvery": "1m", "checkpoints": {"url": "file:///kept"}}


def attempts(federation: Federation, cluster: str) -> dict[int, Attempt]:
    """What a cluster was told, by the number of the attempt."""
    orders = [one.order for one in federation.providers[cluster].cluster.intents.values()]
    return {order.attempt.number: order.attempt for order in orders if order.attempt is not None}


async def test_the_next_attempt_is_told_of_those_before_and_of_no_complete_task(federation: Federation) -> None:
    federation.write(fake("cern", cpu=3), fake("gva", cpu=3), tiers("p", "cern", "gva"))
    await federation.start()
    await federation.submit("w", 3, **KEPT)
    await federation.until(lambda: federation.running("cern") == 3)
    ((number, first),) = attempts(federation, "cern").items()
    assert first.tried == ()

    await federation.crash()
    await federation.start()
    await federation.daemon.service.set_drain("cern", True)
    await federation.until(lambda: federation.running("gva") == 3)
    told = attempts(federation, "gva")
    assert sum((len(indices) for one in told.values() for _, indices in one.tried), 0) == 3
    assert {before for one in told.values() for before, _ in one.tried} == {number}
    assert min(told) > number
    record = federation.daemon.state.workloads["w"].record
    assert sum(map(len, record.tried[""].values())) == 6

    await federation.until(lambda: federation.state("w") == "finished")
    assert federation.store.workloads["w"].tried == {"": {}}


async def test_work_that_keeps_nothing_costs_nothing(federation: Federation) -> None:
    federation.write(fake("cern", cpu=3))
    await federation.start()
    await federation.submit("w", 3)
    await federation.until(lambda: federation.running("cern") == 3)
    assert attempts(federation, "cern") == {}
    assert federation.daemon.state.workloads["w"].record.tried == {}
