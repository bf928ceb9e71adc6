"""What looks after the server itself: health, readiness, metrics, the OpenAPI document, the page for people."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import re
from importlib import resources

from aiohttp import web

from federator.api import openapi
from federator.api.call import Call, Route, answer


async def healthz(_call: Call) -> web.StreamResponse:
    """The process lives and its loop turns."""
    return answer({"status": "ok"})


async def readyz(call: Call) -> web.StreamResponse:
    """The daemon does its work."""
    state = call.service.ready()
    return answer(state, 200 if state["ready"] else 503)


async def metrics(call: Call) -> web.StreamResponse:
    """Everything measured, for Prometheus."""
    # In a thread: with hundreds of clusters this takes longer than the event loop may be held up.
    body, content_type = await asyncio.to_thread(call.metrics.render, call.request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def openapi_json(_call: Call) -> web.StreamResponse:
    """This API, described."""
    from federator.api.server import ROUTES

    return answer(openapi.document(ROUTES))


async def page(_call: Call) -> web.StreamResponse:
    """One page that shows the federation; it asks for a token and then reads the API as any client does."""
    text, policy = _page()
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})


@functools.cache
def _page() -> tuple[str, str]:
    """The page, and a content security policy that allows its own script and style by their hashes, nothing else."""
    text = resources.files("federator.api").joinpath("pages/index.html").read_text(encoding="utf-8")

    def hashes(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in found)

    policy = (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


ROUTES: tuple[Route, ...] = (
    Route("GET", "/healthz", healthz, "healthz", "The process lives.", action="", result="Health", tag="system"),
    Route(
        "GET",
        "/readyz",
        readyz,
        "readyz",
        "The daemon does its work; 503 while it does not.",
        action="",
        result="Ready",
        tag="system",
        success=(200, 503),
    ),
    Route(
        "GET",
        "/metrics",
        metrics,
        "metrics",
        "Metrics for Prometheus; open on loopback, else with a token.",
        result="text/plain",
        tag="system",
    ),
    Route("GET", "/openapi.json", openapi_json, "openapi", "This document.", action="", result="OpenApi", tag="system"),
    Route("GET", "/", page, "page", "A page for people.", action="", result="text/html", tag="system"),
)
