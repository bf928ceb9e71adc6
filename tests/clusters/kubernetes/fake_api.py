"""A small API server in process: lists, watches, writes, and every kind of trouble to order. No controllers.

``modern=True`` answers discovery as 1.33 does (aggregated, per-index Jobs, OpenAPI v3), else as 1.20 does.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

Json = dict[str, Any]
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
KINDS = {
    "v1": {
        "nodes": "Node",
        "pods": "Pod",
        "namespaces": "Namespace",
        "resourcequotas": "ResourceQuota",
        "events": "Event",
        "secrets": "Secret",
    },
    "batch/v1": {"jobs": "Job"},
    "apps/v1": {"deployments": "Deployment"},
    "scheduling.k8s.io/v1": {"priorityclasses": "PriorityClass"},
    "kubeflow.org/v2beta1": {"mpijobs": "MPIJob"},
}
GLOBAL = ("nodes", "namespaces", "priorityclasses")


@dataclass
class Trouble:
    """The next ``times`` requests of this method whose path contains ``path`` are answered so."""

    method: str
    path: str
    status: int
    message: str
    times: int = 1
    retry_after: str = ""
    reason: str = ""


@dataclass
class FakeApi:
    """Run it with ``async with``; change its fields at any time."""

    modern: bool = False
    apply: bool = True
    token: str = "good"
    bookmarks: bool = True
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    deaf: str = "no path"
    troubles: list[Trouble] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    oldest: int = 0
    objects: dict[str, dict[tuple[str, str], Json]] = field(default_factory=dict)
    history: list[tuple[int, str, str, Json]] = field(default_factory=list)
    version: int = 100
    page: int = 10_000
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    """Verbs and resources that whoever asks what is allowed may not."""

    async def __aenter__(self) -> FakeApi:
        self._stirred = asyncio.Event()
        self._watchers: set[asyncio.Task[Any]] = set()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        self.port = 0
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hanging.clear()
        await self.cut()
        await self._runner.cleanup()

    async def listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Nobody listens any more, and whoever was connected is cut off."""
        self._site._server.close()  # type: ignore[union-attr]
        self._runner._unreg_site(self._site)
        await self.cut()

    async def cut(self) -> None:
        server = self._runner.server
        for connection in list(server.connections if server else ()):
            if connection.transport is not None:
                connection.transport.abort()

    def kubeconfig(self, directory: Path, token: str = "good") -> str:
        config = {
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me"}}],
        }
        path = directory / "kubeconfig"
        path.write_text(json.dumps(config))
        return str(path)

    # -- what tests do to the objects ------------------------------------------

    def all(self, plural: str) -> list[Json]:
        return list(self.objects.get(plural, {}).values())

    async def put(self, plural: str, raw: Json) -> Json:
        """Make or change an object, as a controller would."""
        key = raw["metadata"].get("namespace", ""), raw["metadata"]["name"]
        there = self.objects.setdefault(plural, {}).get(key)
        raw = copy.deepcopy(raw)
        raw["metadata"].setdefault("uid", there["metadata"]["uid"] if there else f"{plural}-{key[1]}-{self.version}")
        raw["metadata"].setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        self.objects[plural][key] = raw
        await self._record(plural, "MODIFIED" if there else "ADDED", raw)
        return raw

    async def remove(self, plural: str, name: str, namespace: str = "work") -> None:
        raw = self.objects[plural].pop((namespace, name))
        await self._record(plural, "DELETED", raw)

    async def _record(self, plural: str, what: str, raw: Json) -> None:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, plural, what, copy.deepcopy(raw)))
        self._stirred.set()
        self._stirred = asyncio.Event()

    # -- what it answers ---------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        while self.hanging.is_set() or request.path.startswith(self.deaf):
            await asyncio.sleep(0.02)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _error(401, "Unauthorized")
        for trouble in self.troubles:
            if trouble.times > 0 and trouble.method == request.method and trouble.path in request.path:
                trouble.times -= 1
                headers = {"Retry-After": trouble.retry_after} if trouble.retry_after else {}
                return _error(trouble.status, trouble.message, headers, trouble.reason)
        if request.path.endswith("/selfsubjectaccessreviews"):
            asked = (await request.json())["spec"]["resourceAttributes"]
            allowed = (asked["verb"], asked["resource"]) not in self.forbidden
            return web.json_response({"status": {"allowed": allowed}}, status=201)
        known = self._discovery(request)
        if known is not None:
            return known
        parts = request.path.strip("/").split("/")
        parts = parts[3 if parts[0] == "apis" else 2 :]
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        plural, name = parts[0], parts[1] if len(parts) > 1 else ""
        if plural not in {p for kinds in KINDS.values() for p in kinds}:
            return _error(404, "the server could not find the requested resource")
        if request.method == "GET" and not name:
            if request.query.get("watch") == "true":
                return await self._watch(request, plural, namespace)
            return self._list(request, plural, namespace)
        return await self._one(request, plural, namespace, name)

    def _discovery(self, request: web.Request) -> web.Response | None:
        path = request.path
        if path == "/readyz":
            return web.Response(text="ok")
        if path == "/version":
            return web.json_response({"gitVersion": "v1.33.1" if self.modern else "v1.20.2"})
        if path == "/openapi/v3/apis/batch/v1" and self.modern:
            spec = {"properties": {"backoffLimitPerIndex": {}}}
            return web.json_response({"components": {"schemas": {"io.k8s.api.batch.v1.JobSpec": spec}}})
        if path in ("/api", "/apis"):
            groups = [version for version in KINDS if ("/" in version) == (path == "/apis")]
            return web.json_response(_aggregated(groups) if self.modern else _plain(path, groups))
        found = path.removeprefix("/apis/").removeprefix("/api/")
        if found in KINDS:
            resources = [
                {"name": plural, "kind": kind, "namespaced": plural not in GLOBAL, "verbs": VERBS}
                for plural, kind in KINDS[found].items()
            ]
            return web.json_response({"groupVersion": found, "resources": resources})
        return None

    def _list(self, request: web.Request, plural: str, namespace: str) -> web.Response:
        found = [raw for raw in self.all(plural) if _chosen(raw, request, namespace)]
        start = int(request.query.get("continue", "0"))
        size = min(int(request.query.get("limit", "10000")), self.page)
        metadata = {"resourceVersion": str(self.version)}
        if start + size < len(found):
            metadata["continue"] = str(start + size)
        return web.json_response({"items": found[start : start + size], "metadata": metadata})

    async def _watch(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        at = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if at < self.oldest:
            await _line(response, {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}})
            return response
        while True:
            stirred = self._stirred
            async for version, what, raw in self._since(at, plural):
                at = version
                if _chosen(raw, request, namespace):
                    await _line(response, {"type": what, "object": raw})
            if self.bookmarks and at < self.version:
                at = self.version
                await _line(response, {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(at)}}})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await stirred.wait()

    async def _since(self, at: int, plural: str) -> AsyncIterator[tuple[int, str, Json]]:
        for version, its_plural, what, raw in list(self.history):
            if version > at and its_plural == plural:
                yield version, what, raw

    async def _one(self, request: web.Request, plural: str, namespace: str, name: str) -> web.Response:
        body = json.loads(await request.read() or b"{}")
        if request.method == "POST":
            name = body["metadata"]["name"]
        there = self.objects.get(plural, {}).get((namespace, name))
        if request.method == "POST" and there is not None:
            return _error(409, f"{name} already exists", reason="AlreadyExists")
        if request.method == "POST" and request.query.get("dryRun"):
            return web.json_response(body, status=201)
        if request.method == "DELETE" and not name:
            for raw in [raw for raw in self.all(plural) if _chosen(raw, request, namespace)]:
                await self.remove(plural, raw["metadata"]["name"], namespace)
            return web.json_response({"status": "Success"})
        is_apply = "apply" in request.headers.get("Content-Type", "")
        if is_apply and not self.apply:
            return _error(415, "the body of the request was in an unknown format")
        if there is None and not is_apply and request.method != "POST":
            return _error(404, f"{plural} {name!r} not found")
        if request.method == "GET":
            return web.json_response(there)
        if request.method == "DELETE":
            await self.remove(plural, name, namespace)
            return web.json_response({"status": "Success"})
        if request.method == "PATCH" and not is_apply:
            body = _merged(copy.deepcopy(there) or {}, body)
        body["metadata"].pop("resourceVersion", None)
        if namespace:
            body["metadata"]["namespace"] = namespace
        return web.json_response(await self.put(plural, body), status=201 if request.method == "POST" else 200)


