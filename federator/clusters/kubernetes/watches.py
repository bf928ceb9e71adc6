"""All that is followed at one cluster, and whether it can be believed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.cache import Cache
from federator.clusters.kubernetes.client import KubernetesClient
from federator.clusters.kubernetes.discovery import Capabilities, answer_if_any, few_at_once, object_path
from federator.clusters.kubernetes.objects import DEPLOYMENT, JOB, Kind
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.clusters.kubernetes.table import Row
from federator.clusters.kubernetes.watch import ListWatch
from federator.ports import Clock, ClusterUnreachable

log = logging.getLogger(__name__)

PLURALS = {JOB: "jobs", DEPLOYMENT: "deployments"}
# Kinds that nobody's workload is, though they can be made in a namespace: not worth asking for.
SWEPT_GROUPS_NOT = frozenset(
    {
        "", "events.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "authorization.k8s.io", "networking.k8s.io",
        "policy", "rbac.authorization.k8s.io", "autoscaling", "storage.k8s.io",
    }
)  # fmt: skip


class Watches:
    """The tasks that keep the cache of one cluster right, and a probe that notices silence."""

    def __init__(
        self, cluster: str, settings: KubernetesSettings, client: KubernetesClient, cache: Cache, clock: Clock,
        random: Random, federation: str,
    ) -> None:  # fmt: skip
        self._cluster = cluster
        self._settings = settings
        self._client = client
        self._cache = cache
        self._clock = clock
        self._random = random
        self._ours = {"labelSelector": f"{names.FEDERATION}={names.label_value(federation)}"}
        self._tasks: list[asyncio.Task[None]] = []
        self._kinds: dict[Kind, ListWatch[Any]] = {}
        self._needed: list[ListWatch[Any]] = []
        self._stirred = asyncio.Event()
        self._silent: ClusterUnreachable | None = None

    def start(self) -> None:
        """Begin to follow nodes, pods, our Jobs and Deployments, quotas, and what hinders Jobs."""
        cache = self._cache
        self._needed = [
            self._follow(["/api/v1/nodes"], cache.nodes, cache.read_node),
            self._follow(["/api/v1/pods"], cache.pods, cache.read_pod),
            *(self.follow_kind(kind, plural) for kind, plural in PLURALS.items()),
        ]
        self._follow(self._scopes("v1", "resourcequotas"), cache.quotas, cache.read_quota)
        hindered = {"fieldSelector": "reason=FailedCreate,involvedObject.kind=Job"}
        self._follow(self._scopes("v1", "events"), _NoTable(), self._hear, hindered)
        self._tasks.append(asyncio.create_task(self._probe(), name=f"{self._cluster}: probe"))

    def follow_kind(self, kind: Kind, plural: str) -> ListWatch[Any]:
        """Follow our objects of a kind from now on (at most one watch for each kind)."""
        if kind not in self._kinds:
            read = partial(self._cache.read_object, kind=kind)
            paths = self._scopes(kind[0], plural)
            self._kinds[kind] = self._follow(paths, self._cache.objects(kind), read, self._ours)
        return self._kinds[kind]

    async def sweep(self, capabilities: Capabilities) -> None:
        """Find the users' own kinds that we have objects of, from before a restart, and follow them."""

        async def look(kind: Kind) -> None:
            path = object_path(kind[0], capabilities.kinds[kind].plural)
            # What we may not list we cannot have made.
            found = await answer_if_any(self._client, path, {**self._ours, "limit": "1"})
            if found.get("items"):
                self.follow_kind(kind, capabilities.kinds[kind].plural)

        unknown = [kind for kind in capabilities.kinds if kind not in self._kinds]
        await few_at_once(look, [kind for kind in unknown if kind[0].rpartition("/")[0] not in SWEPT_GROUPS_NOT])

    async def first_sync(self) -> None:
        """Return when the first lists are complete. Raises ClusterUnreachable when they cannot be had.

        Each page has its deadline. All of them have none: a large cluster's take as long as they take.
        """
        while not all(watch.synced.is_set() for watch in self._needed):
            for watch in self._needed:
                if watch.trouble is not None:
                    raise self._cannot(watch)
            self._stirred.clear()
            await self._stirred.wait()

    def check(self) -> None:
        """Raise ClusterUnreachable unless the cache can be believed."""
        now_s, limit_s = self._clock.now_s(), self._settings.timeout_s
        answered_s = self._client.answered_s
        for watch in self._needed:
            hopeless = watch.failing_s is not None and now_s - watch.failing_s > limit_s
            if watch.trouble is not None and (hopeless or not watch.synced.is_set()):
                raise self._cannot(watch)
            if not watch.synced.is_set():
                raise ClusterUnreachable(self._cluster, f"has not told what is at {watch.path} yet")
        if answered_s is None or now_s - answered_s > limit_s:
            troubles = (self._silent, *(watch.trouble for watch in self._needed))
            known = next((t.detail for t in troubles if isinstance(t, ClusterUnreachable)), "")
            raise ClusterUnreachable(self._cluster, known or f"silent for more than {limit_s:g} s")

    async def stop(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._kinds.clear()

    # -- inside ------------------------------------------------------------

    def _follow(
        self, paths: list[str], table: Any, read: Any, query: Mapping[str, str] | None = None
    ) -> ListWatch[Any]:
        watch: ListWatch[Any] = ListWatch(
            self._client, paths, table, read,
            clock=self._clock, random=self._random, query=query, on_change=self._stir,
        )  # fmt: skip
        self._tasks.append(asyncio.create_task(watch.follow(), name=f"{self._cluster}: {paths[0]}"))
        return watch

    def _scopes(self, api_version: str, plural: str) -> list[str]:
        """Everywhere if we may, else in our namespace."""
        everywhere = object_path(api_version, plural)
        if self._settings.namespace_per_queue:
            return [everywhere]
        return [everywhere, object_path(api_version, plural, self._settings.namespace)]

    def _hear(self, raw: Mapping[str, Any]) -> None:
        self._cache.hear(raw)

    def _stir(self) -> None:
        self._stirred.set()
        # A cluster that went away is news as well.
        self._cache.changed.set()

    async def _probe(self) -> None:
        """A quiet cluster is asked for a sign of life; after an outage every watch begins anew."""
        interval_s = self._settings.timeout_s / 4
        while True:
            await self._clock.sleep(interval_s)
            answered_s = self._client.answered_s
            if answered_s is not None and self._clock.now_s() - answered_s < interval_s and self._silent is None:
                continue
            try:
                await self._client.answers()
            except ClusterUnreachable as error:
                self._silent = error
                self._stir()
                continue
            if self._silent is not None:
                self._silent = None
                log.info("cluster %s answers again", self._cluster)
                for watch in (*self._needed, *self._kinds.values()):
                    watch.refresh()
                self._stir()

    def _cannot(self, watch: ListWatch[Any]) -> ClusterUnreachable:
        trouble = watch.trouble
        if isinstance(trouble, ClusterUnreachable):
            return ClusterUnreachable(self._cluster, trouble.detail)
        assert trouble is not None
        if trouble.status == 403:
            cure = "give its user the rights in docs/kubernetes.md"
            return ClusterUnreachable(
                self._cluster, f"forbidden to list and watch {watch.path}: {trouble.message}; {cure}"
            )
        return ClusterUnreachable(self._cluster, f"cannot list or watch {watch.path}: {trouble}")


class _NoTable:
    """For what is only heard and not kept."""

    def put(self, row: Row) -> None:
        raise AssertionError("readers of what is not kept return nothing")

    def drop(self, uid: str, last: Row | None = None, *, buried: bool = True) -> None:
        """Nothing was kept."""

    def replace(self, rows: list[Row], version: str) -> None:
        """Nothing is kept."""
