"""Workloads, clusters, queues and policies over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from federator.ports import StoreUnavailable
from tests.api.conftest import Api

API = "federator.dev/v1alpha1"
YAML = {"Content-Type": "application/yaml"}


def workload(name: str, queue: str = "atlas", **spec: Any) -> dict[str, Any]:
    given = {"queue": queue, "requests": {"cpu": 1}, "container": {"command": ["true"]}, **spec}
    return {"apiVersion": API, "kind": "Workload", "metadata": {"name": name}, "spec": given}


def queue(name: str) -> dict[str, Any]:
    return {"apiVersion": API, "kind": "Queue", "metadata": {"name": name}, "spec": {"weight": 2}}


async def test_a_workload_handed_in_is_listed_got_cancelled_and_deleted(api: Api) -> None:
    status, body, _ = await api.call("POST", "/api/v1/workloads", json=workload("w1"), role="submitter")
    assert (status, body["items"][0]["name"], body["items"][0]["result"]) == (201, "w1", "created")
    assert body["items"][0]["owner"] == "submitter"

    status, body, _ = await api.call("GET", "/api/v1/workloads", role="reader")
    assert (status, [one["name"] for one in body["items"]], body["next"]) == (200, ["w1"], "")
    status, body, _ = await api.call("GET", "/api/v1/workloads/w1", role="reader")
    assert (status, body["document"]["metadata"]["name"]) == (200, "w1")
    status, body, _ = await api.call("POST", "/api/v1/workloads/w1/cancel", role="submitter")
    assert (status, body["state"]) == (200, "cancelled")
    status, _, _ = await api.call("DELETE", "/api/v1/workloads/w1", role="submitter")
    assert status == 200
    assert (await api.call("GET", "/api/v1/workloads/w1"))[0] == 404


async def test_handing_in_the_same_again_is_unchanged_and_another_of_that_name_a_conflict(api: Api) -> None:
    await api.call("POST", "/api/v1/workloads", json=workload("w1"))
    status, body, _ = await api.call("POST", "/api/v1/workloads", json=workload("w1"))
    assert (status, body["items"][0]["result"]) == (200, "unchanged")
    status, body, headers = await api.call("POST", "/api/v1/workloads", json=workload("w1", replicas=2))
    assert status == 409
    assert headers["Content-Type"].startswith("application/problem+json")
    assert body["type"] == "urn:federator:problem:conflict"
    assert body["instance"] == "/api/v1/workloads"


@pytest.mark.parametrize("form", ["yaml", "json list", "List"])
async def test_several_workloads_come_in_one_body_of_any_form(api: Api, form: str) -> None:
    both = [workload("a"), workload("b")]
    text = {
        "yaml": "\n---\n".join(json.dumps(one) for one in both),
        "json list": json.dumps(both),
        "List": json.dumps({"apiVersion": "v1", "kind": "List", "items": both}),
    }[form]
    headers = YAML if form == "yaml" else {"Content-Type": "application/json"}
    status, body, _ = await api.call("POST", "/api/v1/workloads", data=text, headers=headers)
    assert status == 201, body
    assert [one["name"] for one in body["items"]] == ["a", "b"]


async def test_lists_come_in_pages_and_can_be_narrowed(api: Api) -> None:
    for name, of in (("a", "atlas"), ("b", "cms"), ("c", "atlas"), ("d", "atlas")):
        await api.call("POST", "/api/v1/workloads", json=workload(name, of))
    status, body, _ = await api.call("GET", "/api/v1/workloads?queue=atlas&limit=2")
    assert (status, [one["name"] for one in body["items"]], body["next"]) == (200, ["a", "c"], "c")
    _, body, _ = await api.call("GET", "/api/v1/workloads?queue=atlas&limit=2&after=c")
    assert ([one["name"] for one in body["items"]], body["next"]) == (["d"], "")
    _, body, _ = await api.call("GET", "/api/v1/workloads?state=running")
    assert body["items"] == []
    assert (await api.call("GET", "/api/v1/workloads?labels=a=b"))[1]["items"] == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=0", "at least 1"),
        ("limit=ten", "whole number"),
        ("limit=5000", "at most 1000"),
        ("limt=5", "did you mean limit"),
        ("limit=1&limit=2", "twice"),
        ("state=sleeping", "one of waiting"),
        ("labels=nonsense", "must be written key=value"),
    ],
)
async def test_a_wrong_parameter_is_named_with_the_cure(api: Api, query: str, words: str) -> None:
    status, body, _ = await api.call("GET", f"/api/v1/workloads?{query}")
    assert status == 400
    assert words in body["detail"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_apply_takes_any_kind_and_only_from_operators(api: Api, method: str) -> None:
    status, body, _ = await api.call(method, "/api/v1/apply", json=queue("cms"))
    assert (status, body) == (200, {"items": [{"kind": "Queue", "name": "cms", "result": "created"}]})
    status, body, _ = await api.call(method, "/api/v1/apply", json=queue("cms"), role="submitter")
    assert status == 403


async def test_what_a_file_owns_is_not_changed_and_the_file_is_named(api: Api) -> None:
    status, body, _ = await api.call("DELETE", "/api/v1/clusters/cern")
    assert status == 409
    assert "clusters.yaml:1" in body["detail"]
    assert (await api.call("DELETE", "/api/v1/clusters/exoscale"))[0] == 200


@pytest.mark.parametrize("verb", ["cordon", "uncordon", "drain", "undrain"])
async def test_clusters_are_cordoned_and_drained_by_operators_only(api: Api, verb: str) -> None:
    status, body, _ = await api.call("POST", f"/api/v1/clusters/cern/{verb}")
    assert status == 200
    assert body["cordoned" if "cordon" in verb else "draining"] is (not verb.startswith("un"))
    assert (await api.call("POST", f"/api/v1/clusters/cern/{verb}", role="submitter"))[0] == 403
    assert (await api.call("POST", f"/api/v1/clusters/nowhere/{verb}"))[0] == 404


@pytest.mark.parametrize("kind", ["workloads", "clusters", "queues", "policies"])
async def test_what_is_not_there_is_a_problem_document_in_every_kind(api: Api, kind: str) -> None:
    for method in ("GET", "DELETE"):
        status, body, headers = await api.call(method, f"/api/v1/{kind}/nothing")
        assert status == body["status"] == 404
        assert headers["Content-Type"].startswith("application/problem+json")


async def test_an_unknown_path_and_a_wrong_method_are_problem_documents_too(api: Api) -> None:
    status, body, _ = await api.call("GET", "/api/v1/workers")
    assert (status, body["type"]) == (404, "urn:federator:problem:not-found")
    status, body, headers = await api.call("PATCH", "/api/v1/workloads")
    assert (status, headers["Allow"]) == (405, "GET,POST")


async def test_a_database_that_is_away_is_a_503_that_says_when_to_try_again(api: Api) -> None:
    api.service.fails_with = StoreUnavailable("the disk is full; make room")
    status, body, headers = await api.call("POST", "/api/v1/workloads", json=workload("w"))
    assert (status, headers["Retry-After"], body["detail"]) == (503, "5", "the disk is full; make room")


async def test_a_mistake_of_ours_tells_nothing_to_the_caller(api: Api) -> None:
    api.service.fails_with = RuntimeError("secret inner workings")
    status, body, _ = await api.call("GET", "/api/v1/workloads")
    assert status == 500
    assert "secret" not in json.dumps(body)
