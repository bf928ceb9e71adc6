"""From queues and cohorts back to documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from federator.documents.budget import write_budget, write_cost
from federator.documents.quantities import format_duration, format_quantity, format_resources
from federator.documents.written import Raw, document_of
from federator.model.budget import Spent
from federator.model.policy import BILLIONTHS, Cohort, Queue, QueueUsage


def queue_document(queue: Queue, usage: QueueUsage | None = None, spent: Spent | None = None) -> Raw:
    """A Queue document, with what the queue used lately and what it has spent where that is given."""
    spec: Raw = {
        "priority": queue.priority or None,
        "cohort": queue.cohort,
        **_sharing(queue),
        "halfLife": format_duration(queue.half_life_s),
        "namespace": queue.namespace,
        "budget": write_budget(queue.budget),
        "clusterQuota": {name: format_resources(limits) for name, limits in sorted(queue.cluster_quota.items())},
    }
    observed: Raw = {}
    if usage is not None:
        observed |= _lately(usage)
    if spent is not None:
        observed["spent"] = write_cost(spent.cost)
    spec["observed"] = observed
    return document_of("Queue", queue.name, spec)


def with_usage(
    documents: Iterable[Mapping[str, Any]], usage: Iterable[QueueUsage], spent: Iterable[Spent]
) -> list[Mapping[str, Any]]:
    """The documents, those of queues with what was seen of them; queues that were seen and have none get one."""
    seen = {one.queue: _lately(one) for one in usage}
    for one in spent:
        seen[one.queue] = {"spent": write_cost(one.cost)} | seen.get(one.queue, {})
    written: list[Mapping[str, Any]] = []
    for document in documents:
        if document.get("kind") == "Queue":
            spec = document.get("spec") or {}
            observed = seen.pop(document["metadata"]["name"], {})
            spec = {key: value for key, value in spec.items() if key != "observed"}
            document = {**document, "spec": {**spec, **({"observed": observed} if observed else {})}}
        written.append(document)
    return [*written, *(document_of("Queue", name, {"observed": observed}) for name, observed in sorted(seen.items()))]


def _lately(usage: QueueUsage) -> Raw:
    return {"lately": {name: format_quantity(Fraction(amount, BILLIONTHS)) for name, amount in usage.lately.items_}}


def cohort_document(cohort: Cohort) -> Raw:
    """A Cohort document."""
    return document_of("Cohort", cohort.name, {"parent": cohort.parent, **_sharing(cohort)})


def _sharing(one: Queue | Cohort) -> Raw:
    limits = {"quota": one.quota, "borrowingLimit": one.borrowing_limit, "lendingLimit": one.lending_limit}
    return {"weight": one.weight, **{key: format_resources(some) for key, some in limits.items() if some is not None}}
