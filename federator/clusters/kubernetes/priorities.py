"""The PriorityClasses of our pods, by which the cluster itself decides who gives way to whom.

Work of queues has value 0, as pods without a class have, and may displace what is below: of pods of others only those
that somebody gave a negative priority. Backfill is far below, and displaces nothing.
"""

from __future__ import annotations

import logging

from federator.clusters.kubernetes.client import Json, KubernetesClient
from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.clusters.kubernetes.writes import Writes
from federator.model.intent import Order

log = logging.getLogger(__name__)
PATH = "/apis/scheduling.k8s.io/v1/priorityclasses"
WORK = 0
# Below -10, where a cluster autoscaler adds no nodes for a pod, nor keeps one because of it.
BACKFILL = -1000
NEVER = "Never"


class Priorities:
    """What one cluster lets us have of them; asked now and then."""

    def __init__(self, cluster: str, settings: KubernetesSettings, client: KubernetesClient, writes: Writes) -> None:
        self._cluster, self._settings = cluster, settings
        self._client, self._writes = client, writes
        self._work: Json = {}
        self._backfill: Json = {}
        self._said: set[str] = set()

    async def ask(self) -> None:
        """Find both classes, and make what is missing. Raises ApiError and ClusterUnreachable."""
        self._work = await self._find(self._settings.priority_class, WORK, "Work that the federator places")
        fills = "Backfill of the federator: gives way to everything else"
        self._backfill = await self._find(self._settings.backfill_priority_class, BACKFILL, fills, NEVER)
        if self._work.get("preemptionPolicy") == NEVER:
            what = f"PriorityClass {_name(self._work)} never displaces anything: the cluster is not filled"
            self._say(f"{what}; leave 'priorityClass' out, or name one that does")

    @property
    def fills(self) -> bool:
        """Whether the cluster ends backfill by itself when work of queues needs its room."""
        if not self._backfill or self._work.get("preemptionPolicy") == NEVER:
            return False
        return int(self._backfill.get("value") or 0) < min(0, int(self._work.get("value") or 0))

    def of(self, order: Order) -> str:
        """The class of an order's pods; empty: none."""
        return _name(self._backfill if order.backfill else self._work)

    async def _find(self, name: str, value: int, description: str, policy: str = "PreemptLowerPriority") -> Json:
        """The class of this name, made if it is missing; empty where the cluster does not let us."""
        if not name:
            return {}
        manifest: Json = {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "preemptionPolicy": policy,
            "description": description,
        }
        try:
            try:
                return await self._client.call("GET", f"{PATH}/{name}")
            except ApiError as error:
                if error.status not in (403, 404):
                    raise
                return await self._writes.call("POST", PATH, body=manifest)
        except ApiError as error:
            if error.status == 409:
                return manifest  # somebody made it meanwhile, or we may not read it
            if error.status not in (400, 403, 404, 422):
                raise
            self._say(f"PriorityClass {name} cannot be made ({error.message}); going without")
            return {}

    def _say(self, words: str) -> None:
        """Once each."""
        if words not in self._said:
            self._said.add(words)
            log.warning("cluster %s: %s", self._cluster, words)


def _name(found: Json) -> str:
    return str(found["metadata"]["name"]) if found else ""
