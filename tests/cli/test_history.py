"""What a daemon has done becomes a log, and a simulation of that log takes as long as it took."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from federator.cli.client import Client
from federator.cli.histories import first_ends, jobs_of, remembered
from federator.documents.sources import TracePart
from federator.simulator.traces.own import written
from federator.simulator.traces.readers import format_of
from federator.simulator.traces.workloads import arrivals
from tests.api.conftest import Api
from tests.daemon.federation import API, Federation, fake

RUN_S = 20.0


class Direct:
    """A client that asks the daemon's service itself; pages are short, so that there are several."""

    def __init__(self, federation: Federation) -> None:
        self._service = federation.daemon.service

    async def all(self, kind: str, *, state: str) -> list[Any]:
        return list((await self._service.list(kind, limit=1000, state=state)).items)

    async def get(self, path: str, *, after: str = "0", limit: int = 0) -> Any:
        if path == "/events":
            items = list(await self._service.events(after=int(after), limit=limit))
            return {"items": items, "next": str(items[-1]["id"] if items else after)}
        return await self._service.get("workloads", path.rsplit("/", 1)[1])


async def test_what_a_daemon_has_done_is_a_log_that_is_simulated(tmp_path: Path) -> None:
    """Two workloads end: one of four replicas on two cores takes two rounds, of which each replica ran one. A third
    is cancelled before it starts, a fourth still runs."""
    federation = Federation(tmp_path)
    federation.write(fake("cern", 2, run_time=f"{RUN_S:g}s"))
    await federation.start()
    await federation.submit("early", 4, queue="atlas", duration="1m", priority=3)
    await federation.run(5)
    await federation.submit("late", 1)
    await federation.submit("never", 1, cpu="50")
    await federation.until(lambda: federation.state("late") == "finished")
    await federation.daemon.service.cancel("never", permit=lambda queue: None)
    await federation.submit("still", 1)
    await federation.run(5)

    client = cast(Client, Direct(federation))
    found = await remembered(client, None)
    jobs = list(jobs_of(found, await first_ends(client)))
    path = tmp_path / "log"
    path.write_text("".join(f"{written(job)}\n" for job in jobs))
    assert format_of(path) == "federator"
    early, late = arrivals(TracePart.model_validate({"file": "log"}), path)
    assert [one["name"] for one in map(json.loads, path.read_text().splitlines())] == ["early", "late", "never"]
    assert jobs[2].run_s is None
    assert (early.workload.queue, early.workload.priority, early.workload.duration_s) == ("atlas", 3, 60)
    assert (early.at_s, early.workload.replicas, jobs[0].user, jobs[0].status) == (0, 4, "tester", 1)
    assert 4 <= late.at_s <= 7
    for one in (early, late):
        assert RUN_S - 2 <= one.run_s <= RUN_S + 2, "not what one replica took"
    whole = next(one for one in found if one["name"] == "early")
    assert whole["endedAt"] - whole["startedAt"] > 1.5 * RUN_S, "it was one round, so this shows nothing"
    assert await remembered(client, federation.clock.now_s() + 1) == []


async def test_the_command_prints_a_line_for_each(client: Callable[..., Any], api: Api) -> None:
    document = {
        "apiVersion": API,
        "kind": "Workload",
        "metadata": {"name": "w"},
        "spec": {"replicas": 2, "requests": {"cpu": 1}},
    }
    ended = {"name": "w", "queue": "atlas", "owner": "ada", "state": "finished", "document": document}
    api.service.objects["workloads"]["w"] = ended | {"submittedAt": 900.0, "startedAt": 950.0, "endedAt": 1100.0}
    await api.service.happen("completed", "2 replicas completed on cern", "w")
    result = await client("snapshot", "--history")
    assert result.status == 0, result.err
    told = json.loads(result.out)
    assert (told["run_s"], told["wait_s"], told["replicas"], told["queue"]) == (50.0, 50.0, 2, "atlas")
    assert (await client("snapshot", "--history", "1970-01-01T00:20:00Z")).out == ""
    for wrong in (("snapshot", "7d"), ("snapshot", "--history", "soon")):
        assert (await client(*wrong)).status == 2
