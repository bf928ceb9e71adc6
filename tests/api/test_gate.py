"""What every request passes: the host it asks for, who it is from, what they may do, and the trail it leaves."""

from __future__ import annotations

import json
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from federator.api.settings import ApiSettings, UnsafeAddress
from tests.api.conftest import Api, start
from tests.api.fake_service import FakeKept
from tests.api.test_objects import queue, workload
from tests.servers.certificates import Authority

OPEN = ("/healthz", "/readyz", "/openapi.json", "/", "/metrics")


@pytest.mark.parametrize("path", OPEN)
async def test_what_looks_after_the_server_needs_no_token_on_loopback(api: Api, path: str) -> None:
    assert (await api.call("GET", path, role=None))[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/api/v1/workloads", "/api/v1/clusters", "/api/v1/queues", "/api/v1/policies", "/api/v1/placements",
     "/api/v1/events", "/api/v1/snapshot", "/api/v1/tokens"],
)  # fmt: skip
async def test_everything_else_needs_one(api: Api, path: str) -> None:
    status, body, headers = await api.call("GET", path, role=None)
    assert (status, body["type"]) == (401, "urn:federator:problem:not-identified")
    assert headers["WWW-Authenticate"].startswith("Bearer")
    status, _, headers = await api.call("GET", path, role=None, headers={"Authorization": "Bearer fed_no_such"})
    assert status == 401
    assert "invalid_token" in headers["WWW-Authenticate"]


async def test_metrics_need_a_token_where_others_than_this_machine_can_ask() -> None:
    api = await start(behind_proxy=True)
    try:
        assert (await api.call("GET", "/metrics", role=None))[0] == 401
        assert (await api.call("GET", "/metrics", role="reader"))[0] == 200
    finally:
        await api.session.close()
        await api.running.stop()


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("GET", "/api/v1/workloads", None, {"reader", "submitter", "operator"}),
        ("GET", "/api/v1/snapshot", None, {"reader", "submitter", "operator"}),
        ("POST", "/api/v1/plan", workload("p"), {"reader", "submitter", "operator"}),
        ("POST", "/api/v1/workloads", workload("w", "atlas-prod"), {"submitter", "operator"}),
        ("POST", "/api/v1/workloads", workload("x", "cms"), {"operator"}),
        ("PUT", "/api/v1/apply", queue("q"), {"operator"}),
        ("DELETE", "/api/v1/queues/atlas", None, {"operator"}),
        ("POST", "/api/v1/clusters/cern/drain", None, {"operator"}),
        ("GET", "/api/v1/tokens", None, {"operator"}),
    ],
)
async def test_each_role_may_do_what_it_is_for(api: Api, method: str, path: str, body: Any, allowed: set[str]) -> None:
    for role in ("reader", "submitter", "operator"):
        status, _, _ = await api.call(method, path, role=role, json=body)
        assert (status != 403) == (role in allowed), (role, status)


async def test_a_submitter_cancels_in_own_queues_only(api: Api) -> None:
    await api.call("POST", "/api/v1/workloads", json=[workload("mine", "atlas"), workload("theirs", "cms")])
    assert (await api.call("POST", "/api/v1/workloads/mine/cancel", role="submitter"))[0] == 200
    status, body, _ = await api.call("POST", "/api/v1/workloads/theirs/cancel", role="submitter")
    assert status == 403
    assert "cms" in body["detail"]


async def test_a_ban_holds_from_the_next_request_on(api: Api) -> None:
    assert (await api.call("GET", "/api/v1/workloads", role="reader"))[0] == 200
    api.access.banned_users = ("reader",)
    assert (await api.call("GET", "/api/v1/workloads", role="reader"))[0] == 403


@pytest.mark.parametrize("host", ["evil.example.org", "evil.example.org:80", "127.0.0.1.example.org", ""])
async def test_a_name_that_only_points_here_is_refused_on_loopback(api: Api, host: str) -> None:
    status, body, _ = await api.call("GET", "/healthz", headers={"Host": host})
    assert (status, body["type"]) == (421, "urn:federator:problem:wrong-host")


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:80", "[::1]:9"])
async def test_names_of_this_machine_are_taken(api: Api, host: str) -> None:
    assert (await api.call("GET", "/healthz", headers={"Host": host}))[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "federator.example.org", "::"])
def test_listening_beyond_this_machine_without_tls_is_refused(host: str) -> None:
    kept = FakeKept()
    with pytest.raises(UnsafeAddress, match="behindProxy"):
        ApiSettings(kept=kept, audit=kept.audit, host=host).check()
    ApiSettings(kept=kept, audit=kept.audit, host=host, behind_proxy=True).check()


