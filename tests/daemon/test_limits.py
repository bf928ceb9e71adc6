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


async def test_people_see_what_is_used_of_limits_and_what_waits(federation: Federation) -> None:
    limits = (
        named("Limit", "matlab", {"count": 3, "clusters": {"desy": 1}}),
        named("Limit", "idle", {"clusters": {"*": 2}}),
    )
    federation.write(fake("cern", cpu=8), fake("desy", cpu=8), *limits)
    await federation.start()
    service = federation.daemon.service
    spec = {"replicas": 5, "requests": {"cpu": 1}, "limits": {"matlab": 1}, "container": {"image": "x"}}
    await service.submit([named("Workload", "takes", spec)], owner="me", permit=lambda queue: None)
    await federation.run(5)
    found = {one["name"]: one for one in (await service.list("limits")).items}
    matlab = found["matlab"]
    assert (matlab["scope"], matlab["limit"], matlab["used"], matlab["waiting"]) == ("federation, clusters", 3, 3, 2)
    assert {name: one["limit"] for name, one in matlab["clusters"].items()} == {"cern": None, "desy": 1}
    assert sum(one["used"] for one in matlab["clusters"].values()) == 3
    assert found["idle"]["limit"] is None
    assert found["idle"]["clusters"] == {"cern": {"limit": 2, "used": 0}, "desy": {"limit": 2, "used": 0}}
    assert await service.get("limits", "matlab") == matlab
    metrics = federation.daemon.metrics.render()[0].decode()
    for line in ('limit_capacity{limit="matlab"} 3', 'limit_used{limit="matlab"} 3', 'limit_capacity{limit="idle"} 4'):
        assert f"federator_{line}" in metrics
