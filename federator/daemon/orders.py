"""From an intent to the order that a cluster is sent: everything it needs, and nothing of the daemon's own."""

from __future__ import annotations

import hashlib
import json

from federator.daemon.snapshots import as_cluster
from federator.daemon.state import Live, State
from federator.engine.feasibility import allowed_flavors
from federator.model.checkpoints import Attempt
from federator.model.intent import WHOLE, Intent, Order
from federator.model.workload import Role
from federator.ports import Clock


class Orders:
    """Makes orders from what the state says now."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    def order(self, intent: Intent) -> Order | None:
        """The order for an intent; None if its workload or its cluster is no longer known."""
        live = self._state.workloads.get(intent.workload)
        if live is None or intent.cluster not in self._state.members:
            return None
        workload = live.spec.workload
        roles = tuple(role for role in workload.roles if intent.role in (WHOLE, role.name))
        queue = next((q for q in self._state.queues if q.name == workload.queue), None)
        return Order(
            intent=intent,
            lifetime=workload.lifetime,
            roles=roles,
            queue=workload.queue,
            namespace=queue.namespace if queue else "",
            container=None if live.spec.manifest is not None else live.spec.containers[intent.role],
            manifest=live.spec.manifest,
            labels=workload.labels,
            flavors=self._flavors(live, intent, roles),
            time_limit_s=workload.duration_s if live.spec.enforce_duration else None,
            priority=workload.priority,
            backfill=workload.backfill,
            grace_s=self._state.grace_s(workload.name),
            checkpoint_every_s=workload.checkpoint_every_s,
            inputs=frozenset(one.name for one in workload.inputs),
            attempt=attempt_of(live, intent),
            spec_hash=spec_hash(live),
        )

    def _flavors(self, live: Live, intent: Intent, roles: tuple[Role, ...]) -> tuple[str, ...]:
        """The only flavors that may be used, as far as the workload restricts them itself; empty: any."""
        restricted = [r for r in roles if r.flavors.selector.requirements or r.flavors.where]
        if not restricted:
            return ()
        cluster = as_cluster(self._state, self._state.members[intent.cluster], self._clock.now_s())
        names = [set(allowed_flavors(live.spec.workload, role, cluster)) for role in restricted]
        return tuple(sorted(set.intersection(*names)))


def attempt_of(live: Live, intent: Intent) -> Attempt | None:
    """What its replicas go on from, and keep; None where nothing is kept for them."""
    kept = live.spec.checkpoints
    if kept is None:
        return None
    return Attempt.of(kept, intent.id, intent.indices, live.record.tried.get(intent.role, {}))


def spec_hash(live: Live) -> str:
    """Changes whenever what a replica runs changes; another number of replicas alone does not change it."""
    spec = dict(live.record.document.get("spec", {}))
    spec.pop("replicas", None)
    return hashlib.sha256(json.dumps(spec, sort_keys=True, default=str).encode()).hexdigest()[:16]
