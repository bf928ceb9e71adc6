"""Limits come from files and from the API, and hold in the daemon."""

from __future__ import annotations

from tests.daemon.federation import Federation, fake, named


async def test_a_limit_of_the_files_holds_until_the_api_raises_another(federation: Federation) -> None:
    federation.write(fake("cern", cpu=8), named("Limit", "matlab", {"count": 2}))
    await federation.start()
    service = federation.daemon.service
    await service.apply([named("Limit", "oracle", {"count": 3})], owner="me", permit=lambda queue: None)
    for name in ("matlab", "oracle"):
        spec = {"replicas": 4, "requests": {"cpu": 1}, "limits": {name: 1}, "container": {"image": "x"}}
        await service.submit([named("Workload", f"takes-{name}", spec)], owner="me", permit=lambda queue: None)
    await federation.run(5)
    running = {placement.workload: placement.replicas for placement in federation.daemon.state.plan.placements}
    assert running == {"takes-matlab": 2, "takes-oracle": 3}

    await service.apply([named("Limit", "oracle", {"count": 4})], owner="me", permit=lambda queue: None)
    await federation.run(5)
    running = {placement.workload: placement.replicas for placement in federation.daemon.state.plan.placements}
    assert running == {"takes-matlab": 2, "takes-oracle": 4}
