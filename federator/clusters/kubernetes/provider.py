"""One Kubernetes cluster as the daemon sees it. The parts do the work; here they are put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from random import Random

from federator.clusters.kubernetes.addresses import Addresses
from federator.clusters.kubernetes.cache import Cache
from federator.clusters.kubernetes.client import KubernetesClient
from federator.clusters.kubernetes.discovery import Capabilities, discover
from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.logs import replica_logs
from federator.clusters.kubernetes.priorities import Priorities
from federator.clusters.kubernetes.removal import Removal
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.clusters.kubernetes.submission import Submission
from federator.clusters.kubernetes.translate import kind_of
from federator.clusters.kubernetes.watches import Watches
from federator.clusters.kubernetes.writes import Writes
from federator.clusters.outcomes import Outcomes, uncounted
from federator.model import backfill, checkpoints
from federator.model.checkpoints import Sign
from federator.model.indexset import IndexSet
from federator.model.intent import Observation, Order
from federator.ports import Clock, ClusterUnreachable

log = logging.getLogger(__name__)
# Kinds come and go with operators that are installed.
DISCOVER_S = 600.0
DISCOVER_AGAIN_S = 5.0
RENEW_LOOK_S = 10.0


class KubernetesProvider:
    """Implements ``ports.ClusterProvider`` for one API server.

    ``federation`` marks what is ours: several federators may share a cluster. Each request has the deadline
    ``settings.timeout_s``; an order of many Jobs takes, beyond that, the time its rate (``qps``) asks for.
    """

    def __init__(
        self,
        name: str,
        settings: KubernetesSettings,
        *,
        clock: Clock,
        random: Random,
        federation: str,
        kept: Callable[[str, int], None] = uncounted,
        sign: Sign = checkpoints.plain,
    ) -> None:
        """``kept`` counts so many checkpoints by what became of them."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._outcomes = Outcomes(name, kept, before=True)
        self._cache = Cache(federation, self._outcomes)
        self._client = KubernetesClient(name, settings, clock)
        self._writes = Writes(settings, self._client, clock)
        self._watches = Watches(name, settings, self._client, self._cache, clock, random, federation)
        self._priorities = Priorities(name, settings, self._client, self._writes)
        self._addresses = Addresses(name, settings, self._client, self._writes, self._cache, clock, sign)
        self._submission = Submission(
            name,
            settings,
            self._client,
            self._writes,
            self._priorities,
            self._addresses,
            self._cache,
            clock,
            federation,
        )
        self._removal = Removal(self._client, self._writes, self._cache)
        self._capabilities: Capabilities | None = None
        self._swept = False
        self._trouble: ClusterUnreachable | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin to watch, and wait for the first lists. After a failure it goes on trying by itself."""
        if not self._tasks:
            self._watches.start()
            self._tasks = [
                asyncio.create_task(self._discovering(), name=f"{self.name}: discovery"),
                asyncio.create_task(self._sweeping(), name=f"{self.name}: removal"),
                asyncio.create_task(self._renewing(), name=f"{self.name}: addresses"),
            ]
        await self._discovered()
        await self._watches.first_sync()

    async def observe(self) -> Observation:
        """What the cluster has and runs, from the cache; raises ClusterUnreachable where that cannot be believed."""
        self._cache.changed.clear()
        if self._capabilities is None:
            raise self._trouble or ClusterUnreachable(self.name, "has not told yet what it has")
        self._watches.check()
        self._outcomes.before = False
        why_not = self._addresses.why_not
        limits = None if self._settings.namespace_per_queue else self._cache.limits(self._settings.namespace)
        return Observation(
            cluster=self.name,
            at_s=self._clock.now_s(),
            flavors=self._cache.flavors(),
            foreign=self._cache.foreign(),
            limits=limits,
            intents=self._cache.observed(),
            abilities=self._capabilities.abilities | self._abilities(),
            version=self._capabilities.version + (f"; keeps no checkpoints: {why_not}" if why_not else ""),
        )

    async def changed(self) -> None:
        """Return when something changed since the last ``observe`` began."""
        await self._cache.changed.wait()

    async def submit(self, order: Order) -> None:
        """Make the cluster run the order. Raises OrderRefused and ClusterUnreachable."""
        capabilities = await self._discovered()
        if kind_of(order) not in capabilities.kinds:
            # It may have been installed since we asked.
            capabilities = self._capabilities = await self._ask()
        kind = await self._submission.submit(order, capabilities)
        self._watches.follow_kind(kind, capabilities.kinds[kind].plural)

    async def cancel(self, intent_id: str, grace_s: float = 30.0, indices: IndexSet | None = None) -> None:
        """Remove what the cluster has of the intent, or only some of its replicas."""
        capabilities = await self._discovered()
        self._removal.kinds = capabilities.kinds
        try:
            if indices is None:
                await self._removal.remove(intent_id, grace_s)
            else:
                await self._removal.withdraw(intent_id, indices, grace_s)
        except ApiError as error:
            raise ClusterUnreachable(self.name, f"does not remove {intent_id}: {error}") from error

    async def logs(
        self, intent_id: str, index: int, *, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """The output of one replica, in pieces. Raises NoLogs."""
        self._watches.check()
        pieces = replica_logs(
            self._client, self._cache, intent_id, index,
            follow=follow, tail_lines=tail_lines, timeout_s=self._settings.timeout_s,
        )  # fmt: skip
        async for piece in pieces:
            yield piece

    async def close(self) -> None:
        """Stop watching. What runs goes on running."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._watches.stop()
        await self._client.close()

    # -- inside ------------------------------------------------------------

    def _abilities(self) -> set[str]:
        """Those that hang on what we may make at the cluster."""
        fills, keeps = self._priorities.fills, not self._addresses.why_not
        return ({backfill.ABILITY} if fills else set()) | ({checkpoints.ABILITY} if keeps else set())

    async def _discovered(self) -> Capabilities:
        if self._capabilities is None:
            try:
                self._capabilities = await self._ask()
            except ClusterUnreachable as error:
                self._trouble = error
                raise
        return self._capabilities

    async def _ask(self) -> Capabilities:
        """Ask the server what it has. Each request has its deadline; how many it takes is the server's affair."""
        try:
            found = await discover(self._client)
            await self._priorities.ask()
            await self._addresses.ask()
            if not self._swept:
                await self._watches.sweep(found)
                self._swept = True
        except ApiError as error:
            raise ClusterUnreachable(self.name, f"does not tell what it has: {error}") from error
        return found

    async def _discovering(self) -> None:
        """Ask again what there is: soon while nothing is known, now and then afterwards."""
        while True:
            await self._clock.sleep(DISCOVER_S if self._capabilities else DISCOVER_AGAIN_S)
            try:
                self._capabilities = await self._ask()
            except ClusterUnreachable as error:
                self._trouble = error

    async def _sweeping(self) -> None:
        """What is on its way out is seen to its end."""
        while True:
            await self._clock.sleep(1.0)
            try:
                await self._removal.tend()
            except (ApiError, ClusterUnreachable) as error:
                log.info("cluster %s: removing pods: %s", self.name, error)

    async def _renewing(self) -> None:
        """What keeps checkpoints in buckets has addresses that are good."""
        while True:
            await self._clock.sleep(RENEW_LOOK_S)
            await self._addresses.renew()
