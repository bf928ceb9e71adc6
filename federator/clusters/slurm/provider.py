"""The provider of Slurm clusters: what the daemon asks, answered from one listing at a time and the ledger."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from federator.clusters.outcomes import Outcomes, uncounted
from federator.clusters.slurm import filling, jobs, logs, merging
from federator.clusters.slurm import flavors as shapes
from federator.clusters.slurm.addresses import Addresses
from federator.clusters.slurm.commands import Commands, CommandTransport
from federator.clusters.slurm.files import Files, Mounted, OverCommands
from federator.clusters.slurm.ledger import Entry
from federator.clusters.slurm.records import ENDED, RUNNING, WAITING
from federator.clusters.slurm.refusals import NoNode, Unreachable
from federator.clusters.slurm.rest import RestTransport
from federator.clusters.slurm.settings import SlurmSettings
from federator.clusters.slurm.tracking import Look, Tracker, Transport
from federator.model import checkpoints
from federator.model.backfill import ABILITY
from federator.model.checkpoints import Sign, plain
from federator.model.indexset import IndexSet
from federator.model.intent import Observation, Order
from federator.model.resources import Resources
from federator.ports import Clock, ClusterUnreachable, NoLogs, OrderRefused

ABILITIES = frozenset({"container", "process", checkpoints.ABILITY})
_LOOK_S = 0.1


class SlurmProvider:
    """Sends intents to Slurm as job arrays.

    What it has sent and seen is in the ledger on the daemon's disk before it is told. A call whose answer is lost is
    looked for in Slurm, by the comments of jobs, before it is repeated.
    """

    def __init__(
        self,
        name: str,
        settings: SlurmSettings,
        *,
        clock: Clock,
        federation: str,
        transport: Transport | None = None,
        kept: Callable[[str, int], None] = uncounted,
        sign: Sign = plain,
    ) -> None:
        """``transport``: instead of the way in that the settings name. ``kept`` counts so many checkpoints by what
        became of them; ``sign``: their addresses."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._federation = federation
        usual, self._files = ways_in(settings, clock)
        self._transport = transport or usual
        outcomes = Outcomes(name, kept)
        self._tracker = Tracker(settings, federation, self._transport, self._files, clock, outcomes)
        self._sign = sign
        self._addresses = Addresses(name, self._files, sign)
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._latest: Look | None = None
        self._news = True

    async def open(self) -> None:
        """Read the ledger. Slurm itself is asked by ``observe``."""
        with self._unreachable():
            await self._transport.open()
            await self._tracker.open()

    async def observe(self) -> Observation:
        """What the cluster has and runs now."""
        self._news = False
        now_s = self._clock.now_s()
        look = await self._look()
        await self._addresses.renew(self._tracker, look.seen, now_s)
        usable = {node.name for node in look.listing.nodes if node.usable}
        unfilled = filling.why_not(look.listing, self._settings)
        with self._unreachable():
            before, after = await self._tracker.fillers(look)
        intents = {}
        ours, running = Resources(), [*after]
        for name, seen in look.seen.items():
            entry = self._tracker.entry(name)
            if entry is None or (not entry.jobs and not entry.refused):
                continue  # nothing of it was sent
            intents[name] = merging.observed(entry, seen, usable)
            if not entry.backfill:
                running += seen.active.values()
        for task in running:
            if task.phase == RUNNING and task.node in usable:
                pieces = task.cpus, task.memory_mib, task.gpus
                ours = ours + shapes.amounts(*pieces, self._settings.gpu_resource)
        nodes = look.listing if unfilled else filling.without(look.listing, before, after)
        told = f"; not filled: {unfilled}" if unfilled and self._settings.backfill_partition else ""
        return Observation(
            cluster=self.name,
            at_s=now_s,
            flavors=shapes.flavors_of(nodes, self._settings),
            foreign=(shapes.used_by_all(look.listing, self._settings) - ours).floor(),
            intents=intents,
            abilities=ABILITIES if unfilled else ABILITIES | {ABILITY},
            version=f"Slurm {look.listing.version}{told}",
        )

    async def changed(self) -> None:
        """Return after something was sent or cancelled, or when it is time to ask Slurm again."""
        since_s = self._clock.now_s()
        while not self._news and self._clock.now_s() - since_s < self._settings.poll_s:
            await self._clock.sleep(_LOOK_S)

    async def submit(self, order: Order) -> None:
        """Send what was not sent yet of the order. Raises OrderRefused, for ``Cancelled`` ids too."""
        with self._unreachable():
            async with self._turn_of(order.intent.id):
                await self._tracker.open()
                await self._send(order)
        self._news = True

    async def cancel(self, intent_id: str, grace_s: float = 30.0, indices: IndexSet | None = None) -> None:
        """Remove an intent, or some replicas of it. Between SIGTERM and SIGKILL Slurm leaves them its ``KillWait``."""
        with self._unreachable():
            async with self._turn_of(intent_id):
                await self._tracker.open()
                if not self._tracker.listed:
                    await self._tracker.look()
                entry = self._tracker.entry(intent_id)
                if entry is None or entry.gone_s:
                    return
                before = entry.leaving, entry.withdrawn
                # Known before it is asked for, so that no look takes what follows for the cluster's doing.
                entry.leaving = entry.leaving or indices is None
                entry.withdrawn |= (indices or IndexSet()) & entry.indices
                try:
                    await self._tracker.cancel(_names(entry, indices))
                except Unreachable:
                    entry.leaving, entry.withdrawn = before
                    raise
                await self._tracker.save(entry)
        self._news = True

    async def logs(
        self, intent_id: str, index: int, *, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """Output and errors of one replica, in pieces. Raises NoLogs."""
        entry = self._tracker.entry(intent_id)
        if entry is None or entry.gone_s or index not in entry.indices:
            raise NoLogs(f"replica {index} of {intent_id} is not here (any more)")
        if self._files is None:
            raise NoLogs("the cluster's directory cannot be seen from here: give mountedAt, or command")

        async def phase() -> str:
            seen = (await self._look()).seen.get(intent_id)
            if seen is not None and index in seen.active:
                return seen.active[index].phase
            return WAITING if seen is not None and index in seen.unknown else ENDED

        pieces = logs.pieces(self._files, phase, self._clock, intent_id, index, follow, tail_lines)
        with self._unreachable():
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        """Let go. What runs goes on running."""
        await self._transport.close()
        self._tracker.close()

    async def _look(self) -> Look:
        with self._unreachable():
            self._latest = await self._tracker.look()
        return self._latest

    async def _send(self, order: Order) -> None:
        entry = self._tracker.entry(order.intent.id)
        if entry is not None and (entry.leaving or entry.gone_s):
            raise OrderRefused("Cancelled", f"{order.intent.id} was cancelled before", permanent=True)
        look = self._latest
        if look is None or (entry is not None and _incomplete(entry, order)):
            # It may have been sent, by us or by a daemon before us: found, it is not sent again.
            self._latest = look = await self._tracker.look()
            entry = self._tracker.entry(order.intent.id)
        if entry is not None:
            size = entry.size
        else:
            size = min(self._settings.array_size, jobs.KEPT_AT_ONCE) if order.attempt else self._settings.array_size
        self._addresses.can_reach(order)
        partitions = shapes.usable_partitions(look.listing, self._settings.partitions)
        flavors = shapes.flavors_of(look.listing, self._settings)
        where, now_s = (flavors, partitions, size), self._clock.now_s()
        wanted = jobs.jobs_of(order, self._settings, self._federation, *where, self._sign, now_s)
        if entry is None:
            known = order.spec_hash, now_s, size, order.time_limit_s, order.backfill, order.attempt is not None
            entry = Entry(order.intent.id, IndexSet(), *known)
        entry.attempt = order.attempt.to_json() if order.attempt else None
        if not entry.told or not entry.jobs:
            entry.told = True
            entry.indices |= order.intent.indices - order.intent.withdrawn
            await self._tracker.save(entry)
        for job in wanted:
            if job.base not in entry.jobs and job.base not in entry.refused:
                await self._send_one(entry, job)

    async def _send_one(self, entry: Entry, job: jobs.Job) -> None:
        try:
            self._tracker.sent(entry, job.base, await self._transport.submit(job))
        except NoNode as error:
            entry.refused[job.base] = f"Slurm: {error}"
        except OrderRefused:
            if not entry.jobs and not entry.refused:
                await self._tracker.drop(entry)
            raise
        await self._tracker.save(entry)

    def _turn_of(self, intent_id: str) -> asyncio.Lock:
        for name in [name for name, lock in self._turns.items() if name != intent_id and not lock.locked()]:
            del self._turns[name]
        return self._turns[intent_id]

    @contextmanager
    def _unreachable(self) -> Iterator[None]:
        try:
            yield
        except Unreachable as error:
            raise ClusterUnreachable(self.name, str(error)) from error
        except OSError as error:
            raise ClusterUnreachable(self.name, f"its ledger or its directory: {error}") from error


def _incomplete(entry: Entry, order: Order) -> bool:
    wanted = jobs.bases_of(order.intent.indices - order.intent.withdrawn, entry.size)
    return any(base not in entry.jobs and base not in entry.refused for base, _ in wanted)


def _names(entry: Entry, indices: IndexSet | None) -> list[str]:
    """What to cancel: whole arrays, or tasks of them."""
    if indices is None:
        return [str(job) for ids in entry.jobs.values() for job in ids]
    names = []
    for base, some in jobs.bases_of((indices & entry.indices) - entry.ended, entry.size):
        names += [f"{job}_{index - base}" for job in entry.jobs.get(base, ()) for index in some]
    return names


def ways_in(settings: SlurmSettings, clock: Clock) -> tuple[Transport, Files | None]:
    """How Slurm is reached, and where what replicas leave is seen."""
    mounted = Mounted(settings.mounted_at, settings.timeout_s) if settings.mounted_at else None
    if settings.command is None:
        return RestTransport(settings, clock), mounted
    commands = Commands(settings.command, settings.timeout_s)
    return CommandTransport(commands), mounted or OverCommands(commands, settings.directory)
