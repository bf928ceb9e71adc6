"""The kinds of objects: list, get, delete; submit, apply, cancel, cordon, drain."""

from __future__ import annotations

from aiohttp import web

from federator.api.bodies import read_objects
from federator.api.call import Call, Param, Route, answer

LIMIT = Param("limit", "integer", "At most so many.", default=100, minimum=1, maximum=1000)
AFTER = Param("after", "string", "Where the page before ended: its ``next``.", default="")
STATES = ("waiting", "dispatched", "running", "finished", "failed", "cancelling", "cancelled")
FILTERS = (
    Param("queue", "string", "Only of this queue.", default=""),
    Param("state", "string", "Only in this state.", default="", choices=STATES),
    Param(
        "labels",
        "string",
        "Only with these labels: key=value,key=value.",
        default="",
        pattern=r"^[A-Za-z0-9_./-]+=[A-Za-z0-9_.-]*(,[A-Za-z0-9_./-]+=[A-Za-z0-9_.-]*)*$",
        example="key=value,key=value",
    ),
)
KINDS = {
    "workloads": "Workload",
    "clusters": "Cluster",
    "queues": "Queue",
    "cohorts": "Cohort",
    "limits": "Limit",
    "policies": "Policy",
    "backfills": "Backfill",
    "placements": "Placement",
    "pilots": "Pilot",
}
"""The plural words of the API and the schema of each."""


async def list_objects(call: Call) -> web.StreamResponse:
    """A page of a kind, by name."""
    given = call.params
    page = await call.service.list(
        call.kind,
        after=given["after"],
        limit=given["limit"],
        queue=given.get("queue", ""),
        state=given.get("state", ""),
        labels=dict(pair.split("=", 1) for pair in given["labels"].split(",")) if given.get("labels") else None,
    )
    return answer({"items": list(page.items), "next": page.next})


async def get_object(call: Call) -> web.StreamResponse:
    """One object."""
    return answer(await call.service.get(call.kind, call.name))


async def delete_object(call: Call) -> web.StreamResponse:
    """Remove an object."""
    call.detail = f"delete {call.kind} {call.name}"
    return answer(await call.service.delete(call.kind, call.name, permit=call.permit))


async def submit(call: Call) -> web.StreamResponse:
    """Take in workloads, all or none."""
    objects = await read_objects(call)
    items = list(await call.service.submit(objects, owner=call.owner, permit=call.permit))
    call.detail = _names("submit", [str(item.get("name", "")) for item in items])
    created = any(item.get("result") == "created" for item in items)
    return answer({"items": items}, 201 if created else 200)


async def apply(call: Call) -> web.StreamResponse:
    """Make objects of any kind be as written, all or none."""
    objects = await read_objects(call)
    items = list(await call.service.apply(objects, owner=call.owner, permit=call.permit))
    call.detail = _names("apply", [f"{item.get('kind')} {item.get('name')}" for item in items])
    return answer({"items": items})


async def cancel(call: Call) -> web.StreamResponse:
    """Stop a workload wherever it runs."""
    call.detail = f"cancel {call.name}"
    return answer(await call.service.cancel(call.name, permit=call.permit))


async def cordon(call: Call) -> web.StreamResponse:
    """Give a cluster no new work, or again."""
    verb = call.request.path.rsplit("/", 1)[1]
    call.detail = f"{verb} {call.name}"
    return answer(await call.service.set_cordon(call.name, verb == "cordon"))


async def drain(call: Call) -> web.StreamResponse:
    """Move a cluster's work elsewhere, or stop doing so."""
    verb = call.request.path.rsplit("/", 1)[1]
    call.detail = f"{verb} {call.name}"
    deadline_s = call.params.get("deadline")
    return answer(await call.service.set_drain(call.name, verb == "drain", deadline_s))


def _names(verb: str, names: list[str]) -> str:
    """For the audit trail: what was written, the first few by name."""
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{verb} {', '.join(names[:5])}{rest}"


def _of_kind(kind: str, schema: str) -> tuple[Route, ...]:
    params = (LIMIT, AFTER, *(FILTERS if kind == "workloads" else ()))
    lists = Route(
        "GET",
        f"/api/v1/{kind}",
        list_objects,
        f"list_{kind}",
        f"List {kind} by name.",
        params=params,
        result=f"{schema}List",
        tag=kind,
    )
    if kind == "placements":
        return (lists,)
    if kind == "pilots":
        path, text = f"/api/v1/{kind}/{{name}}", "Get one pilot."
        return (lists, Route("GET", path, get_object, "get_pilot", text, result=schema, statuses=(404,), tag=kind))
    path, one = f"/api/v1/{kind}/{{name}}", schema.lower()
    action = "cancel" if kind == "workloads" else "operate"
    return (
        lists,
        Route("GET", path, get_object, f"get_{one}", f"Get one {one}.", result=schema, statuses=(404,), tag=kind),
        Route(
            "DELETE",
            path,
            delete_object,
            f"delete_{one}",
            f"Remove a {one}.",
            action=action,
            result="Deleted",
            write=True,
            statuses=(404, 409),
            tag=kind,
        ),
    )


DEADLINE = Param("deadline", "integer", "In so many seconds what is left there stops, and waits.", minimum=0)


def _of_clusters(verb: str, text: str, *params: Param) -> Route:
    handler = cordon if verb.endswith("cordon") else drain
    return Route(
        "POST",
        f"/api/v1/clusters/{{name}}/{verb}",
        handler,
        f"{verb}_cluster",
        text,
        action="operate",
        result="Cluster",
        write=True,
        statuses=(404,),
        tag="clusters",
        params=params,
    )


ROUTES: tuple[Route, ...] = (
    *(route for kind, schema in KINDS.items() for route in _of_kind(kind, schema)),
    Route(
        "POST",
        "/api/v1/workloads",
        submit,
        "submit",
        "Hand in workloads, all or none. A native manifest will do.",
        action="submit",
        body="Documents",
        result="Submitted",
        write=True,
        statuses=(409, 422),
        tag="workloads",
        success=(200, 201),
    ),
    Route(
        "POST",
        "/api/v1/workloads/{name}/cancel",
        cancel,
        "cancel_workload",
        "Stop a workload wherever it runs; it stays listed.",
        action="cancel",
        result="Workload",
        write=True,
        statuses=(404, 409),
        tag="workloads",
    ),
    *(
        Route(
            method,
            "/api/v1/apply",
            apply,
            f"{method.lower()}_apply",
            "Make objects be as written, all or none.",
            action="modify",
            body="Documents",
            result="Applied",
            write=True,
            statuses=(409, 422),
        )
        for method in ("PUT", "POST")
    ),
    _of_clusters("cordon", "Give a cluster no new work."),
    _of_clusters("uncordon", "Give a cluster work again."),
    _of_clusters("drain", "Cordon a cluster and move its work elsewhere.", DEADLINE),
    _of_clusters("undrain", "Stop draining a cluster; a cordon stays."),
)
