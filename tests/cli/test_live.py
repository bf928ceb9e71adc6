"""The live table."""

from __future__ import annotations

import asyncio
import io

from rich.console import Console

from federator.cli.live import LiveTable, LogTail
from tests.api.fake_service import FakeService, workload
from tests.patience import PATIENCE_S

HEIGHT = 24


def console() -> Console:
    return Console(file=io.StringIO(), width=120, height=HEIGHT, force_terminal=True, markup=False, highlight=False)


async def drawn(service: FakeService, tail: LogTail) -> str:
    screen = console()
    screen.print(await LiveTable(service, tail, "http://localhost:1", screen).frame())
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


async def test_it_shows_clusters_workloads_with_where_or_why_and_the_log() -> None:
    service, tail = FakeService(), LogTail()
    tail.add("something \x1b[31mhappened")
    document = {"metadata": {"name": "w"}, "spec": {}}
    service.objects["workloads"] = {
        "runs": workload("runs", "atlas", "me", document)
        | {"state": "running", "placements": {"cern": 6}, "message": ""},
        "waits": workload("waits", "atlas", "me", document),
    }
    text = await drawn(service, tail)
    for words in ("http://localhost:1", "cern", "4/8", "4 cpu", "cern 6", "no room anywhere", "something"):
        assert words in text
    assert "\x1b[31mhappened" not in text, "a log line must not steer the terminal"
    assert text.index("runs") < text.index("waits"), "what runs comes first"


async def test_it_never_grows_beyond_the_terminal() -> None:
    service, tail = FakeService(), LogTail()
    for number in range(50):
        tail.add(f"line {number}")
        name = f"w{number:02}"
        service.objects["workloads"][name] = workload(name, "atlas", "me", {"metadata": {"name": name}})
    text = await drawn(service, tail)
    assert len(text.splitlines()) <= HEIGHT
    assert "more: federator get workloads" in text
    assert "line 49" in text


async def test_it_ends_when_told_to() -> None:
    stopping = asyncio.Event()
    table = LiveTable(FakeService(), LogTail(), "", console())
    showing = asyncio.create_task(table.show(stopping))
    await asyncio.sleep(0.05)
    stopping.set()
    async with asyncio.timeout(PATIENCE_S):
        await showing