async def test_with_a_certificate_the_server_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "test")
    cert, key = authority.serving("server")
    api = await start(tls_cert=cert, tls_key=key)
    try:
        assert api.url == f"https://127.0.0.1:{api.running.port}"
        trust = ssl.create_default_context(cafile=str(authority.ca_file))
        async with api.session.get(f"{api.url}/healthz", ssl=trust) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await api.session.get(f"http://127.0.0.1:{api.running.port}/healthz")
    finally:
        await api.session.close()
        await api.running.stop()


async def test_every_write_leaves_a_trail_refused_ones_too(api: Api) -> None:
    before = time.time()
    await api.call("POST", "/api/v1/workloads", json=workload("w"), role="submitter")
    await api.call("POST", "/api/v1/clusters/cern/cordon", role="submitter")
    await api.call("DELETE", "/api/v1/workloads/w", role=None)
    await api.call("DELETE", "/api/v1/workloads/none")
    await api.call("GET", "/api/v1/workloads")
    told = [(one.who, one.roles, one.verb, one.path, one.status) for one in api.kept.trail]
    assert told == [
        ("submitter", ("submitter",), "POST", "/api/v1/workloads", 201),
        ("submitter", ("submitter",), "POST", "/api/v1/clusters/cern/cordon", 403),
        ("", (), "DELETE", "/api/v1/workloads/w", 401),
        ("operator", ("operator",), "DELETE", "/api/v1/workloads/none", 404),
    ]
    assert api.kept.trail[0].detail == "submit w"
    assert {one.address for one in api.kept.trail} == {"127.0.0.1"}
    assert all(before <= one.at_s <= time.time() for one in api.kept.trail)


async def test_behind_a_proxy_the_trail_names_who_the_proxy_says_calls() -> None:
    api = await start(behind_proxy=True)
    try:
        headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "Host": "federator.example.org"}
        await api.call("POST", "/api/v1/clusters/cern/cordon", headers=headers)
        assert api.kept.trail[0].address == "198.51.100.7", "what the caller wrote itself must not count"
    finally:
        await api.session.close()
        await api.running.stop()


async def test_no_answer_and_no_trail_holds_a_token(api: Api) -> None:
    secret = api.tokens["submitter"]
    for method, path in (("POST", "/api/v1/clusters/cern/cordon"), ("GET", "/api/v1/workloads"), ("GET", "/nothing")):
        _, body, headers = await api.call(method, path, role="submitter")
        assert secret not in json.dumps(body) + str(headers)
    assert secret not in str(api.kept.trail)


async def test_a_token_in_the_address_is_not_taken(api: Api) -> None:
    status, _, _ = await api.call("GET", f"/api/v1/workloads?token={api.tokens['operator']}", role=None)
    assert status == 401


async def test_answers_are_not_cached_nor_framed_nor_sniffed(api: Api) -> None:
    _, _, headers = await api.call("GET", "/api/v1/workloads")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    _, text, headers = await api.call("GET", "/", role=None)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http://" not in text
    assert "https://" not in text


async def test_tokens_are_made_told_once_listed_without_secrets_and_revoked_at_once(api: Api) -> None:
    status, made, _ = await api.call("POST", "/api/v1/tokens", json={"name": "ci", "roles": ["reader"]})
    assert status == 201
    secret = {"Authorization": f"Bearer {made['token']}"}
    assert (await api.call("GET", "/api/v1/workloads", role=None, headers=secret))[0] == 200
    _, listed, _ = await api.call("GET", "/api/v1/tokens")
    assert "ci" in [one["name"] for one in listed["items"]]
    assert made["token"] not in json.dumps(listed)
    assert (await api.call("POST", "/api/v1/tokens", json={"name": "ci", "roles": ["reader"]}))[0] == 409
    assert (await api.call("DELETE", "/api/v1/tokens/ci"))[0] == 200
    assert (await api.call("GET", "/api/v1/workloads", role=None, headers=secret))[0] == 401
    assert (await api.call("DELETE", "/api/v1/tokens/ci"))[0] == 404


@pytest.mark.parametrize(
    "body", [{}, {"name": 5}, {"name": "a b", "roles": ["reader"]}, {"name": "a", "roles": ["king"]},
             {"name": "a", "roles": ["pilot"]}, {"name": "a", "rolls": []}, []]
)  # fmt: skip
async def test_a_token_that_makes_no_sense_is_refused(api: Api, body: Any) -> None:
    assert (await api.call("POST", "/api/v1/tokens", json=body))[0] == 422
