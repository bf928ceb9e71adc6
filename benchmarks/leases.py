"""Leases per second that pilots are given, with SQLite and with PostgreSQL, one and ten at a time. Aim: 3,000/s (ten).

``python -m benchmarks.leases [--seconds 5] [--pilots 1000] [--busy 64]``. So many pilots are connected, so many of them
ask at one time. First in this process, which is what the daemon's own work costs: choosing, writing to the database,
answering. Then over HTTP, with the pilots in a process of their own on the same machine: they share its cores, and
``leases/cpu s`` is what a whole core would give of the daemon. Every lease is in the database before it is given.
SQLite waits for the disk; PostgreSQL is the tests' own, which does not.

At the end what one minute of heartbeats costs: 6,000 pilots with 64 leases each. Resident memory is that of this
process, so all of the daemon's and the benchmark's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from benchmarks.machine import describe
from federator.clock import SystemClock
from federator.clusters.pilots import PilotsProvider, PilotsSettings
from federator.daemon import garbage
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, Order
from federator.model.pilots import Pilot, Result
from federator.model.resources import CPU, Resources
from federator.model.workload import Lifetime, Role
from federator.store import SqlStore
from tests.api.conftest import start
from tests.servers.postgres import Postgres

AIM = 3000
REPLICAS = 50_000_000
REQUESTS = Resources.of({CPU: 1})
SIZE = Resources.of({CPU: 1_000_000_000})
ROUNDS = 100
LIVE_PILOTS, LIVE_LEASES = 6000, 64
HELD_LIMIT_MS = 50


@dataclass
class Bench:
    """One cluster of pilots over one database."""

    provider: PilotsProvider
    pilots: int
    busy: int
    seconds: float

    async def per_second(self, act: Callable[[int], Awaitable[int]]) -> float:
        """How many things get done, with ``busy`` pilots at it; ``act`` takes a pilot's number."""
        done, ends = 0, time.perf_counter() + self.seconds

        async def work(first: int) -> None:
            nonlocal done
            number = first
            while time.perf_counter() < ends:
                count = await act(number % self.pilots)
                done, number = done + count, number + self.busy

        began = time.perf_counter()
        await asyncio.gather(*(work(number) for number in range(self.busy)))
        return done / (time.perf_counter() - began)


def order(name: str, replicas: int) -> Order:
    """So many replicas of next to nothing."""
    intent = Intent(name, name, f"uid-{name}", "", "grid", IndexSet.span(0, replicas))
    role = Role("", replicas, REQUESTS)
    return Order(intent, Lifetime.BATCH, (role,), "bench", container=Container(command=("true",)), spec_hash="1")


async def fill(provider: PilotsProvider, pilots: int) -> None:
    """An endless order, and pilots that have room for all of it."""
    await provider.open()
    await provider.submit(order("endless", REPLICAS))
    await asyncio.gather(*(provider.register(Pilot(f"p{n}", "grid", SIZE)) for n in range(pilots)))


async def in_process(bench: Bench, batch: int) -> tuple[float, float]:
    """Leases given, and ends taken, in a second."""
    held: dict[int, list[str]] = {number: [] for number in range(bench.pilots)}

    async def lease(number: int) -> int:
        mail = await bench.provider.lease(f"p{number}", held[number], batch, 0.0)
        held[number] += [grant.lease for grant in mail.grants]
        return len(mail.grants)

    async def finish(number: int) -> int:
        if not held[number]:
            return 0
        await bench.provider.finish(f"p{number}", held[number].pop(), Result())
        return 1

    return await bench.per_second(lease), await bench.per_second(finish)


async def over_http(bench: Bench, batch: int) -> tuple[float, float]:
    """Leases given in a second to pilots in a process of their own, and for a second of this process's processor."""
    api = await start(max_body_bytes=2**24)
    api.service.site = bench.provider
    words = [api.url, api.tokens["pilot"], str(bench.pilots), str(bench.busy), str(batch), str(bench.seconds)]
    command = [sys.executable, "-m", "benchmarks.leases", "--client", *words]
    used = time.process_time()
    client = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    out, _ = await client.communicate()
    used = time.process_time() - used
    await api.session.close()
    await api.running.stop()
    rate = float(json.loads(out))
    return rate, rate * bench.seconds / used


async def latency(folder: Path) -> None:
    """From an order's coming until a pilot that waits has its lease, over HTTP."""
    store = SqlStore(f"sqlite:///{folder}/latency.db")
    await store.open()
    provider = PilotsProvider("grid", PilotsSettings(), store=store, clock=SystemClock(), count=lambda _: None)
    await provider.open()
    await provider.register(Pilot("p", "grid", SIZE))
    api = await start()
    api.service.site = provider
    times, held = [], list[str]()
    for number in range(ROUNDS):
        wish = {"held": held, "limit": 1, "waitSeconds": 30.0}
        poll = asyncio.create_task(api.call("POST", "/api/v1/pilots/p/lease", role="pilot", json=wish))
        await asyncio.sleep(0.02)
        began = time.perf_counter()
        await provider.submit(order(f"w{number}", 1))
        _, mail, _ = await poll
        times.append(time.perf_counter() - began)
        held += [grant["lease"] for grant in mail["grants"]]
    p50, p95 = sorted(times)[ROUNDS // 2], sorted(times)[ROUNDS * 95 // 100]
    print("\nfrom submit to a lease at a pilot that waits, SQLite, over HTTP:", end=" ")
    print(f"p50 {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms")
    await api.session.close()
    await api.running.stop()
    await provider.close()
    await store.close()


async def client(url: str, token: str, pilots: int, busy: int, batch: int, seconds: float) -> None:
    """Pilots that only ask for leases; prints how many they got in a second."""
    got, ends = 0, time.perf_counter() + seconds
    held: dict[int, list[str]] = {number: [] for number in range(pilots)}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=busy)) as session:

        async def work(first: int) -> None:
            nonlocal got
            number = first
            while time.perf_counter() < ends:
                at = number % pilots
                body = json.dumps({"held": held[at], "limit": batch})
                async with session.post(f"{url}/api/v1/pilots/p{at}/lease", data=body) as answer:
                    grants = (await answer.json())["grants"]
                held[at] += [grant["lease"] for grant in grants]
                got += len(grants)
                number += busy

        began = time.perf_counter()
        await asyncio.gather(*(work(number) for number in range(busy)))
        sys.stdout.write(json.dumps(got / (time.perf_counter() - began)))


