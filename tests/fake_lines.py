"""A store of lines in memory, for tests of those who lease."""

from __future__ import annotations

import asyncio
from typing import Any

from federator.model.pilots import LineChanges, StoredLine
from federator.ports import StoreUnavailable


class FakeLines:
    """Lines of pilots, in memory: outlives the provider, and breaks down when it is told to."""

    def __init__(self) -> None:
        self.pilots: dict[str, Any] = {}
        self.orders: dict[str, Any] = {}
        self.leases: dict[tuple[str, int], Any] = {}
        self.commits = 0
        self.down = ""

    async def load_line(self, cluster: str) -> StoredLine:
        self._check()
        return StoredLine(*(tuple(kept.values()) for kept in (self.pilots, self.orders, self.leases)))

    async def commit_line(self, changes: LineChanges) -> None:
        await asyncio.sleep(0)
        self._check()
        self.commits += bool(changes)
        for kept, news in (
            (self.pilots, changes.pilots),
            (self.orders, changes.orders),
            (self.leases, changes.leases),
        ):
            for key, one in news.items():
                if one is None:
                    kept.pop(key, None)
                else:
                    kept[key] = one

        gone = {intent for intent, one in changes.orders.items() if one is None}
        if gone:
            self.leases = {key: one for key, one in self.leases.items() if key[0] not in gone}

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable(self.down)
