"""The loop of an intake against a schedd and a server that are played, with every call cut off in turn."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.intake import mirror
from federator.intake.ads import Job, Unfit
from federator.intake.bringing import at_once
from federator.intake.mirror import View
from federator.intake.router import Router, Settings
from federator.intake.sides import NotWritten, OutputGone, OutputLater, Rejected


class Cut(Exception):
    """The intake was killed here."""


class World:
    """A schedd, a server and their users. The call with the number ``dies`` is done, and its answer never heard."""

    def __init__(self, count: int, dies: int = 0) -> None:
        head = {"ClusterId": 1, "QDate": 1790000000, "Owner": "alice", "JobStatus": 1, "JobUniverse": 5}
        body = {"Cmd": "/bin/true", "TransferExecutable": False, "Iwd": "/home", "Err": "err"}
        self.queue = {f"1.{n}": {**head, **body, "ProcId": n, "Out": f"out{n}"} for n in range(count)}
        self.written: dict[str, bytes] = {}
        self.outputs: dict[str, bytes | Exception] = {}
        self.closed: set[str] = set()
        self.history: dict[str, dict[str, Any]] = {}
        self.workloads: dict[str, dict[str, Any]] = {}
        self.handed_in: Counter[str] = Counter()
        self.news: list[str] = []
        self.codes: dict[str, int] = {}
        self.refuses: set[str] = set()
        self.looks = 0
        self.asked: Counter[str] = Counter()
        self._dies, self._calls = dies, 0

    def _called(self) -> None:
        self._calls += 1
        if self._calls == self._dies:
            raise Cut

    # -- the schedd

    async def call(self, name: str, **arguments: Any) -> Any:
        self.asked[name] += 1
        answer = getattr(self, f"_{name}")(**arguments)
        self._called()
        return answer

    def _wanted(self, where: str, manager: str, attributes: list[str], most: int) -> Any:
        both = {"ManagedManager": manager, "Managed": "External"}.items()
        ours = [dict(ad) for ad in self.queue.values() if both <= ad.items()]
        left = {"Managed", "FederatorReason"}
        idle = [ad for ad in self.queue.values() if ad["JobStatus"] == 1 and not left & ad.keys()]
        return {"taken": ours, "idle": [dict(ad) for ad in idle[:most]]}

    def _edit(self, jobs: list[str], attributes: list[tuple[str, str]]) -> None:
        for name, value in attributes:
            for job in jobs:
                self._set(job, name, value)
            self._called()  # attribute by attribute

    def _set(self, job: str, name: str, value: str) -> None:
        ad = self.queue.get(job)
        if ad is None:
            return
        if value == "undefined":
            ad.pop(name, None)
        else:
            ad[name] = value if value.startswith("strcat") else json.loads(value)
        if ad.get("Managed") == "ScheddDone" and ad["JobStatus"] in (3, 4):
            self.history[job] = self.queue.pop(job)

    def _act(self, verb: str, jobs: list[str], reason: str) -> None:
        for job in jobs:
            self.queue[job]["JobStatus"] = {"Hold": 5, "Remove": 3}[verb]

    # -- the server

    async def submit(self, documents: Sequence[Mapping[str, Any]]) -> None:
        names = [document["metadata"]["name"] for document in documents]
        if any(name in self.refuses for name in names):
            raise Rejected("no")
        for name in names:
            if name not in self.workloads:
                self.workloads[name] = {"state": "waiting", "running": 0, "placements": {}, "message": "no room"}
                self.handed_in[name] += 1
                self.news.append(name)
        self._called()

    async def look(self, name: str) -> View | None:
        self.looks += 1
        found = self.workloads.get(name)
        return dict(found) if found else None

    async def exit_code(self, name: str) -> int | None:
        return self.codes.get(name)

    async def cancel(self, name: str) -> None:
        self.become(name, "cancelled")
        self._called()

    async def delete(self, name: str) -> None:
        self.workloads.pop(name, None)
        self.news.append(name)
        self._called()

    async def output(self, name: str) -> AsyncIterator[bytes]:
        found = self.outputs.get(name, b"of " + name.encode())
        if isinstance(found, Exception):
            raise found
        yield found

    # -- files

    async def check(self, owner: str, folder: Path) -> None:
        if str(folder) in self.closed:
            raise Unfit(f"not into {folder}")

    async def write(self, job: Job, path: Path, pieces: AsyncIterator[bytes]) -> None:
        self.asked["write"] += 1
        whole = b"".join([piece async for piece in pieces])
        if str(path) in self.closed:
            raise NotWritten("disk full")
        self.written[str(path)] = whole
        self._called()

    async def together(self, owner: str, contents: Mapping[Path, bytes]) -> set[Path]:
        """It ends at the first that it cannot write."""
        self.asked["together"] += 1
        done: set[Path] = set()
        for path, whole in contents.items():
            if str(path) in self.closed:
                break
            self.written[str(path)] = whole
            self._called()
            done.add(path)
        return done

    async def changed(self, since: str) -> tuple[set[str], str]:
        return set(self.news[int(since or len(self.news)) :]), str(len(self.news))

    def become(self, name: str, state: str, **more: Any) -> None:
        self.workloads[name].update({"state": state, "running": 0, **more})
        self.news.append(name)


def name_of(job: str) -> str:
    return f"ce-{job.replace('.', '-')}-1790000000"


async def turns(world: World, count: int = 6, most: int = 100) -> None:
    """So many turns; whoever is cut off begins anew, knowing nothing."""
    router = Router(Settings("ce", most_waiting=most), world, world, world)
    for _ in range(count):
        try:
            await router.turn()
        except Cut:
            router = Router(Settings("ce", most_waiting=most), world, world, world)


def stays(world: World) -> Any:
    """What matters of a world: the queue as its users see it, the history, and what was handed in."""
    seen = ("JobStatus", "Managed", "RemoteHost", "FederatorReason", "ExitCode")
    return (
        {job: {name: ad.get(name) for name in seen} for job, ad in world.queue.items()},
        {job: (ad["JobStatus"], ad.get("ExitCode")) for job, ad in world.history.items()},
        world.handed_in,
        {name: one["state"] for name, one in world.workloads.items()},
        world.written,
    )


async def day(world: World) -> None:
    """One of each kind of end, and one that waits."""
    await turns(world)
    for job in ("1.0", "1.1", "1.2", "1.3"):
        world.become(name_of(job), "running", running=1, placements={"here": 1})
    await turns(world)
    assert {ad["RemoteHost"] for job, ad in world.queue.items() if job < "1.4"} == {"here"}
    world.become(name_of("1.0"), "finished")
    world.become(name_of("1.1"), "failed", message="exit")
    world.codes[name_of("1.1")] = 7
    world.queue["1.2"]["JobStatus"] = 3  # condor_rm
    world.become(name_of("1.3"), "failed", message="its node was lost")
    world.queue["1.4"]["JobStatus"] = 5  # condor_hold
    await turns(world)


async def test_every_end_is_told_in_the_queue() -> None:
    world = World(6)
    await day(world)
    assert {job: (ad["JobStatus"], ad.get("ExitCode")) for job, ad in world.history.items()} == {
        "1.0": (4, 0), "1.1": (4, 7), "1.2": (3, None),
    }  # fmt: skip
    ends = {f"/home/out{n}": f"of {name_of(f'1.{n}')}".encode() for n in (0, 1, 3)}
    assert world.written == {**ends, "/home/err": b""}, "also where no exit status is known"
    assert world.workloads[name_of("1.2")]["state"] == "cancelled"
    assert name_of("1.4") not in world.workloads, "a held job runs nowhere, and may be taken again"
    assert world.queue["1.3"]["JobStatus"] == 5, "no exit status is known: its user has to look at it"
    assert (world.queue["1.5"]["JobStatus"], world.queue["1.5"]["FederatorReason"]) == (1, "no room")


@pytest.mark.parametrize("dies", range(1, 60))
async def test_an_intake_that_is_killed_at_any_call_leaves_no_other_trace(dies: int) -> None:
    whole, cut = World(6), World(6, dies)
    await day(whole)
    await day(cut)
    assert stays(cut) == stays(whole)
    assert set(cut.handed_in.values()) == {1}


async def test_a_job_whose_output_cannot_be_written_is_not_taken_and_says_why() -> None:
    world = World(2)
    world.queue["1.0"]["Out"], world.closed = "/root/out", {"/root"}
    await turns(world)
    assert set(world.workloads) == {name_of("1.1")}
    assert (world.queue["1.0"]["FederatorReason"], world.queue["1.0"].get("Managed")) == ("not into /root", None)


async def test_a_job_ends_with_its_output_or_says_what_became_of_it() -> None:
    """One whose cluster is away waits for it, one that is kept nowhere is told, one that has no room is held."""
    world = World(3)
    await turns(world)
    world.outputs = {name_of("1.0"): OutputLater(), name_of("1.1"): OutputGone()}
    world.closed = {"/home/out2"}
    for job in list(world.queue):
        world.become(name_of(job), "finished")
    await turns(world)
    assert (world.queue["1.0"]["JobStatus"], world.queue["1.2"]["JobStatus"]) == (1, 5)
    assert world.history["1.1"]["FederatorReason"] == "what it wrote is kept nowhere any more"
    world.outputs = {}
    await turns(world)
    assert (world.history["1.0"]["JobStatus"], world.written["/home/out0"]) == (4, b"of ce-1-0-1790000000")


async def test_a_thousand_jobs_that_end_at_once_are_told_so_in_a_few_calls() -> None:
    """128 at a time: their output is written by one process for each owner, then they are edited together."""
    world = World(1000)
    await turns(world, 2, most=5000)
    for job in list(world.queue):
        world.queue[job]["Owner"] = "bob" if job.endswith("7") else "alice"
        world.become(name_of(job), "finished")
    world.asked.clear()
    await turns(world, 1, most=5000)
    assert len(world.history) == 1000
    assert len(world.written) == 1001
    edits = world.asked.pop("edit")
    assert 8 <= edits <= 10, "eight, and where a second begins in between"
    assert world.asked == {"wanted": 1, "together": 16}


async def test_those_that_are_brought_first_do_not_wait_for_all() -> None:
    """The intake dies at the third write of so many: what was brought before has left the queue."""
    world = World(300)
    await turns(world, 2, most=5000)
    for job in list(world.queue):
        world.become(name_of(job), "finished")
    world._calls, world._dies = 0, 200
    await turns(world, 1, most=5000)
    assert len(world.history) == 128
    await turns(world, 2, most=5000)
    assert len(world.history) == 300


async def test_a_long_output_is_written_as_it_comes_and_one_that_breaks_off_later() -> None:
    world = World(3)
    await turns(world, 2)
    for job in list(world.queue):
        world.become(name_of(job), "finished")
    held = 0

    async def long(name: str) -> AsyncIterator[bytes]:
        nonlocal held
        for _ in range(8):
            held += 1
            yield b"x" * 65_536
        if name == name_of("1.1"):
            raise OutputLater

    world.outputs[name_of("1.2")] = OutputLater()
    whole = world.output
    world.output = lambda name: whole(name) if name == name_of("1.2") else long(name)  # type: ignore[method-assign]
    await turns(world, 1)
    assert {path: len(text) for path, text in world.written.items()} == {"/home/out0": 8 * 65_536, "/home/err": 0}
    assert (set(world.history), set(world.queue)) == ({"1.0"}, {"1.1", "1.2"})
    assert (world.asked["write"], held) == (3, 16)


async def test_a_server_is_asked_by_so_many_at_once_and_by_nobody_after_an_error() -> None:
    under_way, most, ended = 0, 0, 0

    async def ask(number: int) -> int:
        nonlocal under_way, most, ended
        under_way += 1
        most = max(most, under_way)
        try:
            await asyncio.sleep(0.001)
            if number == 70:
                raise ConnectionError
            ended += 1
            return number
        finally:
            under_way -= 1

    assert await at_once(ask, range(64)) == list(range(64))
    assert most == 32
    ended = 0
    with pytest.raises(ConnectionError):
        await at_once(ask, range(64, 1000))
    assert (under_way, ended < 64) == (0, True)


async def test_where_nothing_is_to_be_written_jobs_end_without() -> None:
    world = World(1)
    router = Router(Settings("ce"), world, world)
    await router.turn()
    await router.turn()
    world.become(name_of("1.0"), "finished")
    await router.turn()
    assert (set(world.history), world.written) == ({"1.0"}, {})


async def test_a_job_that_was_held_is_taken_again_when_it_is_released() -> None:
    world = World(1)
    await turns(world)
    world.queue["1.0"]["JobStatus"] = 5
    await turns(world)
    assert "Managed" not in world.queue["1.0"]
    world.queue["1.0"]["JobStatus"] = 1
    await turns(world)
    assert world.handed_in[name_of("1.0")] == 2
    assert world.queue["1.0"]["Managed"] == "External"


async def test_what_happens_here_is_heard_and_nothing_is_asked_twice() -> None:
    world = World(2)
    router = Router(Settings("ce"), world, world)
    for _ in range(4):
        await router.turn()
    world.looks = 0
    world.become(name_of("1.0"), "running", running=1, placements={"here": 1})
    for _ in range(4):
        await router.turn()
    assert world.queue["1.0"]["JobStatus"] == 2
    assert world.looks == 2, "once for the news, once after the job was told"


async def test_one_that_is_refused_goes_back_with_the_reason_and_the_others_are_taken() -> None:
    world = World(3)
    world.refuses = {name_of("1.1")}
    await turns(world)
    assert set(world.workloads) == {name_of("1.0"), name_of("1.2")}
    assert (world.queue["1.1"]["FederatorReason"], world.queue["1.1"].get("Managed")) == ("no", None)


async def test_no_more_wait_here_than_may() -> None:
    world = World(10)
    await turns(world, most=4)
    assert len(world.workloads) == 4
    for name in list(world.workloads)[:3]:
        world.become(name, "running", running=1, placements={"here": 1})
    await turns(world, most=4)
    assert len(world.workloads) == 7


@given(st.sampled_from(("waiting", "dispatched", "running", "finished", "failed", "cancelling", "cancelled", "")),
       st.integers(1, 5), st.none() | st.integers(0, 255))  # fmt: skip
def test_nothing_is_done_to_a_job_twice(state: str, status: int, code: int | None) -> None:
    """After an edit of the job has been made there is nothing more to do for the same workload, but what follows it."""
    seen = (
        {"state": state, "running": int(state == "running"), "placements": {"here": 1}, "message": ""}
        if state
        else None
    )
    step = mirror.step(Job({"JobStatus": status}, "w"), seen, 5, code)
    if isinstance(step, mirror.Edit):
        told = {name: None if value == "undefined" else json.loads(value) for name, value in step.attributes}
        after = {"JobStatus": status, **{name: value for name, value in told.items() if value is not None}}
        left_us = told.get("Managed", "") in (None, "ScheddDone")
        assert left_us or mirror.step(Job(after, "w"), seen, 6, code) is None
