"""One server over a fake federation, in this process, with a token for each role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from federator.api.access import Access, Role, new_token
from federator.api.server import RunningApi, start_api
from federator.api.settings import ApiSettings
from federator.telemetry.metrics import Metrics
from tests.api.fake_service import FakeKept, FakeService

ROLES: dict[str, tuple[list[Role], list[str]]] = {
    "reader": ([Role.READER], []),
    "submitter": ([Role.SUBMITTER], ["atlas*"]),
    "operator": ([Role.OPERATOR], []),
    "pilot": ([Role.PILOT], []),
}


@dataclass
class Api:
    """A running server, and a client that speaks with the token of a role."""

    running: RunningApi
    service: FakeService
    kept: FakeKept
    tokens: dict[str, str]
    session: aiohttp.ClientSession
    access: Access
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def url(self) -> str:
        return self.running.url

    async def call(
        self,
        method: str,
        path: str,
        *,
        role: str | None = "operator",
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> tuple[int, Any, Any]:
        """Status, JSON (or text), headers."""
        sent = dict(headers or {})
        if role:
            sent["Authorization"] = f"Bearer {self.tokens[role]}"
        async with self.session.request(method, self.url + path, headers=sent, **options) as answer:
            is_json = "json" in answer.content_type
            return answer.status, await (answer.json(content_type=None) if is_json else answer.text()), answer.headers


async def start(**settings: Any) -> Api:
    """A server with these settings; the caller stops it."""
    secrets, known = {}, []
    for name, (roles, queues) in ROLES.items():
        secret, token = new_token(name, roles, queues, site="grid" if Role.PILOT in roles else "")
        secrets[name] = secret
        known.append(token)
    kept = FakeKept()
    for token in known:
        await kept.put_token(token)
    service, access, metrics = FakeService(), Access(known), Metrics()
    given = {"port": 0, "keep_alive_s": 0.2, "max_body_bytes": 100_000, **settings}
    running = await start_api(service, access, ApiSettings(kept=kept, audit=kept.audit, **given), metrics)
    return Api(running, service, kept, secrets, aiohttp.ClientSession(), access, metrics)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """A server on loopback."""
    running = await start()
    yield running
    await running.session.close()
    await running.running.stop()
