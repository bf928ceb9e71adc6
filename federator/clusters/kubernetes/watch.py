"""List, then watch: one kind of object followed for as long as it takes, through everything a server may do."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, Generic, TypeVar

from federator.clusters.kubernetes.client import Json, KubernetesClient
from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.table import Row, Table
from federator.ports import Clock, ClusterUnreachable

log = logging.getLogger(__name__)

# Objects per page: parsing one page must not hold up the event loop.
PAGE = 250
# The server ends a watch after so long; asking at different times spreads the load of starting again.
WATCH_S = (240, 360)
# Servers send a bookmark about once a minute, so a longer silence means a connection that died unnoticed.
SILENCE_S = 90.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 20.0
GONE, FORBIDDEN = 410, 403

R = TypeVar("R", bound=Row)
Read = Callable[[Mapping[str, Any]], R | None]


class Expired(Exception):
    """The server no longer knows the version from which we wanted to go on."""


class ListWatch(Generic[R]):
    """Follows the objects at a path into a table; where that is forbidden, at the next of the paths, for good.

    ``synced`` is set once the first list is complete. ``failing_s`` is since when following has not worked (None: it
    works), ``trouble`` why.
    """

    def __init__(
        self,
        client: KubernetesClient,
        paths: Sequence[str],
        table: Table[R],
        read: Read[R],
        *,
        clock: Clock,
        random: Random,
        query: Mapping[str, str] | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = paths[0]
        self.synced = asyncio.Event()
        self.failing_s: float | None = None
        self.trouble: ApiError | ClusterUnreachable | None = None
        self._narrower = list(paths[1:])
        self._client = client
        self._table = table
        self._read = read
        self._clock = clock
        self._random = random
        self._query = dict(query or {})
        self._on_change = on_change
        self._version = ""
        self._step: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Follow until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                if not self._version:
                    await self._list()
                self._works()
                began_s = self._clock.now_s()
                await self._interruptible(self._watch())
                # A server that ends every watch at once must not be asked in a tight loop.
                wait_s = 0.0 if self._clock.now_s() - began_s > 1 else FIRST_PAUSE_S
                pause_s = FIRST_PAUSE_S
            except Expired:
                log.info("%s: the version to go on from is too old; listing again", self.path)
                self._version, wait_s = "", FIRST_PAUSE_S
            except (ApiError, ClusterUnreachable) as error:
                if isinstance(error, ApiError) and error.status == FORBIDDEN and self._narrower:
                    self.path = self._narrower.pop(0)
                    continue
                self._fails(error)
                wait_s = getattr(error, "retry_after_s", None) or pause_s
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            except (KeyError, TypeError, ValueError) as error:
                self._version = ""
                self._fails(ApiError(0, "Unreadable", f"{self.path}: {type(error).__name__}: {error}"))
                wait_s, pause_s = pause_s, min(LONGEST_PAUSE_S, pause_s * 2)
            if not await self._interruptible(self._clock.sleep(wait_s * (0.5 + self._random.random()))):
                pause_s = FIRST_PAUSE_S

    def refresh(self) -> None:
        """Begin anew at once: an outage is over, with which the watch's connection may have died unnoticed."""
        if self._step is not None:
            self._step.cancel()

    # -- inside ------------------------------------------------------------

    async def _interruptible(self, step: Coroutine[Any, Any, None]) -> bool:
        """Take the step; False if ``refresh`` cut it short."""
        self._step = asyncio.create_task(step)
        try:
            await self._step
        except asyncio.CancelledError:
            if not self._step.cancelled() or _cancelling():
                raise
            return False
        finally:
            self._step.cancel()
            self._step = None
        return True

    def _works(self) -> None:
        self.failing_s, self.trouble = None, None
        self.synced.set()
        self._on_change()

    def _fails(self, error: ApiError | ClusterUnreachable) -> None:
        if self.failing_s is None:
            self.failing_s = self._clock.now_s()
        self.trouble = error
        self._on_change()

    async def _list(self) -> None:
        rows: list[R] = []
        query = {**self._query, "limit": str(PAGE)}
        while True:
            try:
                page = await self._client.call("GET", self.path, query=query)
            except ApiError as error:
                if error.status == GONE and "continue" in query:
                    raise Expired from error
                raise
            rows += [row for raw in page.get("items") or () if (row := self._read(raw)) is not None]
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        self._version = str(metadata.get("resourceVersion") or "")
        self._table.replace(rows, self._version)

    async def _watch(self) -> None:
        """Take in events until the server ends the watch. Raises Expired."""
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self._random.randint(*WATCH_S)),
            "resourceVersion": self._version,
        }
        try:
            async with self._client.stream(self.path, query, silence_s=SILENCE_S) as pieces:
                async for line in lines(pieces):
                    self._take(json.loads(line))
        except ApiError as error:
            if error.status == GONE:
                raise Expired from error
            raise

    def _take(self, event: Json) -> None:
        kind, raw = event["type"], event["object"]
        if kind == "ERROR":
            code = int(raw.get("code") or 500)
            if code == GONE:
                raise Expired
            raise ApiError(code, str(raw.get("reason")), str(raw.get("message")))
        if kind == "BOOKMARK":
            self._version = raw["metadata"]["resourceVersion"]
            return
        row = self._read(raw)
        if kind == "DELETED":
            self._table.drop(raw["metadata"]["uid"], row)
        elif row is None:
            self._table.drop(raw["metadata"]["uid"], buried=False)
        else:
            self._table.put(row)
        self._version = raw["metadata"]["resourceVersion"]


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines in a stream of pieces; a line may be of any length. What is cut off at the end is dropped."""
    buffer = bytearray()
    async for piece in pieces:
        buffer += piece
        if b"\n" in piece:
            *whole, rest = bytes(buffer).split(b"\n")
            buffer = bytearray(rest)
            for line in whole:
                if line.strip():
                    yield line


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
