"""What queues have spent comes from their documents, and a snapshot of the federation tells it again."""

from __future__ import annotations

from federator.documents import read_objects, to_snapshot
from tests.daemon.federation import Federation, fake, named


async def test_spending_is_taken_from_the_queue_and_written_into_snapshots(federation: Federation) -> None:
    budget = {"period": "30d", "money": 10}
    cern = fake("cern", cpu=8)
    cern["spec"]["price"] = {"cpu": 1}
    federation.write(cern, named("Queue", "q", {"budget": budget, "observed": {"spent": {"money": 7}}}))
    await federation.start()
    service = federation.daemon.service
    spec = {"queue": "q", "replicas": 8, "requests": {"cpu": 1}, "duration": "1h", "container": {"image": "x"}}
    await service.submit([named("Workload", "w", spec)], owner="me", permit=lambda queue: None)
    await federation.run(5)
    state = federation.daemon.state
    assert [placement.replicas for placement in state.plan.placements] == [3]
    assert {verdict.reason for verdict in state.plan.refusals[0].reasons.values()} == {"OverBudget"}
    written = to_snapshot(read_objects(await service.snapshot()))
    assert written.spent == state.snapshot.spent
    assert written.spent[0].cost.money_micro == 7_000_000
