"""Removes what a cluster has of an intent, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import inf

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.cache import Cache
from federator.clusters.kubernetes.client import KubernetesClient
from federator.clusters.kubernetes.discovery import KindInfo, object_path
from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.objects import DEPLOYMENT, JOB, Kind, ObjectRecord
from federator.clusters.kubernetes.pods import PodRecord
from federator.clusters.kubernetes.writes import Writes
from federator.model.indexset import IndexSet

# From so many objects on one call for all of them is cheaper.
MANY = 4
PLURALS = {JOB: "jobs", DEPLOYMENT: "deployments"}


class Removal:
    """Removes intents, or some replicas of them, from one cluster."""

    def __init__(self, client: KubernetesClient, writes: Writes, cache: Cache) -> None:
        self._client = client
        self._writes = writes
        self._cache = cache
        self.kinds: Mapping[Kind, KindInfo] = {}
        self._leaving: dict[str, tuple[IndexSet | None, float]] = {}
        """By intent: which of its replicas (None: all) go, and with how much grace."""

    async def remove(self, intent: str, grace_s: float) -> None:
        """Ask for the removal of everything. Raises ApiError and ClusterUnreachable."""
        known = self._cache.intents.get(intent)
        records = list(known.objects.values()) if known else []
        if not records:
            # The answer to making it may have been lost, and the watch be late: the cluster itself must say.
            records = await self._ask(intent)
        pods = list(known.pods.values()) if known else []
        await self._remove_objects(intent, [record for record in records if not record.deleting])
        self._leaving[intent] = None, grace_s
        # Pods follow their owners by themselves; help where there is none.
        await self._remove_pods([pod for pod in pods if pod.ours is not None and not pod.ours.owned], grace_s)

    async def withdraw(self, intent: str, indices: IndexSet, grace_s: float) -> None:
        """Ask for the removal of some replicas of a batch intent, for good."""
        known = self._cache.intents.get(intent)
        records = list(known.objects.values()) if known else await self._ask(intent)
        jobs = [record for record in records if record.kind == JOB and not record.deleting]
        if all(not (job.indices - job.withdrawn - indices) for job in jobs):
            await self.remove(intent, grace_s)
            return
        whole = [job for job in jobs if not job.indices - indices]
        parts = [job for job in jobs if job.indices - indices and job.indices & indices]
        await self._remove_objects("", whole)
        for job in parts:
            await self._mark(job, job.withdrawn | (job.indices & indices))
        await self.sweep(intent, grace_s)
        before, _ = self._leaving.get(intent, (IndexSet(), 0.0))
        gone = IndexSet.join(r for job in whole for r in job.indices.ranges)
        self._leaving[intent] = None if before is None else before | gone, grace_s

    async def tend(self) -> None:
        """Hurry the pods that go, and delete those that a Job made for replicas already withdrawn."""
        await self._hurry()
        for intent, known in list(self._cache.intents.items()):
            if any(job.withdrawn for job in known.objects.values()):
                await self.sweep(intent)

    async def _hurry(self) -> None:
        """Shorten the grace of pods that the cluster has asked to go.

        Not sooner: while their owner's controller does not know that the owner is gone, it makes new ones for them.
        """
        for intent, (indices, grace_s) in list(self._leaving.items()):
            known = self._cache.intents.get(intent)
            if known is None:
                del self._leaving[intent]
                continue
            pods = [pod for pod in known.pods.values() if pod.ours and (indices is None or pod.ours.index in indices)]
            slow = [pod for pod in pods if pod.deleting and not pod.ended and round(grace_s) < _grace(pod)]
            await self._remove_pods(slow, grace_s)

    async def sweep(self, intent: str, grace_s: float = inf) -> None:
        """Delete the pods of withdrawn replicas, those too that their Job makes after the withdrawal.

        Their end counts against that index only, and the Job does not try it again.
        """
        known = self._cache.intents.get(intent)
        if known is None:
            return
        withdrawn = IndexSet.join(r for job in known.objects.values() for r in job.withdrawn.ranges)
        going = [
            pod
            for pod in known.pods.values()
            if pod.ours is not None and pod.ours.index in withdrawn and not pod.ended and not pod.deleting
        ]
        await self._remove_pods(going, grace_s)

    # -- inside ------------------------------------------------------------

    async def _ask(self, intent: str) -> list[ObjectRecord]:
        found: list[ObjectRecord] = []
        for kind, plural in PLURALS.items():
            try:
                listed = await self._client.call(
                    "GET", object_path(kind[0], plural), query={"labelSelector": f"{names.INTENT}={intent}"}
                )
            except ApiError as error:
                if error.status != 403:
                    raise
                continue  # we may look into our own namespace only, and the watch does
            found += [r for raw in listed.get("items") or () if (r := self._cache.read_object(raw, kind)) is not None]
        return found

    async def _remove_objects(self, intent: str, records: Iterable[ObjectRecord]) -> None:
        places: dict[tuple[Kind, str], list[ObjectRecord]] = defaultdict(list)
        for record in records:
            places[record.kind, record.namespace].append(record)
        for (kind, namespace), group in places.items():
            plural = PLURALS.get(kind) or self.kinds[kind].plural
            at_once = bool(intent) and len(group) >= MANY
            collection = object_path(kind[0], plural, namespace)
            if not (at_once and await self._writes.delete_all(collection, f"{names.INTENT}={intent}")):
                await asyncio.gather(*(self._writes.delete(f"{collection}/{r.name}", uid=r.uid) for r in group))
            for record in group:
                self._cache.leaving(record)

    async def _remove_pods(self, pods: Iterable[PodRecord], grace_s: float) -> None:
        """Ask pods to go, each with no more grace than it has already."""
        await asyncio.gather(
            *(self._writes.delete(_path(pod), uid=pod.uid, grace_s=min(grace_s, _grace(pod))) for pod in pods)
        )

    async def _mark(self, job: ObjectRecord, withdrawn: IndexSet) -> None:
        """Write onto the Job which of its replicas are to go, so that it is known after a restart too."""
        path = object_path(job.kind[0], "jobs", job.namespace, job.name)
        try:
            raw = await self._writes.change(path, {"metadata": {"annotations": {names.WITHDRAWN: str(withdrawn)}}})
        except ApiError as error:
            if error.status != 404:
                raise
            return
        self._cache.keep(raw, JOB)


def _path(pod: PodRecord) -> str:
    return object_path("v1", "pods", pod.namespace, pod.name)


def _grace(pod: PodRecord) -> float:
    return pod.ours.grace_s if pod.ours is not None else 0.0