def _merged(there: Any, patch: Json) -> Json:
    for key, value in patch.items():
        there[key] = _merged(dict(there.get(key) or {}), value) if isinstance(value, dict) else value
    found: Json = there
    return found


def _chosen(raw: Json, request: web.Request, namespace: str) -> bool:
    labels = raw["metadata"].get("labels") or {}
    if namespace and raw["metadata"].get("namespace") != namespace:
        return False
    wanted = [term.split("=") for term in request.query.get("labelSelector", "").split(",") if term]
    return all(labels.get(key) == value for key, value in wanted)


def _plain(path: str, groups: list[str]) -> Json:
    if path == "/api":
        return {"kind": "APIVersions", "versions": groups}
    return {"kind": "APIGroupList", "groups": [{"versions": [{"groupVersion": version}]} for version in groups]}


def _aggregated(groups: list[str]) -> Json:
    items = []
    for group_version in groups:
        group, _, version = group_version.rpartition("/")
        resources = [
            {
                "resource": plural,
                "responseKind": {"kind": kind},
                "scope": "Cluster" if plural in GLOBAL else "Namespaced",
                "verbs": VERBS,
            }
            for plural, kind in KINDS[group_version].items()
        ]
        items.append(
            {"metadata": {"name": group} if group else {}, "versions": [{"version": version, "resources": resources}]}
        )
    return {"kind": "APIGroupDiscoveryList", "items": items}


async def _line(response: web.StreamResponse, event: Json) -> None:
    await response.write(json.dumps(event).encode() + b"\n")


def _error(status: int, message: str, headers: dict[str, str] | None = None, reason: str = "") -> web.Response:
    body = {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": status}
    return web.json_response(body, status=status, headers=headers or {})
