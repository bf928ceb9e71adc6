"""Carries out an order: makes its objects, or changes a service to match it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.addresses import Addresses
from federator.clusters.kubernetes.cache import Cache
from federator.clusters.kubernetes.client import Json, KubernetesClient
from federator.clusters.kubernetes.discovery import Capabilities, counts_failures_by_index, object_path
from federator.clusters.kubernetes.errors import ApiError, refusal
from federator.clusters.kubernetes.flavors import affinity_terms
from federator.clusters.kubernetes.objects import DEPLOYMENT, JOB, Kind, ObjectRecord
from federator.clusters.kubernetes.priorities import Priorities
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.clusters.kubernetes.templates import Facts
from federator.clusters.kubernetes.translate import kind_of, manifests, template_hash
from federator.clusters.kubernetes.writes import Writes
from federator.model.intent import Order
from federator.model.workload import Lifetime
from federator.ports import Clock, OrderRefused

ASK_AGAIN_S = 600.0


class Submission:
    """Submits to one cluster. What it has learnt of the cluster's namespaces and rights it remembers."""

    def __init__(
        self,
        cluster: str,
        settings: KubernetesSettings,
        client: KubernetesClient,
        writes: Writes,
        priorities: Priorities,
        addresses: Addresses,
        cache: Cache,
        clock: Clock,
        federation: str,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._client = client
        self._writes = writes
        self._priorities = priorities
        self._addresses = addresses
        self._cache = cache
        self._federation = federation
        self._namespaces: set[str] = set()
        self._clock = clock
        self._per_index: bool | None = None
        self._ask_again_s = 0.0

    async def submit(self, order: Order, capabilities: Capabilities) -> Kind:
        """Make the cluster run the order; returns the kind of its objects. Raises OrderRefused."""
        kind = kind_of(order)
        if kind not in capabilities.kinds:
            raise OrderRefused("NotFound", f"the cluster has no {kind[1]} of {kind[0]}", permanent=True)
        namespace = self.namespace(order)
        known = namespace in self._namespaces
        try:
            try:
                await self._carry_out(order, kind, namespace, capabilities)
            except ApiError as error:
                if error.status != 404 or not known:
                    raise
                # The namespace was there once; if it has been removed since, it is made again.
                self._namespaces.discard(namespace)
                await self._carry_out(order, kind, namespace, capabilities)
        except ApiError as error:
            raise refusal(error) from error
        return kind

    def namespace(self, order: Order) -> str:
        """Where the order's objects live."""
        if order.namespace:
            return order.namespace
        return names.dns_label(order.queue) if self._settings.namespace_per_queue else self._settings.namespace

    # -- one step each ---------------------------------------------------------

    async def _carry_out(self, order: Order, kind: Kind, namespace: str, capabilities: Capabilities) -> None:
        if order.lifetime is Lifetime.SERVICE and await self._rescaled(order, kind, namespace, capabilities):
            return
        await self._ready(namespace)
        wanted = manifests(order, await self._facts(order, kind, namespace))
        collection = capabilities.path(kind, namespace)
        if order.lifetime is Lifetime.SERVICE:
            self._cache.keep(await self._writes.apply(collection, wanted[0]), kind)
        else:
            await self._create(order, collection, wanted, kind)

    async def _create(self, order: Order, collection: str, wanted: list[Json], kind: Kind) -> None:
        """Make what is not there yet. The first object goes ahead, so that what is wrong with all is said once."""
        known = self._cache.intents.get(order.intent.id)
        there = {record.name for record in known.objects.values() if not record.deleting} if known else set()
        if order.attempt is not None:
            self._addresses.can_reach(order, order.attempt)
            there = set()  # an earlier try may have made a Job and not its Secret
        missing = [manifest for manifest in wanted if manifest["metadata"]["name"] not in there]
        if not missing:
            return

        async def make(manifest: Json) -> None:
            made = await self._writes.create(collection, manifest)
            self._cache.keep(made, kind)
            if order.attempt is not None:
                await self._addresses.give(made)

        await make(missing[0])
        outcomes = await asyncio.gather(*(make(manifest) for manifest in missing[1:]), return_exceptions=True)
        # Each was tried; a later try has less to do. Of several troubles the most lasting is told.
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if errors:
            raise min(errors, key=_lasting)

    async def _rescaled(self, order: Order, kind: Kind, namespace: str, capabilities: Capabilities) -> bool:
        """Where only a service's number (or nothing) has changed, change that alone: its pods must not roll.

        A whole apply could roll them, because the cluster's flavors shape the template too.
        """
        record = self._live(order.intent.id, kind)
        if record is None or kind != DEPLOYMENT or record.template_hash != template_hash(order):
            return False
        count = len(order.intent.indices)
        if record.spec_hash == order.spec_hash and record.replicas == count:
            return True
        notes = {names.SPEC_HASH: order.spec_hash, names.INDICES: str(order.intent.indices)}
        patch = {"metadata": {"annotations": notes}, "spec": {"replicas": count}}
        try:
            self._cache.keep(await self._writes.change(capabilities.path(kind, namespace, record.name), patch), kind)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def _live(self, intent: str, kind: Kind) -> ObjectRecord | None:
        known = self._cache.intents.get(intent)
        records: Iterable[ObjectRecord] = known.objects.values() if known else ()
        return next((record for record in records if record.kind == kind and not record.deleting), None)

    async def _facts(self, order: Order, kind: Kind, namespace: str) -> Facts:
        if kind == JOB and len(order.intent.indices) > 1 and self._per_index is None:
            await self._ask_for_per_index(namespace)
        try:
            affinity = affinity_terms(order.flavors, self._cache.flavors()) if order.flavors else ()
        except KeyError as error:
            raise OrderRefused("FlavorUnknown", f"the cluster has no flavor {error} now", permanent=False) from None
        return Facts(
            federation=self._federation,
            namespace=namespace,
            per_index=bool(self._per_index),
            priority_class=self._priorities.of(order),
            affinity=affinity,
        )

    async def _ask_for_per_index(self, namespace: str) -> None:
        """An answer is kept; where there was none (a policy may refuse the probe) it is asked for now and then."""
        if self._clock.now_s() >= self._ask_again_s:
            self._ask_again_s = self._clock.now_s() + ASK_AGAIN_S
            self._per_index = await counts_failures_by_index(self._client, namespace)

    # -- what must be there first ------------------------------------------------

    async def _ready(self, namespace: str) -> None:
        """Make the namespace if it is missing and we may; otherwise the order's own refusal will tell."""
        if namespace in self._namespaces:
            return
        path = object_path("v1", "namespaces", name=namespace)
        try:
            await self._client.call("GET", path)
        except ApiError as error:
            if error.status == 404:
                await self._make_namespace(namespace)
        self._namespaces.add(namespace)

    async def _make_namespace(self, namespace: str) -> None:
        manifest: Json = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {names.FEDERATION: names.label_value(self._federation)}},
        }
        try:
            await self._writes.call("POST", object_path("v1", "namespaces"), body=manifest)
        except ApiError as error:
            if error.status == 403:
                detail = f"namespace {namespace} is missing and may not be made: {error.message}"
                raise OrderRefused("NotFound", detail, permanent=True) from error
            if error.status != 409:
                raise


def _lasting(error: BaseException) -> tuple[bool, bool]:
    """Orders troubles: what we do not understand first, then what is for ever, then what passes."""
    if isinstance(error, ApiError):
        return True, not refusal(error).permanent
    return isinstance(error, OrderRefused), isinstance(error, OrderRefused) and not error.permanent
