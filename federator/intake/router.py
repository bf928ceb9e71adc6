"""The loop of an intake: look at the queue, take what is idle, hand it in, show in the queue what becomes of it.

Nothing is kept but in the two systems. A job is marked as taken before it is handed in, under a name that follows from
the job; so a turn that was cut off anywhere is made good by the next, of this process or of another.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from federator.intake import mirror
from federator.intake.ads import ATTRIBUTES, Job, Unfit, job_of, workload
from federator.intake.bringing import Outcome, at_once, bring
from federator.intake.mirror import Act, Cancel, Delete, Edit, HandIn, Status, Step, View
from federator.intake.sides import Files, QueueAway, Rejected, Schedd, Server

LOG = structlog.get_logger(__name__)
MANAGER = "federator"
ENDS_AT_ONCE = 128
"""Of so many jobs the output is brought before they are told, all at once, that they have ended."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an intake takes, and where to."""

    name: str
    """Begins the names of workloads: plain, and the schedd's own."""
    where: str = "WantFederator =?= true"
    """Which idle jobs are taken, as a ClassAd expression."""
    queue: str = "default"
    """For jobs that do not say FederatorQueue."""
    most_waiting: int = 5000
    """So many taken jobs wait here at most; others stay with their schedd until it is their turn."""
    every_s: float = 2.0


@dataclass(slots=True, eq=False)
class Router:
    """One intake. ``turn`` may be cut off anywhere."""

    settings: Settings
    schedd: Schedd
    server: Server
    files: Files | None = None
    """None: what jobs write stays with the federator."""
    _seen: dict[str, View | None] = field(default_factory=dict)
    """Of the workloads of taken jobs, what was seen last; those to be looked at anew are not in it."""
    _since: str = ""

    @property
    def manager(self) -> str:
        """``ManagedManager`` of what this intake took."""
        return f"{MANAGER}/{self.settings.name}"

    async def run(self) -> None:
        """Turn after turn, until it is cancelled. Whoever does not answer is waited for."""
        trouble = ""
        while True:
            try:
                await self.turn()
                words = ""
            except (QueueAway, ConnectionError) as error:
                words = str(error)
            if words != trouble:
                LOG.warning("waiting", detail=words) if words else LOG.info("going on")
                trouble = words
            await asyncio.sleep(self.settings.every_s)

    async def turn(self) -> None:
        """1 look, 2 take, 3 what both say, 4 what follows from it."""
        taken, idle = await self._look()
        taken += await self._take(idle, taken)
        await self._refresh(taken)
        ending = [job for job in taken if self._has_output_to_bring(job)]
        others = [job for job in taken if not self._has_output_to_bring(job)]
        await self._advance(others, [Outcome()] * len(others))
        for begin in range(0, len(ending), ENDS_AT_ONCE):
            some = ending[begin : begin + ENDS_AT_ONCE]
            assert self.files is not None
            await self._advance(some, await bring(self.files, self.server, some))

    async def _look(self) -> tuple[list[Job], list[Job]]:
        found = await self.schedd.call(
            "wanted", where=self.settings.where, manager=self.manager, attributes=list(ATTRIBUTES),
            most=self.settings.most_waiting,
        )  # fmt: skip
        taken, idle = ([job_of(ad, self.settings.name) for ad in found[key]] for key in ("taken", "idle"))
        return taken, idle

    async def _take(self, idle: Sequence[Job], taken: Sequence[Job]) -> list[Job]:
        """Mark jobs as ours, before anything is done with them."""
        room = self.settings.most_waiting - sum(job.status == Status.IDLE for job in taken)
        fit: list[Job] = []
        checked: set[tuple[str, Path]] = set()
        for job in idle:
            try:
                workload(job, self.settings.name, self.settings.queue)
                await self._check_files(job, checked)
            except Unfit as error:
                await self._leave(job, str(error))
            else:
                fit.append(job)
        mine = fit[: max(0, room)]
        if mine:
            await self._edit(mine, mirror.claim(self.manager, self.settings.name))
            LOG.info("taken", jobs=len(mine), first=mine[0].id)
        return mine

    async def _check_files(self, job: Job, checked: set[tuple[str, Path]]) -> None:
        """Whether what the job writes can be brought to where it belongs. Raises Unfit."""
        if self.files is not None:
            for owner, folder in {(job.owner, path.parent) for path in job.outputs} - checked:
                await self.files.check(owner, folder)
                checked.add((owner, folder))

    async def _leave(self, job: Job, reason: str) -> None:
        """Say why a job stays with its schedd."""
        LOG.warning("not taken", job=job.id, detail=reason)
        await self._edit([job], mirror.left(reason))

    async def _refresh(self, taken: Sequence[Job]) -> None:
        names = {job.workload for job in taken}
        news, self._since = await self.server.changed(self._since)
        self._seen = {name: seen for name, seen in self._seen.items() if name in names and name not in news}
        unseen = sorted(names - self._seen.keys())
        self._seen |= zip(unseen, await at_once(self.server.look, unseen), strict=True)

    def _has_output_to_bring(self, job: Job) -> bool:
        return self.files is not None and bool(job.outputs) and mirror.ends(job, self._seen[job.workload])

    async def _advance(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
        """The next step of each job, those that are alike together."""
        codes = await at_once(self._exit_code, jobs)
        now_s = round(time.time())
        steps: dict[Step, list[Job]] = defaultdict(list)
        for job, outcome, code in zip(jobs, outcomes, codes, strict=True):
            step = self._step(job, outcome, code, now_s)
            if step is not None:
                steps[step].append(job)
        for step, alike in steps.items():
            await self._do(step, alike)

    async def _exit_code(self, job: Job) -> int | None:
        seen = self._seen[job.workload]
        failed = seen is not None and seen["state"] == "failed"
        return await self.server.exit_code(job.workload) if failed else None

    def _step(self, job: Job, outcome: Outcome, code: int | None, now_s: int) -> Step | None:
        if not outcome.settled:
            return None
        if outcome.refused:
            return mirror.not_brought(outcome.refused)
        return mirror.step(job, self._seen[job.workload], now_s, code, outcome.note)

    async def _do(self, step: Step, jobs: Sequence[Job]) -> None:
        match step:
            case Edit():
                await self._edit(jobs, step)
            case Act(verb, reason):
                await self.schedd.call("act", verb=verb, jobs=[job.id for job in jobs], reason=reason)
            case HandIn():
                await self._hand_in(jobs)
            case Cancel():
                for job in jobs:
                    await self.server.cancel(job.workload)
            case Delete():
                for job in jobs:
                    await self.server.delete(job.workload)
        for job in jobs:
            self._seen.pop(job.workload, None)

    async def _edit(self, jobs: Sequence[Job], edit: Edit) -> None:
        await self.schedd.call("edit", jobs=[job.id for job in jobs], attributes=list(edit.attributes))

    async def _hand_in(self, jobs: Sequence[Job]) -> None:
        """All at once; where one of them is refused, one by one, and that one goes back to its schedd."""
        documents = [workload(job, self.settings.name, self.settings.queue) for job in jobs]
        try:
            await self.server.submit(documents)
        except Rejected as error:
            if len(jobs) == 1:
                await self._leave(jobs[0], str(error))
                return
            for job in jobs:
                await self._hand_in([job])
