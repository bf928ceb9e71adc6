"""Logs and events: answers that go on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from federator.api import server
from federator.ports import ClusterUnreachable
from tests.api.conftest import Api, start
from tests.api.test_objects import workload
from tests.patience import PATIENCE_S

EVENTS = "/api/v1/events"


async def read_events(
    api: Api, count: int, path: str = EVENTS, headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """So many events, then hang up."""
    found: list[dict[str, Any]] = []
    sent = {"Authorization": f"Bearer {api.tokens['reader']}", **(headers or {})}
    async with asyncio.timeout(PATIENCE_S), api.session.get(api.url + path, headers=sent) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        async for line in answer.content:
            if line.startswith(b"data: "):
                found.append(json.loads(line[6:]))
                if len(found) == count:
                    break
    return found


async def listened(api: Api) -> None:
    """Wait until somebody has been told all there is, and waits for more."""
    async with asyncio.timeout(PATIENCE_S):
        await api.service.listening.wait()


async def test_events_come_from_the_beginning_and_as_they_happen(api: Api) -> None:
    await api.service.happen("First", "before anybody listened")
    listening = asyncio.create_task(read_events(api, 2))
    await listened(api)
    await api.service.happen("Second", "while somebody listens")
    assert [one["kind"] for one in await listening] == ["First", "Second"]


@pytest.mark.parametrize("way", ["header", "parameter"])
async def test_a_stream_goes_on_after_the_last_event_seen(api: Api, way: str) -> None:
    for kind in ("A", "B", "C"):
        await api.service.happen(kind, "")
    headers = {"Last-Event-ID": "1"} if way == "header" else {}
    path = EVENTS if way == "header" else f"{EVENTS}?after=1"
    assert [one["kind"] for one in await read_events(api, 2, path, headers)] == ["B", "C"]


async def test_latest_leaves_out_all_that_was(api: Api) -> None:
    await api.service.happen("Old", "")
    listening = asyncio.create_task(read_events(api, 1, f"{EVENTS}?after=latest"))
    await listened(api)
    await api.service.happen("New", "")
    assert [one["kind"] for one in await listening] == ["New"]


async def test_a_quiet_stream_says_that_it_lives(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.tokens['reader']}"}
    async with asyncio.timeout(PATIENCE_S), api.session.get(api.url + EVENTS, headers=headers) as answer:
        async for line in answer.content:
            if line == b": keep-alive\n":
                return
    raise AssertionError("the stream ended")


async def test_events_come_as_a_page_to_who_takes_json_only(api: Api) -> None:
    for kind in ("A", "B", "C"):
        await api.service.happen(kind, "")
    status, body, _ = await api.call("GET", f"{EVENTS}?limit=2", headers={"Accept": "application/json"})
    assert (status, [one["kind"] for one in body["items"]], body["next"]) == (200, ["A", "B"], "2")
    _, body, _ = await api.call("GET", f"{EVENTS}?after=2", headers={"Accept": "application/json"})
    assert [one["kind"] for one in body["items"]] == ["C"]


async def test_without_follow_the_stream_ends_when_all_is_told(api: Api) -> None:
    await api.service.happen("A", "")
    _, text, _ = await api.call("GET", f"{EVENTS}?follow=false")
    assert text.count("data: ") == 1


async def test_a_last_event_id_that_is_none_is_refused(api: Api) -> None:
    assert (await api.call("GET", EVENTS, headers={"Last-Event-ID": "yesterday"}))[0] == 400


async def test_logs_come_as_they_were_written(api: Api) -> None:
    await api.call("POST", "/api/v1/workloads", json=workload("w"))
    status, text, headers = await api.call("GET", "/api/v1/workloads/w/logs")
    assert (status, text) == (200, "line 1\nline 2\n")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert (await api.call("GET", "/api/v1/workloads/w/logs?tail=1"))[1] == "line 2\n"
    api.service.output = []
    assert (await api.call("GET", "/api/v1/workloads/w/logs"))[:2] == (200, "")


async def test_logs_that_are_not_there_are_a_problem_with_a_reason(api: Api) -> None:
    await api.call("POST", "/api/v1/workloads", json=workload("w"))
    status, body, _ = await api.call("GET", "/api/v1/workloads/w/logs?replica=7")
    assert (status, body["type"]) == (404, "urn:federator:problem:no-logs")
    assert (await api.call("GET", "/api/v1/workloads/none/logs"))[0] == 404
    api.service.output, api.service.log_error = [], ClusterUnreachable("cern", "no answer within 10 s")
    status, body, _ = await api.call("GET", "/api/v1/workloads/w/logs")
    assert (status, "cern" in body["detail"]) == (502, True)


async def test_a_log_that_breaks_off_does_not_look_whole(api: Api) -> None:
    await api.call("POST", "/api/v1/workloads", json=workload("w"))
    api.service.log_error = ClusterUnreachable("cern", "gone")
    with pytest.raises(aiohttp.ClientError):
        await api.call("GET", "/api/v1/workloads/w/logs")


async def test_nobody_follows_a_log_for_a_client_that_has_gone(api: Api) -> None:
    await api.call("POST", "/api/v1/workloads", json=workload("w"))
    api.service.keeps_writing = True
    headers = {"Authorization": f"Bearer {api.tokens['reader']}"}
    answer = await api.session.get(f"{api.url}/api/v1/workloads/w/logs?follow=true", headers=headers)
    await answer.content.readany()
    assert api.service.followers == 1
    answer.close()
    async with asyncio.timeout(PATIENCE_S):
        await api.service.let_go.wait()
    assert api.service.followers == 0


async def test_a_server_that_stops_does_not_wait_for_its_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_S", 100 * PATIENCE_S)
    api = await start()
    listening = asyncio.create_task(read_events(api, 1))
    await listened(api)
    async with asyncio.timeout(PATIENCE_S):
        await api.running.stop()
    with pytest.raises((aiohttp.ClientError, AssertionError)):
        assert await listening
    await api.session.close()
