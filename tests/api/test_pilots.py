"""The wire format of pilots, version 1, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.clusters.pilots.site import order

GIB = 2**30
PILOT = {
    "protocol": 1, "name": "p", "host": "wn1", "version": "1", "resources": {"cpu": 4, "memory": 8.0 * GIB},
    "labels": {"gpu": "none"}, "runtimes": ["process"], "lifetimeSeconds": 3600,
}  # fmt: skip


async def call(api: Api, path: str, body: Any = None, role: str = "pilot") -> tuple[int, Any]:
    sent = {} if body is None else {"json": body}
    status, answer, _ = await api.call("POST", f"/api/v1/pilots{path}", role=role, **sent)
    return status, answer


async def leased(api: Api) -> str:
    """The lease of a replica that a pilot was given."""
    assert await call(api, "", PILOT) == (200, {"protocol": 1, "cluster": "grid", "leaseSeconds": 60.0})
    await api.service.site.submit(order())
    status, mail = await call(api, "/p/lease", {"held": [], "limit": 5})
    assert status == 200
    (grant,) = mail["grants"]
    assert (grant["workload"], grant["index"], grant["command"]) == ("workload-w", 0, ["true"])
    assert grant["requests"] == {"cpu": 1.0, "memory": GIB}
    return str(grant["lease"])


async def test_a_pilot_registers_leases_and_completes(api: Api) -> None:
    lease = await leased(api)
    assert (await call(api, "/p/progress", {"payloads": [{"lease": lease}]}))[1]["void"] == []
    assert (await call(api, "/p/heartbeat", {"held": [lease]}))[1]["leaseSeconds"] == 60.0
    for _ in range(2):
        told = {"lease": lease, "log": "done\n", "usage": {"cpuSeconds": 1.5}}
        assert await call(api, "/p/complete", told) == (200, {"lease": lease, "result": "counted"})
    assert len((await api.service.site.observe()).intents["w"].succeeded) == 1
    assert api.service.leases == {"granted": 1, "succeeded": 1}


async def test_what_does_not_count_is_refused_with_its_reason(api: Api) -> None:
    lease = await leased(api)
    assert (await call(api, "/p/fail", {"lease": lease, "reason": "Error", "exitCode": 3}))[0] == 200
    status, problem = await call(api, "/p/complete", {"lease": lease})
    assert (status, problem["reason"]) == (409, "AlreadyEnded")
    assert problem["type"] == "urn:federator:problem:lease-refused"
    status, problem = await call(api, "/p/complete", {"lease": "w.0.other"})
    assert (status, problem["reason"]) == (409, "LeaseVoid")
    status, problem = await call(api, "/p/complete", {"lease": "nonsense"})
    assert (status, problem["reason"]) == (409, "LeaseUnknown")


async def test_an_unknown_pilot_is_told_to_register(api: Api) -> None:
    status, problem = await call(api, "/nobody/heartbeat", {"held": []})
    assert (status, problem["type"]) == (404, "urn:federator:problem:unknown-pilot")


async def test_a_pilot_ends_in_order_and_may_say_so_twice(api: Api) -> None:
    lease = await leased(api)
    for _ in range(2):
        assert (await call(api, "/p/drain"))[0] == 200
    assert (await call(api, "/p/lease", {"held": [lease], "limit": 1}))[1]["grants"] == []
    for _ in range(2):
        assert await call(api, "/p/goodbye") == (200, {"result": "gone"})


async def test_only_pilots_are_pilots_and_only_of_their_own_site(api: Api) -> None:
    for role in ("operator", "reader", "submitter"):
        assert (await call(api, "", PILOT, role=role))[0] == 403
    status, problem = await call(api, "", {**PILOT, "cluster": "elsewhere"})
    assert status == 403
    assert "belongs to site 'grid'" in problem["detail"]
    assert (await api.call("GET", "/api/v1/workloads", role="pilot"))[0] == 403


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"protocol": 2}, "protocol"),
        ({"runtimes": ["docker"]}, "runtimes"),
        ({"resources": {"cpu": -1}}, "resources"),
        ({"name": "../etc"}, "name"),
        ({"speed": 9}, "speed"),
    ],
)
async def test_what_is_wrong_in_a_body_is_told(api: Api, change: dict[str, Any], field: str) -> None:
    status, problem = await call(api, "", {**PILOT, **change})
    assert (status, problem["type"]) == (422, "urn:federator:problem:invalid-body")
    assert problem["errors"][0]["field"].startswith(field)


async def test_a_registration_is_in_the_audit_trail_and_heartbeats_are_not(api: Api) -> None:
    lease = await leased(api)
    await call(api, "/p/heartbeat", {"held": [lease]})
    assert [entry.detail for entry in api.kept.trail] == ["register pilot p at grid"]
