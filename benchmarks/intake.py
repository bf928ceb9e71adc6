"""How long an intake takes to bring back jobs that end at one time: their output to files, their ends to the schedd.

``python -m benchmarks.intake [--jobs 1000] [--bytes 2000] [--owner NAME]``. The daemon is a process of its own with a
pretended cluster, asked over HTTP; the files are real, written as their owner by whoever may; the schedd is played in
this process, so what its calls cost is not in it (how many there are is told). Aim: 1,000 jobs in 10 s on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pwd
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import describe
from federator.cli.client import Client
from federator.cli.connection import connect
from federator.cli.intake import _Daemon
from federator.intake.files import OwnersFiles
from federator.intake.router import Router, Settings
from tests.e2e.federator_process import Federator, named

RUN_S = 20
HEAD = {
    "ClusterId": 1, "QDate": 1790000000, "JobStatus": 1, "JobUniverse": 5, "Cmd": "/bin/true",
    "TransferExecutable": False,
}  # fmt: skip


class Queue:
    """A schedd that keeps its jobs here."""

    def __init__(self, jobs: int, owner: str, folder: Path, size: int) -> None:
        more = {"Owner": owner, "Iwd": str(folder), "Env": f"FAKE_OUTPUT={'x' * size}", **HEAD}
        self.jobs = {f"1.{n}": {**more, "ProcId": n, "Out": f"{n}.out", "Err": f"{n}.err"} for n in range(jobs)}
        self.ended: Counter[int] = Counter()
        self.calls: Counter[str] = Counter()

    async def call(self, name: str, **arguments: Any) -> Any:
        self.calls[name] += 1
        return getattr(self, f"_{name}")(**arguments)

    def _wanted(self, most: int, **_: Any) -> Any:
        taken = [dict(ad) for ad in self.jobs.values() if "Managed" in ad]
        idle = [dict(ad) for ad in self.jobs.values() if "Managed" not in ad]
        return {"taken": taken, "idle": idle[:most]}

    def _edit(self, jobs: list[str], attributes: list[tuple[str, str]]) -> None:
        for name, value in attributes:
            for job in jobs:
                known = value != "undefined" and not value.startswith("strcat")
                self.jobs[job][name] = json.loads(value) if known else value
                if value == '"ScheddDone"':
                    self.ended[self.jobs.pop(job)["ExitCode"]] += 1


async def brought(federator: Federator, queue: Queue) -> tuple[float, float]:
    """Hand the jobs in, wait until all have ended, and bring them back: seconds, and seconds of a core."""
    url = json.loads((federator.folder / "var" / "endpoint.json").read_text())["url"]
    async with Client(connect(url, federator.folder / "var" / "admin.token")) as client:
        router = Router(Settings("ce"), queue, _Daemon(client), OwnersFiles())
        await router.turn()
        await router.turn()
        while any(one["state"] != "finished" for one in await client.all("workloads")):
            await asyncio.sleep(1)
        queue.calls.clear()
        began_s, before = time.monotonic(), _cpu_s()
        while queue.jobs:
            await router.turn()
        return time.monotonic() - began_s, _cpu_s() - before


def _cpu_s() -> float:
    spent = psutil.Process().cpu_times()
    return float(spent.user + spent.system + spent.children_user + spent.children_system)


def measure(jobs: int, size: int, owner: str) -> None:
    """Print a line of figures."""
    with tempfile.TemporaryDirectory(prefix="federator-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        files = folder / "jobs"
        files.mkdir()
        files.chmod(0o777)
        federator = Federator(folder)
        cluster = {"fake": {"runTime": f"{RUN_S}s"}}
        federator.write([named("Cluster", "here", cluster), named("Queue", "default", {})])
        federator.start(120)
        try:
            queue = Queue(jobs, owner, files, size)
            took_s, core_s = asyncio.run(brought(federator, queue))
        finally:
            federator.stop()
        written = [path for path in files.glob("*.out") if path.stat().st_size == size]
        assert len(written) == jobs == queue.ended[0] == len(list(files.glob("*.err")))
        assert {path.owner() for path in written} == {owner}
        calls = ", ".join(f"{count} {call}" for call, count in sorted(queue.calls.items()))
        print(f"{jobs:6} jobs {took_s:7.1f} s {jobs / took_s:7.0f} jobs/s {core_s:7.1f} core s   schedd: {calls}")


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=2000)
    parser.add_argument("--owner", default=pwd.getpwuid(psutil.Process().uids().real).pw_name)
    given = parser.parse_args()
    print(f"{describe()}, load {psutil.getloadavg()[0]:.1f}; output {given.bytes} bytes, owner {given.owner}")
    measure(given.jobs, given.bytes, given.owner)


if __name__ == "__main__":
    main()