async def measure(url: str, words: argparse.Namespace, way: str, batch: int) -> str:
    """One line of the table."""
    store = SqlStore(url)
    await store.open()
    provider = PilotsProvider("grid", PilotsSettings(), store=store, clock=SystemClock(), count=lambda _: None)
    await fill(provider, words.pilots)
    bench = Bench(provider, words.pilots, words.busy, words.seconds)
    try:
        if way == "http":
            rate, of_processor = await over_http(bench, batch)
            return f"{rate:>12,.0f}{'':>12}{of_processor:>16,.0f}"
        leases, ends = await in_process(bench, batch)
        return f"{leases:>12,.0f}{ends:>12,.0f}{'':>16}"
    finally:
        await provider.close()
        await store.close()


async def observed(provider: PilotsProvider) -> str:
    """The second of two observations after a change: its CPU time, and the longest piece of it."""
    pieces = [0.0]

    async def others() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            pieces.append(time.thread_time() - before)

    await provider.observe()
    for entry in provider._line.entries.values():
        entry.touch()
    task = asyncio.create_task(others())
    await asyncio.sleep(0.01)
    pieces.clear()
    began = time.thread_time()
    await provider.observe()
    await asyncio.sleep(0)
    took = time.thread_time() - began
    task.cancel()
    return f"{took * 1000:.0f} ms, {max(pieces) * 1000:.0f} ms"


async def heartbeats(folder: Path) -> None:
    """What a minute of heartbeats of many pilots costs."""
    store = SqlStore(f"sqlite:///{folder}/heartbeats.db")
    await store.open()
    settings, clock = PilotsSettings(lease_s=3600), SystemClock()
    provider = PilotsProvider("grid", settings, store=store, clock=clock, count=lambda _: None)
    await fill(provider, LIVE_PILOTS)
    held = []
    garbage.only_young()  # as in the daemon
    for number in range(LIVE_PILOTS):
        mail = await provider.lease(f"p{number}", (), LIVE_LEASES, 0.0)
        held.append([grant.lease for grant in mail.grants])
    began, used = time.perf_counter(), time.process_time()
    for number in range(LIVE_PILOTS):
        await provider.heartbeat(f"p{number}", held[number])
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    one_order = await observed(provider)
    for number in range(LIVE_PILOTS):
        await provider.finish(f"p{number}", held[number][number * 7 % LIVE_LEASES], Result())
    ragged = await observed(provider)
    resident = psutil.Process().memory_info().rss / 2**20
    print(f"\n{LIVE_PILOTS:,} pilots with {LIVE_LEASES} leases each ({sum(map(len, held)):,}):")
    print(f"a round of heartbeats takes {wall:.2f} s, {cpu / 60:.1%} of a core at one a minute, without HTTP;")
    print("an observation of all of them in one order, and how long it holds the event loop at most, in CPU time:")
    print(f"{one_order}; after one in {LIVE_LEASES} has ended, here and there: {ragged}; limit {HELD_LIMIT_MS} ms")
    print(f"{resident:,.0f} MiB resident")
    await provider.close()
    await store.close()


async def main(words: argparse.Namespace) -> None:
    """The table."""
    print(f"leases, {words.pilots:,} pilots connected, {words.busy} ask at one time; {describe()}")
    print(f"{'database':<12}{'way':<12}{'at a time':>10}{'leases/s':>12}{'ends/s':>12}{'leases/cpu s':>16}   aim")
    with tempfile.TemporaryDirectory() as folder, Postgres() as server:
        for database in ("sqlite", "postgresql"):
            for way in ("in process", "http"):
                for batch in (1, 10):
                    file = f"sqlite:///{folder}/{way[:2]}{batch}.db"
                    url = file if database == "sqlite" else server.create_database()
                    line = await measure(url, words, way, batch)
                    aim = f"   {AIM:,}" if (database, batch) == ("postgresql", 10) else ""
                    print(f"{database:<12}{way:<12}{batch:>10}{line}{aim}", flush=True)
        await latency(Path(folder))
        await heartbeats(Path(folder))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        given = sys.argv[2:]
        asyncio.run(client(given[0], given[1], int(given[2]), int(given[3]), int(given[4]), float(given[5])))
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--seconds", type=float, default=5.0)
        parser.add_argument("--pilots", type=int, default=1000)
        parser.add_argument("--busy", type=int, default=64)
        asyncio.run(main(parser.parse_args()))
