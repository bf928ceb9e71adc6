"""Keeps the ledger in step with what Slurm lists: ends are written down, jobs of ours found, strays removed."""

from __future__ import annotations

import asyncio
import functools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from federator.clusters.outcomes import Outcomes
from federator.clusters.slurm import merging
from federator.clusters.slurm.files import Files
from federator.clusters.slurm.jobs import Job, Marks, marks_of
from federator.clusters.slurm.ledger import Entry, Ledger, to_text
from federator.clusters.slurm.merging import Seen
from federator.clusters.slurm.records import ENDED, RUNNING, Listing, Task
from federator.clusters.slurm.refusals import Unreachable, no_refusals
from federator.clusters.slurm.settings import SlurmSettings
from federator.clusters.slurm.told import Told
from federator.model.indexset import IndexSet
from federator.model.intent import Failure
from federator.ports import Clock

T = TypeVar("T")


class Transport(Protocol):
    """A way in. Every call may be repeated, and raises Unreachable where Slurm does not answer."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def listing(self) -> Listing: ...
    async def tasks(self) -> tuple[Task, ...]: ...
    async def submit(self, job: Job) -> int: ...
    async def cancel(self, jobs: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Look:
    """One listing, and what it says of each intent that is not gone."""

    listing: Listing
    seen: Mapping[str, Seen]


class Tracker:
    """The intents of one cluster. Its methods take turns where they have to."""

    def __init__(
        self,
        settings: SlurmSettings,
        federation: str,
        transport: Transport,
        files: Files | None,
        clock: Clock,
        outcomes: Outcomes,
    ) -> None:
        """``outcomes`` hears what companions tell of checkpoints."""
        self._settings = settings
        self._federation = federation
        self._transport = transport
        self._files = files
        self._clock = clock
        self._told = Told(files, outcomes, clock)
        self._ledger = Ledger(settings.ledger)
        # One thread: writes of an entry do not overtake each other, and the event loop waits for no disk.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="slurm-ledger")
        self._turn = asyncio.Lock()
        self._number = 0
        self._read = False
        self.listed = False
        """Whether all jobs of ours were seen since we began: whatever an earlier daemon sent is in the ledger."""

    async def open(self) -> None:
        """Read the ledger, if that was not done. Raises OSError."""
        if not self._read:
            await self._in_thread(self._ledger.open)
            self._read = True

    def close(self) -> None:
        """Let go of the disk."""
        self._thread.shutdown(wait=False)

    def entry(self, intent: str) -> Entry | None:
        """What is known of an intent; also of one that is gone."""
        return self._ledger.entries.get(intent)

    def sent(self, entry: Entry, base: int, job: int) -> None:
        """An array was sent; the caller saves the entry."""
        entry.sent[job] = self._number
        if job not in (known := entry.jobs.setdefault(base, [])):
            known.append(job)

    async def save(self, entry: Entry) -> None:
        """Write an entry down. Raises OSError."""
        self._ledger.entries[entry.intent] = entry
        await self._in_thread(functools.partial(self._ledger.write, entry.intent, to_text(entry)))

    async def drop(self, entry: Entry) -> None:
        """Forget an entry. Raises OSError."""
        self._ledger.entries.pop(entry.intent, None)
        await self._in_thread(functools.partial(self._ledger.write, entry.intent, None))

    async def look(self) -> Look:
        """Ask Slurm, and take in what it says. Raises Unreachable, OSError."""
        await self.open()
        async with self._turn:
            self._number += 1
            number = self._number
            listing = await self._asked(self._transport.listing)
            tasks = self._by_intent(listing)
            seen = {}
            for entry in [entry for entry in self._ledger.entries.values() if not entry.gone_s]:
                seen[entry.intent] = one = merging.look(entry, tasks.get(entry.intent, ()), number)
                await self._take_in(entry, one, number)
            self.listed = True
            await self._remove_strays(tasks)
            for entry in self._ledger.outdated(self._clock.now_s()):
                await self.drop(entry)
        live = {name: one for name, one in seen.items() if not self._ledger.entries[name].gone_s}
        return Look(listing, live)

    async def fillers(self, look: Look) -> tuple[list[Task], list[Task]]:
        """What backfill of ours ran at that look, before nodes were listed, and what runs now. Raises Unreachable."""
        listed = look.listing.tasks
        live = [task for task in listed if task.phase != ENDED and (marks := self._marks(task)) and marks.backfill]
        now = await self._asked(self._transport.tasks) if live else ()
        return self._running_fillers(live), self._running_fillers(now)

    def _running_fillers(self, tasks: Iterable[Task]) -> list[Task]:
        ours = ((task, self._marks(task)) for task in tasks if task.phase == RUNNING)
        return [task for task, marks in ours if marks is not None and marks.backfill]

    def _marks(self, task: Task) -> Marks | None:
        return marks_of(self._federation, task.comment)

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                with no_refusals():
                    return await ask()
        except TimeoutError as error:
            raise Unreachable(f"Slurm told nothing within {self._settings.timeout_s:g} s") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unreachable(f"Slurm answered in a form that we do not know: {error!r}") from error

    def _by_intent(self, listing: Listing) -> Mapping[str, list[Task]]:
        """The tasks of our intents; those whose answer was lost, or of a daemon that lost its ledger, are entered."""
        found: dict[str, list[Task]] = defaultdict(list)
        for task in listing.tasks:
            if (marks := self._marks(task)) is None:
                continue
            found[marks.intent].append(task)
            if merging.never_was(task):
                continue
            entry = self._ledger.entries.get(marks.intent) or self._adopted(marks)
            if task.job not in (jobs := entry.jobs.setdefault(marks.base, [])):
                jobs.append(task.job)
            if not entry.told:
                entry.indices |= IndexSet.of(marks.base + number for number in task.tasks)
        return found

    def _adopted(self, marks: Marks) -> Entry:
        now_s = self._clock.now_s()
        known = marks.spec_hash, now_s, marks.size, marks.limit_s, marks.backfill, marks.kept
        entry = Entry(marks.intent, IndexSet(), *known, told=False)
        self._ledger.entries[marks.intent] = entry
        return entry

    async def _take_in(self, entry: Entry, seen: Seen, number: int) -> None:
        await self._recall(entry, seen)
        changed = bool(seen.ended) or not entry.told or (seen.started_s is not None and entry.started_s is None)
        if seen.started_s is not None:
            entry.started_s = min(entry.started_s or seen.started_s, seen.started_s)
        entry.succeeded |= IndexSet.of(index for index, end in seen.ended.items() if end is None)
        entry.failed.update({index: end for index, end in seen.ended.items() if end is not None})
        await self._told.ended(entry, seen.ended)
        young = any(entry.sent.get(job, 0) >= number for jobs in entry.jobs.values() for job in jobs)
        if entry.leaving and not seen.active and not young:
            await self._told.gone(entry)
            entry.gone_s, changed = self._clock.now_s(), True
            entry.succeeded, entry.failed = IndexSet(), {}
            if self._files is not None:
                await self._files.remove(entry.intent)
        if changed:
            await self.save(entry)

    async def _recall(self, entry: Entry, seen: Seen) -> None:
        """What Slurm has forgotten, or believes to have died with its node, may have written its end down.

        Slurm that crashed goes on from a state that is some seconds old: a job that ended in them is then missed at
        its node. What is forgotten and wrote nothing is lost, and nobody's fault.
        """
        words = "Slurm does not know its job any more, and its end was not seen"
        for index in seen.forgotten:
            seen.ended[index] = Failure(index, "Forgotten", words, own_fault=False)
        seen.forgotten.clear()
        doubtful = [index for index, end in seen.ended.items() if end is not None and not end.own_fault]
        if not doubtful or self._files is None:
            return
        ends = await self._files.ends(entry.intent)
        for index in doubtful:
            if (end := ends.get(index)) is None:
                continue
            if end.code:
                ran_s = end.ended_s - end.began_s
                seen.ended[index] = merging.failure_of(index, end.code, ran_s, entry.limit_s)
            else:
                seen.ended[index] = None

    async def _remove_strays(self, tasks: Mapping[str, list[Task]]) -> None:
        """Cancel again what should have left: a cancel was lost, or a job turned up after it."""
        strays: list[str] = []
        for intent, listed in tasks.items():
            entry = self._ledger.entries.get(intent)
            for task in listed if entry is not None else ():
                if entry is None or task.phase == ENDED or task.state == "COMPLETING":
                    continue
                base = next((base for base, jobs in entry.jobs.items() if task.job in jobs), 0)
                leaves = entry.leaving or bool(entry.gone_s)
                leaves = leaves or merging.starts_again(entry, task)
                strays += [f"{task.job}_{n}" for n in task.tasks if leaves or base + n in entry.withdrawn]
        if strays:
            await self.cancel(strays)

    async def cancel(self, names: Sequence[str]) -> None:
        """Have Slurm end these jobs and tasks. Raises Unreachable."""
        with no_refusals():
            await self._transport.cancel(names)

    async def _in_thread(self, function: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, function)
