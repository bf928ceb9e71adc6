"""A pilot that is only calls: it speaks the wire format, runs nothing, and tells a witness which ends were taken."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import aiohttp


class Witness:
    """What the daemon acknowledged: by index, the leases whose success it took. It outlives every daemon."""

    def __init__(self) -> None:
        self.taken: dict[int, set[str]] = defaultdict(set)
        self.refused = 0

    @property
    def twice(self) -> dict[int, set[str]]:
        """Indices that counted by more than one lease."""
        return {index: leases for index, leases in self.taken.items() if len(leases) > 1}


class WirePilot:
    """Every call is repeated until somebody answers it, as pilots do."""

    def __init__(self, session: aiohttp.ClientSession, url: str, name: str, witness: Witness, cores: int = 100) -> None:
        self.name = name
        self.held: dict[str, int] = {}
        """Indices by lease."""
        self._session = session
        self._url = f"{url}/api/v1/pilots"
        self._witness = witness
        self._cores = cores

    async def register(self, cores: int = 0) -> None:
        """Join, or say anew what it has."""
        resources = {"cpu": float(cores or self._cores), "memory": float(1 << 40)}
        body = {"protocol": 1, "name": self.name, "resources": resources, "runtimes": ["process"]}
        status, answer = await self._call("", body)
        assert status in (200, 201), answer

    async def lease(self, limit: int, *, forgetful: bool = False) -> int:
        """Ask for work; how much of what was told is new. ``forgetful``: an old request, from before it held any."""
        status, mail = await self.call("lease", {"held": [] if forgetful else list(self.held), "limit": limit})
        assert status == 200, mail
        new = {grant["lease"]: grant["index"] for grant in mail["grants"] if grant["lease"] not in self.held}
        self.held |= new
        return len(new)

    async def heartbeat(self) -> list[str]:
        """Renew everything; the leases that are void."""
        status, mail = await self.call("heartbeat", {"held": list(self.held)})
        assert status == 200, mail
        return list(mail["void"])

    async def complete(self, lease: str, index: int) -> None:
        """A payload has succeeded."""
        status, _ = await self.call("complete", {"lease": lease})
        if status < 300:
            self._witness.taken[index].add(lease)
        else:
            assert status == 409
            self._witness.refused += 1

    async def give_back(self, lease: str) -> None:
        """It was not started."""
        told = {"lease": lease, "exitCode": None, "reason": "Returned", "message": "no room", "ownFault": False}
        status, answer = await self.call("fail", told)
        assert status < 300, answer
        del self.held[lease]

    async def call(self, verb: str, body: dict[str, Any]) -> tuple[int, Any]:
        """One call of this pilot."""
        return await self._call(f"/{self.name}/{verb}", body)

    async def _call(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        while True:
            try:
                async with self._session.post(self._url + path, json=body) as answer:
                    if answer.status < 500:
                        text = await answer.read()
                        return answer.status, await answer.json(content_type=None) if text else {}
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.1)  # the daemon is down
            await asyncio.sleep(0.1)
