"""Local tokens: made, listed and revoked by operators while the daemon runs. A secret is told once and never kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from federator.api.access import Role, new_token
from federator.api.call import Call, Param, Route, answer
from federator.api.problems import Problem
from federator.daemon.service import Json, NotFound
from federator.model.records import Token

FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "roles": list,
    "queues": list,
    "site": str,
    "expiresAt": (int, float),
}


async def list_tokens(call: Call) -> web.StreamResponse:
    """All tokens by name, without anything secret."""
    tokens = sorted(await call.tokens.tokens(), key=lambda token: token.name)
    page = [token for token in tokens if token.name > call.params["after"]]
    limit = call.params["limit"]
    rest = page[limit - 1].name if len(page) > limit else ""
    return answer({"items": [_view(token) for token in page[:limit]], "next": rest})


async def make_token(call: Call) -> web.StreamResponse:
    """A new token, valid from the next request on."""
    wanted = _wanted(call)
    if any(token.name == wanted["name"] for token in await call.tokens.tokens()):
        raise Problem(
            409, "conflict", f"there is a token {wanted['name']!r} already; revoke it first, or take another name"
        )
    try:
        secret, token = new_token(
            wanted["name"],
            [Role(role) for role in wanted.get("roles", [])],
            [str(queue) for queue in wanted.get("queues", [])],
            site=wanted.get("site", ""),
            expires_s=wanted.get("expiresAt"),
        )
    except ValueError as error:
        raise Problem(422, "invalid-token", str(error)) from error
    await call.tokens.put_token(token)
    call.access.set_tokens(await call.tokens.tokens())
    call.detail = f"token {token.name} with roles {', '.join(token.roles)}"
    return answer({**_view(token), "token": secret}, 201)


async def revoke_token(call: Call) -> web.StreamResponse:
    """Make a token void from the next request on."""
    if not await call.tokens.drop_token(call.name):
        raise NotFound(f"there is no token {call.name!r}")
    call.access.set_tokens(await call.tokens.tokens())
    call.detail = f"revoke token {call.name}"
    return answer({"kind": "Token", "name": call.name, "result": "deleted"})


def _wanted(call: Call) -> dict[str, Any]:
    """The body: an object with known fields of the right types. Raises Problem."""
    if call.request.content_type != "application/json":
        raise Problem(415, "wrong-type", "send application/json")
    try:
        wanted = json.loads(call.body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "malformed", f"the body is not JSON: {error}") from error
    if not isinstance(wanted, dict) or not isinstance(wanted.get("name"), str):
        raise Problem(422, "invalid-token", "an object with at least a name is needed")
    for key, value in wanted.items():
        if key not in FIELDS or not isinstance(value, FIELDS[key]) or isinstance(value, bool):
            raise Problem(
                422, "invalid-token", f"field {key!r} is unknown or of the wrong type; known: {', '.join(FIELDS)}"
            )
    return wanted


def _view(token: Token) -> Json:
    return {
        "name": token.name,
        "roles": list(token.roles),
        "queues": list(token.queues),
        "site": token.site,
        "expiresAt": token.expires_s,
    }


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/api/v1/tokens",
        list_tokens,
        "list_tokens",
        "List tokens by name, without secrets.",
        action="operate",
        params=(
            Param("limit", "integer", "At most so many.", default=100, minimum=1, maximum=1000),
            Param("after", "string", "Where the page before ended.", default=""),
        ),
        result="TokenList",
        tag="tokens",
    ),
    Route(
        "POST",
        "/api/v1/tokens",
        make_token,
        "make_token",
        "Make a token; its secret is told in this answer only.",
        action="operate",
        body="NewToken",
        result="MadeToken",
        write=True,
        repeatable=False,
        statuses=(409, 422),
        success=(201,),
        tag="tokens",
    ),
    Route(
        "DELETE",
        "/api/v1/tokens/{name}",
        revoke_token,
        "revoke_token",
        "Make a token void.",
        action="operate",
        result="Deleted",
        write=True,
        statuses=(404,),
        tag="tokens",
    ),
)
