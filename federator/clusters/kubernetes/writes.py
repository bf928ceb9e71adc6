"""Writes to a cluster, at its pace: every one may be repeated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.client import Json, KubernetesClient
from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.pace import TokenBucket
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.ports import Clock, OrderRefused

log = logging.getLogger(__name__)
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
# Deleting many in one call: forbidden, unknown, or too many for the time the server gives itself.
ONE_BY_ONE = (403, 405, 504)


class Writes:
    """Creates, applies, changes and deletes, within the cluster's rate and concurrency."""

    def __init__(self, settings: KubernetesSettings, client: KubernetesClient, clock: Clock) -> None:
        self._client = client
        self._bucket = TokenBucket(settings.qps, settings.burst, clock)
        self._gate = asyncio.Semaphore(settings.concurrency)
        self._can_apply = True

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """One write. Raises ApiError and ClusterUnreachable."""
        async with self._gate:
            await self._bucket.turn()
            return await self._client.call(method, path, query=query, body=body, content_type=content_type)

    async def create(self, collection: str, manifest: Json) -> Json:
        """Make the object, or find it made already by an earlier try. Raises OrderRefused for someone else's."""
        try:
            return await self.call("POST", collection, query={"fieldManager": names.MANAGER}, body=manifest)
        except ApiError as error:
            if error.status != 409 or error.reason != "AlreadyExists":
                raise
        try:
            there = await self._client.call("GET", f"{collection}/{manifest['metadata']['name']}")
        except ApiError as error:
            if error.status != 404:
                raise
            raise OrderRefused("Conflict", "an earlier copy has just been removed", permanent=False) from error
        if not is_ours(there, manifest):
            name = manifest["metadata"]["name"]
            raise OrderRefused("Conflict", f"{name} exists at the cluster and is not this intent's", permanent=True)
        if "deletionTimestamp" in there["metadata"]:
            raise OrderRefused("Conflict", "an earlier copy is still being removed", permanent=False)
        return there

    async def apply(self, collection: str, manifest: Json) -> Json:
        """Make the object, or change it to what the manifest says; by server-side apply where the server has it."""
        path = f"{collection}/{manifest['metadata']['name']}"
        if self._can_apply:
            try:
                query = {"fieldManager": names.MANAGER, "force": "true"}
                return await self.call("PATCH", path, query=query, body=manifest, content_type=APPLY)
            except ApiError as error:
                if error.status != 415:
                    raise
                log.info("the server has no server-side apply (%s); writing whole objects instead", error.message)
                self._can_apply = False
        return await self._put(collection, path, manifest)

    async def _put(self, collection: str, path: str, manifest: Json) -> Json:
        there = await self.create(collection, manifest)
        if manifest["metadata"]["annotations"].items() <= (there["metadata"].get("annotations") or {}).items():
            return there
        version = {"resourceVersion": there["metadata"]["resourceVersion"]}
        whole = {**manifest, "metadata": {**manifest["metadata"], **version}}
        return await self.call("PUT", path, query={"fieldManager": names.MANAGER}, body=whole)

    async def change(self, path: str, patch: Json) -> Json:
        """Change some fields of an object."""
        return await self.call("PATCH", path, query={"fieldManager": names.MANAGER}, body=patch, content_type=MERGE)

    async def delete(self, path: str, *, uid: str = "", grace_s: float | None = None) -> None:
        """Delete an object, and in the background what it owns; one that is gone, or replaced, is left alone."""
        options = _deletion(grace_s)
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self.call("DELETE", path, body=options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def delete_all(self, collection: str, selector: str, *, grace_s: float | None = None) -> bool:
        """Delete all objects of a collection that the selector finds, in one call; False where that cannot be."""
        try:
            await self.call("DELETE", collection, query={"labelSelector": selector}, body=_deletion(grace_s))
        except ApiError as error:
            if error.status in ONE_BY_ONE:
                return False
            raise
        return True


def _deletion(grace_s: float | None) -> Json:
    options: Json = {"propagationPolicy": "Background"}
    if grace_s is not None:
        options["gracePeriodSeconds"] = max(0, round(grace_s))
    return options


def is_ours(there: Json, manifest: Json) -> bool:
    """Whether the object at the cluster is what the manifest would have made: same intent, same workload."""
    mine, its = manifest["metadata"], there["metadata"]
    same_intent = (its.get("labels") or {}).get(names.INTENT) == mine["labels"][names.INTENT]
    uid = names.WORKLOAD_UID
    return bool(same_intent and (its.get("annotations") or {}).get(uid) == mine["annotations"][uid])
