"""Explain, history, plan, snapshot, health, metrics, and the description of it all."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from federator.api import openapi
from federator.api.server import ROUTES
from tests.api.conftest import Api
from tests.api.test_objects import YAML, workload


async def test_explain_and_history_tell_of_one_workload(api: Api) -> None:
    await api.call("POST", "/api/v1/workloads", json=[workload("w"), workload("v")])
    _, body, _ = await api.call("GET", "/api/v1/workloads/w/explain")
    assert body["clusters"][1]["reason"] == "NoRoom"
    _, body, _ = await api.call("GET", "/api/v1/workloads/w/history")
    assert [one["kind"] for one in body["items"]] == ["Submitted"]
    assert body["next"] == ""
    for verb in ("explain", "history"):
        assert (await api.call("GET", f"/api/v1/workloads/none/{verb}"))[0] == 404


async def test_a_dry_run_changes_nothing_and_may_be_of_nothing(api: Api) -> None:
    status, body, _ = await api.call("POST", "/api/v1/plan", json=workload("p"))
    assert (status, body["placements"][0]["workload"]) == (200, "p")
    assert sorted(body) == ["moves", "placements", "preemptions", "refusals", "reservations"]
    status, body, _ = await api.call("POST", "/api/v1/plan")
    assert (status, body["placements"]) == (200, [])
    assert api.service.objects["workloads"] == {}
    assert api.kept.trail == []


async def test_a_snapshot_is_documents_that_can_be_read_again(api: Api) -> None:
    status, body, _ = await api.call("GET", "/api/v1/snapshot")
    assert (status, [one["kind"] for one in body["items"]]) == (200, ["Cluster", "Cluster"])


async def test_readiness_follows_the_daemon(api: Api) -> None:
    assert (await api.call("GET", "/readyz", role=None))[0] == 200
    api.service.is_ready = False
    status, body, _ = await api.call("GET", "/readyz", role=None)
    assert (status, body["checks"][0]["name"]) == (503, "store")
    assert (await api.call("GET", "/healthz", role=None))[0] == 200


async def test_metrics_come_in_the_form_that_is_asked_for(api: Api) -> None:
    api.metrics.cluster_up.labels("cern").set(1)
    _, text, headers = await api.call("GET", "/metrics", role=None)
    assert 'federator_cluster_up{cluster="cern"} 1.0' in text
    assert headers["Content-Type"].startswith("text/plain")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    _, text, headers = await api.call("GET", "/metrics", role=None, headers=accept)
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


async def test_the_description_has_every_route_and_every_reference_leads_somewhere(api: Api) -> None:
    _, served, _ = await api.call("GET", "/openapi.json", role=None)
    assert served["openapi"] == "3.1.0"
    assert {(path, method) for path, item in served["paths"].items() for method in item} == {
        (route.path, route.method.lower()) for route in ROUTES
    }
    names = [operation["operationId"] for item in served["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if "$ref" in value else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    schemas = {f"#/components/schemas/{name}" for name in served["components"]["schemas"]}
    assert references(served) <= schemas
    assert served["paths"]["/api/v1/workloads"]["get"]["responses"]["401"]["content"].keys() == {
        "application/problem+json"
    }


UNENDING = "/api/v1/events"
CHECKED = {
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
}
FEW = settings(
    max_examples=3,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.thorough
@pytest.mark.parametrize("operation", [f"{route.method} {route.path}" for route in ROUTES if route.path != UNENDING])
async def test_whatever_is_sent_the_answer_is_as_described(api: Api, operation: str) -> None:
    """Requests made from the description, right ones and wrong ones: no 500, and no answer that it does not have."""
    await api.call("POST", "/api/v1/workloads", json=[workload("w"), workload("a")])
    method, path = operation.split()
    described = schemathesis.openapi.from_dict(openapi.document(ROUTES))[path][method]
    checks = [check for check in CHECKS.get_all() if check.__name__ in CHECKED]
    assert len(checks) == len(CHECKED)
    role = "pilot" if "/pilots" in path and method == "POST" else "operator"
    token = {"Authorization": f"Bearer {api.tokens[role]}"}

    def send_some() -> None:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @FEW
            @given(described.as_strategy(generation_mode=mode))
            def send(case: schemathesis.Case) -> None:
                response = case.call(base_url=api.url, headers=token, timeout=10)
                case.validate_response(response, checks=checks)

            with contextlib.suppress(Unsatisfiable):  # nothing about some requests can be wrong
                send()

    await asyncio.to_thread(send_some)


async def test_yaml_is_taken_for_a_dry_run_too(api: Api) -> None:
    text = "apiVersion: federator.dev/v1alpha1\nkind: Queue\nmetadata: {name: q}\n"
    assert (await api.call("POST", "/api/v1/plan", data=text, headers=YAML))[0] == 200
