"""Writes that are sent twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_objects import workload

PATH = "/api/v1/workloads"


async def post(api: Api, key: str, body: Any, role: str = "operator") -> tuple[int, Any, Any]:
    return await api.call("POST", PATH, json=body, role=role, headers={"Idempotency-Key": key})


async def test_the_same_request_with_the_same_key_is_done_once_and_answered_twice(api: Api) -> None:
    first = await post(api, "k1", workload("w"))
    second = await post(api, "k1", workload("w"))
    assert (first[0], second[0]) == (201, 201)
    assert first[1] == second[1]
    assert "Idempotency-Replayed" not in first[2]
    assert second[2]["Idempotency-Replayed"] == "true"
    assert api.service.submissions == 1


async def test_a_key_that_was_used_for_something_else_is_refused(api: Api) -> None:
    await post(api, "k1", workload("w"))
    status, body, _ = await post(api, "k1", workload("v"))
    assert (status, body["type"]) == (422, "urn:federator:problem:key-reused")
    status, _, _ = await api.call("POST", "/api/v1/clusters/cern/cordon", headers={"Idempotency-Key": "k1"})
    assert status == 422


async def test_two_users_may_choose_the_same_key(api: Api) -> None:
    await post(api, "k1", workload("w"), role="operator")
    status, body, headers = await post(api, "k1", workload("v"), role="submitter")
    assert (status, body["items"][0]["name"]) == (201, "v")
    assert "Idempotency-Replayed" not in headers


async def test_requests_with_one_key_at_one_time_wait_for_each_other(api: Api) -> None:
    api.service.delay_s = 0.05
    answers = await asyncio.gather(*(post(api, "k1", workload("w")) for _ in range(8)))
    assert [status for status, _, _ in answers] == [201] * 8
    assert sum("Idempotency-Replayed" in headers for _, _, headers in answers) == 7
    assert api.service.submissions == 1


async def test_what_was_refused_may_be_tried_again_with_the_same_key(api: Api) -> None:
    await post(api, "other", workload("w", replicas=2))
    assert (await post(api, "k1", workload("w")))[0] == 409
    await api.call("DELETE", f"{PATH}/w")
    assert (await post(api, "k1", workload("w")))[0] == 201


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "é"])
async def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    status, _, _ = await post(api, key, workload("w"))
    assert status == 400


async def test_a_secret_is_never_remembered(api: Api) -> None:
    body = {"name": "ci", "roles": ["reader"]}
    status, made, _ = await api.call("POST", "/api/v1/tokens", json=body, headers={"Idempotency-Key": "k1"})
    assert status == 201
    assert made["token"] not in str(api.kept.answers)
