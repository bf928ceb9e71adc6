"""Secrets with what carries checkpoints: one for each Job that keeps any, with addresses that stay good."""

from __future__ import annotations

import json
import logging

from federator.clusters import companions
from federator.clusters.kubernetes import keeping
from federator.clusters.kubernetes.cache import Cache
from federator.clusters.kubernetes.client import Json, KubernetesClient
from federator.clusters.kubernetes.discovery import object_path
from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.objects import JOB, ObjectRecord
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.clusters.kubernetes.writes import Writes
from federator.model.checkpoints import RENEW_S, Attempt, Sign, attempt
from federator.model.intent import Order
from federator.ports import Clock, ClusterUnreachable, OrderRefused

log = logging.getLogger(__name__)
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
VERBS = ("create", "get", "patch")
AGAIN_S = 30.0
"""After addresses could not be written."""


class Addresses:
    """Of one cluster."""

    def __init__(
        self,
        cluster: str,
        settings: KubernetesSettings,
        client: KubernetesClient,
        writes: Writes,
        cache: Cache,
        clock: Clock,
        sign: Sign,
    ) -> None:
        self._cluster, self._settings = cluster, settings
        self._client, self._writes = client, writes
        self._cache, self._clock, self._sign = cache, clock, sign
        self._next_s: dict[str, float] = {}
        """By Job, when its addresses are given anew."""
        self.why_not = "not asked yet"
        """Why no checkpoints are kept here; empty: they are."""

    async def ask(self) -> None:
        """Find out whether Secrets may be made. Raises ApiError and ClusterUnreachable."""
        namespace = "" if self._settings.namespace_per_queue else self._settings.namespace
        lacking = [verb for verb in VERBS if not await self._may(verb, namespace)]
        where = f"in namespace {namespace}" if namespace else "in all namespaces"
        why_not = f"it may not {', '.join(lacking)} Secrets {where}" if lacking else ""
        if why_not and why_not != self.why_not:
            log.warning("cluster %s: no checkpoints are kept: %s", self._cluster, why_not)
        self.why_not = why_not

    async def _may(self, verb: str, namespace: str) -> bool:
        attributes = {"namespace": namespace, "verb": verb, "resource": "secrets"}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        try:
            answer = await self._client.call(
                "POST", REVIEWS, body={**review, "spec": {"resourceAttributes": attributes}}
            )
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            return False
        return bool((answer.get("status") or {}).get("allowed"))

    def can_reach(self, order: Order, one: Attempt) -> None:
        """Raises OrderRefused where nobody here can reach what an order's replicas keep."""
        companions.errands(one, order.intent.indices.first(1), self._sign)

    async def give(self, job: Json) -> None:
        """A Job that was made, or found made, has its Secret. Raises ApiError, OrderRefused and ClusterUnreachable."""
        now_s = self._clock.now_s()
        secret = keeping.secret(job, self._sign, now_s)
        made = await self._writes.create(object_path("v1", "secrets", job["metadata"]["namespace"]), secret)
        if made.get("data") == secret["data"]:  # else it is of an earlier try, and who knows how old
            self._next_s[job["metadata"]["uid"]] = now_s + RENEW_S

    async def renew(self) -> None:
        """Give new addresses to all that has not ended, where it is time, one after another. What cannot be written is
        tried again."""
        now_s, jobs = self._clock.now_s(), self._cache.objects(JOB).rows
        self._next_s = {uid: at_s for uid, at_s in self._next_s.items() if uid in jobs}
        for job in [one for one in jobs.values() if self._due(one, now_s)]:
            self._next_s[job.uid] = now_s + await self._renew(job)

    def _due(self, job: ObjectRecord, now_s: float) -> bool:
        live = job.attempt and not job.deleting and job.verdict is None
        return bool(live) and now_s >= self._next_s.get(job.uid, 0.0)

    async def _renew(self, job: ObjectRecord) -> float:
        """In how many seconds to look again."""
        if not companions.is_signed(attempt(json.loads(job.attempt))):
            return RENEW_S
        try:
            patch = keeping.renewed(job.attempt, job.indices, self._sign, self._clock.now_s())
            await self._writes.change(object_path("v1", "secrets", job.namespace, keeping.secret_name(job.name)), patch)
        except (ApiError, ClusterUnreachable, OrderRefused) as error:
            log.warning(
                "cluster %s: addresses of checkpoints of %s were not renewed: %s", self._cluster, job.name, error
            )
            return AGAIN_S
        return RENEW_S
