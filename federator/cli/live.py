"""The live table of ``federator run`` in a terminal: clusters, workloads, the last lines of the log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from federator.cli.output import amount, cell, clean
from federator.cli.tables import health, progress, where
from federator.daemon.service import Service

Json = Mapping[str, Any]
REFRESH_S = 1.0
LOG_LINES = 6
FRAME_LINES = 8
"""Title, headings and empty lines between the parts."""
MOST_WORKLOADS = 200
ORDER = {"running": 0, "dispatched": 1, "cancelling": 2, "waiting": 3, "failed": 4, "cancelled": 5, "finished": 6}


class LogTail:
    """The last lines of the log."""

    def __init__(self, lines: int = 200) -> None:
        self._lines: deque[str] = deque(maxlen=lines)

    def add(self, line: str) -> None:
        """Keep a line, and forget the oldest."""
        self._lines.extend(line.splitlines())

    def last(self, count: int) -> list[str]:
        """The last so many lines."""
        return list(self._lines)[-count:]


class LiveTable:
    """Draws what the service tells, until told to stop."""

    def __init__(self, service: Service, tail: LogTail, title: str, console: Console | None = None) -> None:
        self._service = service
        self._tail = tail
        self._title = title
        self._console = console or Console(markup=False, highlight=False)

    async def show(self, stopping: asyncio.Event) -> None:
        """Draw every second on a screen of its own, and leave the terminal as it was."""
        with self._console.screen(hide_cursor=True) as screen:
            while not stopping.is_set():
                screen.update(await self.frame())
                try:
                    async with asyncio.timeout(REFRESH_S):
                        await stopping.wait()
                except TimeoutError:
                    continue

    async def frame(self) -> RenderableType:
        """One picture, no taller than the terminal."""
        clusters = (await self._service.list("clusters", limit=50)).items
        page = await self._service.list("workloads", limit=MOST_WORKLOADS)
        works = sorted(page.items, key=lambda one: (ORDER.get(one["state"], 9), one["name"]))
        room = max(3, self._console.size.height - len(clusters) - LOG_LINES - FRAME_LINES)
        hidden = len(works) - room
        more = f"... and {hidden}{'+' if page.next else ''} more: federator get workloads" if hidden > 0 else ""
        return Group(
            Text(f"federator   {self._title}", style="bold", no_wrap=True, overflow="ellipsis"),
            Text(""),
            _clusters(clusters),
            Text(""),
            _workloads(works[:room]),
            Text(more, style="dim"),
            *(Text(clean(line), style="dim", no_wrap=True, overflow="ellipsis") for line in self._tail.last(LOG_LINES)),
        )


def _clusters(items: Sequence[Json]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for heading in ("CLUSTER", "STATUS", "CPU", "", "FREE", "RUNNING", "PENDING"):
        table.add_column(heading, no_wrap=True, ratio=2 if heading == "FREE" else None)
    for one in items:
        capacity = float((one.get("capacity") or {}).get("cpu", 0))
        used = sum(float(amounts.get("cpu", 0)) for amounts in (one.get("used") or {}).values())
        free = ", ".join(f"{amount(name, float(value))} {name}" for name, value in (one.get("free") or {}).items())
        table.add_row(
            cell(one["name"]),
            cell(health(one)),
            Bar(size=max(capacity, 1e-9), begin=0, end=used, width=20, color="blue"),
            cell(f"{amount('cpu', used)}/{amount('cpu', capacity)}"),
            cell(free or one.get("message")),
            cell(one.get("running")),
            cell(one.get("pending")),
        )
    return table


def _workloads(items: Sequence[Json]) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for heading in ("WORKLOAD", "QUEUE", "STATE", "REPLICAS"):
        table.add_column(heading, no_wrap=True)
    table.add_column("WHERE, OR WHY NOT", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in items:
        told = "; ".join(part for part in (where(one), str(one.get("message") or "")) if part)
        table.add_row(cell(one["name"]), cell(one["queue"]), cell(one["state"]), cell(progress(one)), cell(told))
    return table
