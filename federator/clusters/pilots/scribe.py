"""Writes changes of lines to the store: what is asked for while one transaction is under way goes into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from federator.model.pilots import Lease, LineChanges, LineOrder, Pilot, Replica
from federator.ports import StoreUnavailable


class Scribe:
    """Hundreds of pilots ask at once, and a transaction costs the same for one lease as for a hundred."""

    def __init__(self, commit: Callable[[LineChanges], Awaitable[None]]) -> None:
        self._commit = commit
        self._next = _Draft()
        self._task: asyncio.Task[None] | None = None

    async def write(self, changes: LineChanges) -> None:
        """Return when the changes are in the store. Raises StoreUnavailable; then none of them is."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next.add(changes, done)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all(), name="line")
        await done

    async def _write_all(self) -> None:
        while self._next.waiting:
            draft, self._next = self._next, _Draft()
            error: Exception | None = None
            try:
                await self._commit(LineChanges(draft.pilots, draft.orders, draft.leases))
            except StoreUnavailable as trouble:
                error = trouble
            except Exception as mistake:
                error = StoreUnavailable(f"the line could not be written: {mistake}")
            for one in draft.waiting:
                if one.done():
                    continue  # whoever asked has gone
                if error is None:
                    one.set_result(None)
                else:
                    one.set_exception(error)


class _Draft:
    """Changes that go into one transaction, a later one of a key in place of an earlier one; and who waits for them."""

    def __init__(self) -> None:
        self.pilots: dict[str, Pilot | None] = {}
        self.orders: dict[str, LineOrder | None] = {}
        self.leases: dict[Replica, Lease | None] = {}
        self.waiting: list[asyncio.Future[None]] = []

    def add(self, changes: LineChanges, done: asyncio.Future[None]) -> None:
        self.pilots.update(changes.pilots)
        self.orders.update(changes.orders)
        self.leases.update(changes.leases)
        self.waiting.append(done)
