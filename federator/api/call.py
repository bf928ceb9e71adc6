"""What a route is, and what its handler is given. The tables of routes also make the OpenAPI document."""

from __future__ import annotations

import asyncio
import difflib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from federator.api.access import Access, Identity
from federator.api.problems import Problem
from federator.daemon.service import Json, Service
from federator.model.records import AuditEntry, Token
from federator.telemetry.metrics import Metrics


class Memory(Protocol):
    """Where answers to repeatable writes are kept; ``ports.Store`` is one."""

    async def recall(self, key: str) -> Mapping[str, Any] | None: ...

    async def remember(self, key: str, answer: Mapping[str, Any], at_s: float) -> None: ...


class Tokens(Protocol):
    """Where local tokens are kept; ``ports.Store`` is one."""

    async def tokens(self) -> Sequence[Token]: ...

    async def put_token(self, token: Token) -> None: ...

    async def drop_token(self, name: str) -> bool: ...


class Kept(Memory, Tokens, Protocol):
    """What the API keeps beside what Service keeps; ``ports.Store`` is one."""


MAX_TEXT = 500
"""Characters of a parameter that is text."""


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter. ``type`` is a JSON type: integer, boolean or string; None of ``default`` means absent."""

    name: str
    type: str
    text: str
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    example: str = ""
    """How it is written, in words; for one that has a pattern."""
    choices: tuple[str, ...] = ()

    def parse(self, text: str) -> Any:
        """The value that the text stands for. Raises ValueError with words that say what would be right."""
        if self.type == "boolean":
            if text not in ("true", "false"):
                raise ValueError("must be true or false")
            return text == "true"
        if self.type == "integer":
            if not re.fullmatch(r"-?[0-9]{1,18}", text):
                raise ValueError("must be a whole number")
            number = int(text)
            if self.minimum is not None and number < self.minimum:
                raise ValueError(f"must be at least {self.minimum}")
            if self.maximum is not None and number > self.maximum:
                raise ValueError(f"must be at most {self.maximum}")
            return number
        if self.choices and text not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}")
        if len(text) > MAX_TEXT or not text.isprintable() or (self.pattern and not re.search(self.pattern, text)):
            raise ValueError(f"must be written {self.example}" if self.pattern else "must be short printable text")
        return text


@dataclass(frozen=True, slots=True)
class Route:
    """One path and method: who may call it, what it takes and gives.

    ``action`` is what ``Access.may`` is asked before the handler runs; "" leaves the route open. ``body`` and
    ``result`` name schemas of the OpenAPI document (body "": takes none). ``write`` routes are audited and take an
    Idempotency-Key. ``result`` may be a media type instead, for what is not JSON. ``statuses`` are the errors that
    belong to this route beside those that any route can give.
    """

    method: str
    path: str
    handler: Callable[[Call], Awaitable[web.StreamResponse]]
    name: str
    text: str
    action: str = "read"
    params: tuple[Param, ...] = ()
    body: str = ""
    result: str = ""
    write: bool = False
    repeatable: bool = True
    """False for a write whose answer holds a secret and is therefore not remembered."""
    statuses: tuple[int, ...] = ()
    tag: str = "federation"
    success: tuple[int, ...] = (200,)
    needs_body: bool = False
    """For what is no ``write`` and yet takes a body that must be there."""


@dataclass(slots=True)
class Call:
    """One request on its way: what the handlers may use."""

    request: web.Request
    route: Route
    service: Service
    access: Access
    metrics: Metrics
    tokens: Tokens
    identity: Identity | None = None
    params: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    streams: set[asyncio.Task[Any]] = field(default_factory=set)
    keep_alive_s: float = 15.0
    detail: str = ""
    """What was written, for the audit trail: names, never contents."""

    @property
    def name(self) -> str:
        """The NAME in the path."""
        return self.request.match_info["name"]

    @property
    def kind(self) -> str:
        """The plural kind in the path: ``/api/v1/KIND/...``."""
        return self.request.path.split("/")[3]

    @property
    def owner(self) -> str:
        """Who calls."""
        return self.identity.name if self.identity else ""

    def permit(self, queue: str) -> None:
        """Raise Forbidden where the caller may not do this in that queue."""
        assert self.identity is not None, "routes that ask for a permit are never open"
        self.access.may(self.identity, self.route.action, queue)


def read_params(route: Route, query: Mapping[str, str]) -> dict[str, Any]:
    """The values of the query parameters. Raises Problem for one that is unknown, wrong, or given twice."""
    known = {param.name: param for param in route.params}
    values = {param.name: param.default for param in route.params}
    seen: set[str] = set()
    for name, text in query.items():
        param = known.get(name)
        if param is None:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
            raise Problem(400, "bad-parameter", f"there is no parameter {name!r} here; {hint}")
        if name in seen:
            raise Problem(400, "bad-parameter", f"parameter {name} is given twice")
        seen.add(name)
        try:
            values[name] = param.parse(text)
        except ValueError as error:
            raise Problem(400, "bad-parameter", f"parameter {name}: {error}, not {text[:100]!r}") from error
    return values


def answer(value: Json, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.json_response(value, status=status, dumps=dumps)


def dumps(value: Any) -> str:
    """JSON without the words that JSON does not know (NaN, Infinity)."""
    return json.dumps(value, allow_nan=False, default=str)


Audit = Callable[[AuditEntry], Awaitable[None]]
