"""Request bodies: read within limits of size and time, and turned into objects with located errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from federator.api.call import Call
from federator.api.incoming import flat, slips_of
from federator.api.problems import Problem
from federator.daemon.service import Json
from federator.documents import DocumentErrors
from federator.documents.yaml_reader import TextRefused, read_yaml

JSON_TYPES = ("application/json",)
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
BODY = "body"
"""What the request body is called where an error names a file."""


async def read_body(request: web.Request, limit: int, within_s: float) -> bytes:
    """The body, as it was sent. Raises Problem: compressed, too large (however it is sent), or too slow."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Problem(415, "encoded-body", "bodies are taken as they are: send without Content-Encoding")
    too_large = Problem(413, "too-large", f"the body is larger than {limit} bytes; send it in parts")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            while piece := await request.content.readany():
                body += piece
                if len(body) > limit:
                    raise too_large
    except TimeoutError as error:
        raise Problem(408, "too-slow", f"the body did not arrive within {within_s:g} s") from error
    return bytes(body)


async def read_objects(call: Call, *, may_be_empty: bool = False) -> Sequence[Json]:
    """The objects in the body: one, a list of them, a ``List``, or several YAML documents.

    Raises Problem: 415 for another type, 400 with line and column for what is malformed; and DocumentErrors for
    objects that are well-formed and wrong.
    """
    if not call.body.strip():
        if may_be_empty:
            return ()
        raise Problem(400, "empty-body", "the body is empty; send one or more documents")
    kind = call.request.content_type
    if kind not in JSON_TYPES + YAML_TYPES:
        raise Problem(415, "wrong-type", f"send {JSON_TYPES[0]} or {YAML_TYPES[0]}, not {kind!r}")
    return await asyncio.to_thread(_parse, call.body, kind in JSON_TYPES)


def _parse(body: bytes, as_json: bool) -> Sequence[Json]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(400, "malformed", f"the body is not UTF-8: byte {error.start} does not belong") from error
    if as_json:
        _check_json(text)
    file = f"{BODY}.json" if as_json else BODY
    try:
        entries = [
            one for value, marks in read_yaml(text, file) if value is not None for one in flat(file, value, marks)
        ]
    except TextRefused as error:
        slip = error.problem
        raise _malformed(slip.line, slip.column, slip.message, slip.cure) from error
    if not entries:
        raise Problem(400, "empty-body", "the body holds no document")
    if slips := slips_of(entries):
        raise DocumentErrors(slips)
    return [entry.raw for entry in entries]


def _check_json(text: str) -> None:
    """Hold the text to JSON's own rules, which are stricter than those of the reader for both."""
    try:
        json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates, parse_int=float)
    except json.JSONDecodeError as error:
        raise _malformed(error.lineno, error.colno, f"is not JSON: {error.msg}", "") from error
    except ValueError as error:
        raise Problem(400, "malformed", f"the body is not JSON that we take: {error}") from error
    except RecursionError as error:
        raise Problem(400, "malformed", "the body is nested too deep") from error


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not a number")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        twice = next(name for name in names if sum(name == key for key, _ in pairs) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return names


def _malformed(line: int, column: int, message: str, cure: str) -> Problem:
    place = f"line {line}, column {column}: " if line else ""
    located = {"file": BODY, "line": line, "column": column, "field": "", "message": message, "cure": cure}
    words = f"{message}; {cure}" if cure else message
    return Problem(400, "malformed", f"{place}{words}", more={"errors": [located]})
