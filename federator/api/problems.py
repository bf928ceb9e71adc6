"""Errors as RFC 9457 problem documents: one table from what went wrong to what the caller is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web

from federator.api.access import Forbidden, NotIdentified
from federator.daemon.service import Conflict, NotFound
from federator.documents.problems import DocumentErrors
from federator.ports import ClusterUnreachable, LeaseRefused, NoLogs, StoreUnavailable, UnknownPilot

PROBLEM = "application/problem+json"


@dataclass(eq=False)
class Problem(Exception):
    """Something the caller is told. ``slug`` names the kind of problem for machines, ``detail`` says it in words."""

    status: int
    slug: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def response(self, instance: str) -> web.Response:
        """The problem document; ``instance`` is the path that was asked for."""
        body = {
            "type": f"urn:federator:problem:{self.slug}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            **self.more,
        }
        return web.Response(
            status=self.status, text=json.dumps(body), content_type=PROBLEM, charset="utf-8", headers=self.headers
        )


def _documents(error: DocumentErrors) -> Problem:
    located = [
        {
            "file": one.file,
            "line": one.line,
            "column": one.column,
            "field": one.field,
            "message": one.message,
            "cure": one.cure,
        }
        for one in error.problems
    ]
    return Problem(422, "invalid-document", str(error), more={"errors": located})


TABLE: Mapping[type[Exception], Callable[[Any], Problem]] = {
    NotFound: lambda error: Problem(404, "not-found", str(error)),
    NoLogs: lambda error: Problem(404, "no-logs", str(error)),
    UnknownPilot: lambda error: Problem(404, "unknown-pilot", str(error)),
    LeaseRefused: lambda error: Problem(409, "lease-refused", str(error), more={"reason": error.reason}),
    Conflict: lambda error: Problem(409, "conflict", str(error)),
    NotIdentified: lambda error: Problem(
        401, "not-identified", str(error), headers={"WWW-Authenticate": error.www_authenticate}
    ),
    Forbidden: lambda error: Problem(403, "forbidden", str(error)),
    DocumentErrors: _documents,
    ClusterUnreachable: lambda error: Problem(502, "cluster-unreachable", str(error)),
    StoreUnavailable: lambda error: Problem(503, "store-unavailable", str(error), headers={"Retry-After": "5"}),
}


def problem_of(error: Exception) -> Problem | None:
    """What the caller is told of an exception; None for one that nobody expected."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, web.HTTPException):
        return _of_http(error)
    return next((make(error) for kind, make in TABLE.items() if isinstance(error, kind)), None)


UNEXPECTED = Problem(500, "unexpected", "the federator made a mistake; its log says more")


def _of_http(error: web.HTTPException) -> Problem:
    """What the web framework itself refused: a path or a method that is not there, a body that is too large."""
    details = {
        404: ("not-found", "there is nothing at this path; /openapi.json lists all that there is"),
        405: ("method-not-allowed", "this path does not take that method"),
        413: ("too-large", "the body is larger than the server takes"),
    }
    slug, detail = details.get(error.status, ("refused", error.reason))
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return Problem(error.status, slug, detail, headers=headers)
