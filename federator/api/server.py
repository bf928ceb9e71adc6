"""The server: what every request passes through, in numbered steps, and how it starts and stops."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from federator.api import routes_insight, routes_objects, routes_pilots, routes_system, routes_tokens
from federator.api.access import Access, Identity
from federator.api.bodies import read_body
from federator.api.call import Call, Route, read_params
from federator.api.idempotency import Repeats
from federator.api.problems import UNEXPECTED, Problem, problem_of
from federator.api.settings import ApiSettings, is_loopback
from federator.daemon.service import Service
from federator.model.records import AuditEntry
from federator.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

ROUTES: tuple[Route, ...] = (
    *routes_objects.ROUTES,
    *routes_insight.ROUTES,
    *routes_pilots.ROUTES,
    *routes_tokens.ROUTES,
    *routes_system.ROUTES,
)
KEEP_CONNECTION_S = 75.0
MAX_LINE_BYTES = 32_768
"""Of a request line and of a header: a JWT with many groups is long."""
STOP_S = 5.0
"""How long requests under way get when the server stops."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(slots=True)
class RunningApi:
    """A server that listens."""

    host: str
    port: int
    tls: bool
    _runner: web.AppRunner

    @property
    def url(self) -> str:
        """Where clients on this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def stop(self) -> None:
        """End the streams, let other requests finish for a while, and stop listening."""
        await self._runner.cleanup()


async def start_api(service: Service, access: Access, settings: ApiSettings, metrics: Metrics) -> RunningApi:
    """Listen. Raises UnsafeAddress, or OSError where the address is taken or the certificate cannot be read."""
    settings.check()
    context = await asyncio.to_thread(_tls_context, settings)
    runner = web.AppRunner(
        make_app(service, access, settings, metrics),
        access_log=None,
        keepalive_timeout=KEEP_CONNECTION_S,
        auto_decompress=False,
        shutdown_timeout=STOP_S,
        lingering_time=1.0,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
        logger=_quiet_logger(),
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port, ssl_context=context, backlog=1024).start()
    except BaseException:
        await runner.cleanup()
        raise
    port = int(runner.addresses[0][1])
    return RunningApi(settings.host, port, settings.tls, runner)


def make_app(service: Service, access: Access, settings: ApiSettings, metrics: Metrics) -> web.Application:
    """The application without a socket."""
    gate = Gate(service, access, settings, metrics)
    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=[gate.unmatched])
    for route in ROUTES:
        app.router.add_route(route.method, route.path, gate.handler(route), name=None)
    app.on_shutdown.append(gate.stop)
    return app


class Gate:
    """What every request passes through."""

    def __init__(self, service: Service, access: Access, settings: ApiSettings, metrics: Metrics) -> None:
        self._service = service
        self._access = access
        self._settings = settings
        self._metrics = metrics
        self._repeats = Repeats(settings.kept, settings.now_s)
        self._streams: set[asyncio.Task[Any]] = set()

    def handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The route as the web framework takes it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            call = Call(
                request,
                route,
                self._service,
                self._access,
                self._metrics,
                self._settings.kept,
                streams=self._streams,
                keep_alive_s=self._settings.keep_alive_s,
            )
            response = await self._guarded(call)
            if route.write:
                await self._audit(call, response.status)
            return response

        return handle

    async def _guarded(self, call: Call) -> web.StreamResponse:
        try:
            response = await self._pass(call)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                log.exception("request failed", method=call.route.method, path=call.request.path)
                problem = UNEXPECTED
            call.detail = call.detail or problem.slug
            response = problem.response(call.request.path)
        if not response.prepared:
            response.headers.update({**HEADERS, "Cache-Control": "no-store"})
        return response

    async def _pass(self, call: Call) -> web.StreamResponse:
        """The way of every request: 1 host, 2 who, 3 may they, 4 parameters, 5 body, 6 act (once for each key)."""
        request, route = call.request, call.route
        self._check_host(request)
        if route.action and not self._is_open(route):
            call.identity = await self._identify(request)
            self._access.may(call.identity, route.action, None)
        call.params = read_params(route, request.query)
        if route.body or request.can_read_body:
            call.body = await read_body(request, self._settings.max_body_bytes, self._settings.body_timeout_s)
        if call.body and not route.body:
            raise Problem(400, "unexpected-body", "this request takes no body")
        return await (
            self._repeats.once(call, route.handler) if route.write and route.repeatable else route.handler(call)
        )

    async def _identify(self, request: web.Request) -> Identity:
        return await self._access.identify(request.headers.get("Authorization"))

    def _is_open(self, route: Route) -> bool:
        """Metrics are open to this machine alone."""
        return route.path == "/metrics" and self._settings.on_loopback and not self._settings.behind_proxy

    def _check_host(self, request: web.Request) -> None:
        """On loopback, refuse names that a web page elsewhere may have made point here (DNS rebinding)."""
        settings = self._settings
        if not settings.on_loopback or settings.tls or settings.behind_proxy:
            return
        host = request.headers.get("Host", "")
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if not is_loopback(name) and name not in settings.hosts:
            raise Problem(421, "wrong-host", f"this server answers to localhost only, not to {name[:100]!r}")

    async def _audit(self, call: Call, status: int) -> None:
        identity = call.identity
        entry = AuditEntry(
            at_s=self._settings.now_s(),
            who=identity.name if identity else "",
            roles=tuple(sorted(identity.roles)) if identity else (),
            address=self._address(call.request),
            verb=call.route.method,
            path=call.request.path,
            status=status,
            detail=call.detail[:500],
        )
        try:
            await self._settings.audit(entry)
        except Exception:
            # The answer is due whatever becomes of its trace; the log keeps the entry instead.
            log.exception("audit entry not stored", who=entry.who, verb=entry.verb, path=entry.path, status=status)

    def _address(self, request: web.Request) -> str:
        """Where the caller is; behind a proxy, what the proxy added last."""
        if self._settings.behind_proxy:
            forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            return forwarded[:64] or request.remote or ""
        return request.remote or ""

    @web.middleware
    async def unmatched(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Problem documents for paths and methods that no route has."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            problem = problem_of(error)
            assert problem is not None
            response = problem.response(request.path)
            response.headers.update(HEADERS)
            return response

    async def stop(self, _app: web.Application) -> None:
        """End all streams: they would go on for ever."""
        for task in self._streams:
            task.cancel()


class _NotMalformed(logging.Filter):
    """Drops records of requests that are not HTTP: anybody can send them, and each would log a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is worth a line."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("federator.api.http")
    if not logger.filters:
        logger.addFilter(_NotMalformed())
    return logger


def _tls_context(settings: ApiSettings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


__all__ = ["ROUTES", "RunningApi", "make_app", "start_api"]
