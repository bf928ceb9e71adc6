"""What is asked about the federation: explain, history, logs, events, a dry run, a snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from federator.api.bodies import read_objects
from federator.api.call import Call, Param, Route, answer, dumps
from federator.api.problems import Problem
from federator.api.streams import Stream

HISTORY_LIMIT = Param("limit", "integer", "At most so many.", default=500, minimum=1, maximum=1000)
AFTER_ID = Param("after", "integer", "Only entries with a larger id.", default=0, minimum=0, maximum=2**53)
EVENTS_PAGE = 500
LATEST = "latest"


async def explain(call: Call) -> web.StreamResponse:
    """Why a workload is where it is."""
    return answer(await call.service.explain(call.name))


async def history(call: Call) -> web.StreamResponse:
    """What became of a workload, oldest first."""
    limit = call.params["limit"]
    items = list(await call.service.history(call.name, after=call.params["after"], limit=limit))
    return answer({"items": items, "next": str(items[-1]["id"]) if len(items) == limit else ""})


async def logs(call: Call) -> web.StreamResponse:
    """The output of one replica as it was written; with ``follow`` until it ends."""
    given = call.params
    pieces = call.service.logs(
        call.name, role=given["role"], index=given["replica"], follow=given["follow"], tail_lines=given["tail"]
    )
    async with Stream(call, "text/plain; charset=utf-8") as stream:
        await stream.copy(pieces)
    return stream.response


async def events(call: Call) -> web.StreamResponse:
    """The history of everything: a page of it as JSON where that is asked for, else as server-sent events."""
    accept = call.request.headers.get("Accept", "")
    if "application/json" in accept and "text/event-stream" not in accept:
        after = await _first(call, call.params["after"])
        limit = call.params["limit"]
        items = list(await call.service.events(after=after, limit=limit))
        return answer({"items": items, "next": str(items[-1]["id"] if items else after)})
    after = await _first(call, call.request.headers.get("Last-Event-ID") or call.params["after"])
    async with Stream(call, "text/event-stream", keep_alive=b": keep-alive\n\n") as stream:
        await stream.copy(_server_sent(call, after))
    return stream.response


async def _first(call: Call, text: str) -> int:
    """The entry after which to begin."""
    if text == LATEST:
        return await call.service.last_event()
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise Problem(400, "bad-parameter", f"Last-Event-ID must be the id of an event, not {text[:50]!r}")
    return int(text)


async def _server_sent(call: Call, after: int) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    while True:
        entries = await call.service.events(after=after, limit=EVENTS_PAGE)
        for entry in entries:
            after = entry["id"]
            yield f"id: {after}\ndata: {dumps(entry)}\n\n".encode()
        if len(entries) < EVENTS_PAGE:
            if not call.params["follow"]:
                return
            await call.service.wait_events(after)


async def plan(call: Call) -> web.StreamResponse:
    """What the planner would make of the federation if these objects were there too. Changes nothing."""
    return answer(await call.service.plan(await read_objects(call, may_be_empty=True)))


async def snapshot(call: Call) -> web.StreamResponse:
    """The live federation as documents."""
    parts: list[str] = []
    for document in await call.service.snapshot():
        parts.append(dumps(document))
        if len(parts) % 100 == 0:
            await asyncio.sleep(0)  # with many workloads this takes longer than the event loop may be held up
    return web.Response(text=f'{{"items": [{", ".join(parts)}]}}', content_type="application/json")


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/api/v1/workloads/{name}/explain",
        explain,
        "explain_workload",
        "Why a workload is where it is, and what would have to change.",
        result="Explanation",
        statuses=(404,),
        tag="workloads",
    ),
    Route(
        "GET",
        "/api/v1/workloads/{name}/history",
        history,
        "workload_history",
        "What became of a workload, oldest first.",
        params=(HISTORY_LIMIT, AFTER_ID),
        result="EventList",
        statuses=(404,),
        tag="workloads",
    ),
    Route(
        "GET",
        "/api/v1/workloads/{name}/logs",
        logs,
        "workload_logs",
        "The output of one replica; with follow until it ends.",
        params=(
            Param("role", "string", "Of which role.", default=""),
            Param("replica", "integer", "Which replica of it.", default=0, minimum=0, maximum=2**31),
            Param("follow", "boolean", "Go on until the replica ends.", default=False),
            Param("tail", "integer", "Only the last so many lines.", minimum=0, maximum=1_000_000),
        ),
        result="text/plain",
        statuses=(404, 502),
        tag="workloads",
    ),
    Route(
        "GET",
        "/api/v1/events",
        events,
        "events",
        "What happens, as server-sent events (Last-Event-ID resumes) or, if only JSON is accepted, as a page.",
        params=(
            Param(
                "after",
                "string",
                "Only entries with a larger id; latest: only new ones.",
                default="0",
                pattern=r"^([0-9]{1,15}|latest)$",
                example="as the id of an event, or latest",
            ),
            Param("limit", "integer", "Of a JSON page.", default=EVENTS_PAGE, minimum=1, maximum=1000),
            Param("follow", "boolean", "false: end the stream when all is told.", default=True),
        ),
        result="text/event-stream",
        tag="events",
    ),
    Route(
        "POST",
        "/api/v1/plan",
        plan,
        "plan",
        "A dry run against the live federation. Changes nothing.",
        body="Documents",
        result="Plan",
        statuses=(422,),
    ),
    Route(
        "GET",
        "/api/v1/snapshot",
        snapshot,
        "snapshot",
        "The live federation as documents, for plans and reports.",
        result="Snapshot",
    ),
)
