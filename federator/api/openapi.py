"""The OpenAPI 3.1 document, made from the same table of routes that the server serves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from importlib.metadata import version

from federator.api.call import MAX_TEXT, Param, Route
from federator.api.problems import PROBLEM
from federator.api.schemas import SCHEMAS, Schema, ref

COMMON = (400, 421)
"""What any request may be told: a wrong parameter, a wrong Host header."""
UNAUTHORIZED = (401, 403)
OF_BODIES = (408, 413, 415)
OF_WRITES = (422, 503)
"""A key used for something else; the store does not answer."""
DESCRIPTION = """Hand in work, see where it runs and why it waits, and manage clusters, queues and policies.

Times are seconds since the epoch, cpu is in cores, memory in bytes. Errors are RFC 9457 problem documents. Lists come
in pages: give `next` as `after`. A write may carry an `Idempotency-Key`: repeated with the same body it has no second
effect, and the answer is the first one's with `Idempotency-Replayed: true`."""


def document(routes: Iterable[Route]) -> Schema:
    """The whole document."""
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Federator", "version": version("federator"), "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A local token, or a JWT of an issuer."}
            },
        },
    }


def operation(route: Route) -> Schema:
    """One path and method."""
    made: Schema = {"operationId": route.name, "summary": route.text, "tags": [route.tag]}
    parameters = [_in_path(name) for name in re.findall(r"\{(\w+)\}", route.path)]
    parameters += [_in_query(param) for param in route.params]
    if route.write and route.repeatable:
        parameters.append(_header("Idempotency-Key", "Makes the request repeatable.", r"^[!-~]{1,255}$"))
    if route.name == "events":
        parameters.append(_header("Last-Event-ID", "The last event that was seen.", r"^([0-9]{1,15}|latest)$"))
    if parameters:
        made["parameters"] = parameters
    if route.body:
        content = {kind: {"schema": ref(route.body)} for kind in _types(route)}
        made["requestBody"] = {"required": route.write or route.needs_body, "content": content}
    if not route.action:
        made["security"] = []
    if route.path == "/metrics":
        made["security"] = [{}, {"bearer": []}]  # open on loopback
    made["responses"] = _responses(route)
    return made


def _responses(route: Route) -> Schema:
    media = route.result if "/" in route.result else "application/json"
    schema: Schema = {"type": "string"} if "/" in route.result else ref(route.result)
    content = {media: {"schema": schema}}
    if route.name == "events":
        content["application/json"] = {"schema": ref("EventList")}
    if route.name == "metrics":
        content["application/openmetrics-text"] = {"schema": {"type": "string"}}
    responses: Schema = {
        str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in route.success
    }
    errors = {*COMMON, *route.statuses, 500}
    errors |= set(UNAUTHORIZED) if route.action else set()
    errors |= set(OF_BODIES) if route.body else set()
    errors |= set(OF_WRITES) if route.write else {503}
    for status in sorted(errors - set(route.success)):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": ref("Problem")}},
        }
    return responses


def _types(route: Route) -> tuple[str, ...]:
    return ("application/json", "application/yaml") if route.body == "Documents" else ("application/json",)


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _in_query(param: Param) -> Schema:
    schema: Schema = {"type": param.type}
    if param.choices:
        schema["enum"] = list(param.choices)
    for key, value in (
        ("minimum", param.minimum),
        ("maximum", param.maximum),
        ("pattern", param.pattern),
        ("maxLength", MAX_TEXT if param.type == "string" and not param.choices else None),
    ):
        if value is not None:
            schema[key] = value
    if param.default not in (None, ""):
        schema["default"] = param.default
    return {"name": param.name, "in": "query", "description": param.text, "schema": schema}


def _header(name: str, text: str, pattern: str) -> Schema:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string", "pattern": pattern}}
