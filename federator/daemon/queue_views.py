"""Queues and cohorts as JSON-able values, in the shapes that ``Service`` promises. Pure reading."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from federator.daemon.snapshots import Snapshots
from federator.daemon.state import State
from federator.daemon.views import source_of
from federator.documents.budget import write_budget, write_cost
from federator.engine.answer import share_document
from federator.model.budget import Cost
from federator.model.plan import QueueShare
from federator.model.policy import Cohort, Queue
from federator.model.resources import Resources, in_base_units

Views = dict[str, dict[str, Any]]


def queues(state: State, snapshots: Snapshots, shares: Mapping[str, QueueShare]) -> Views:
    """All queues by name, declared or merely used; ``shares`` are those of the last plan."""
    declared = {queue.name: queue for queue in state.queues}
    spent = {one.queue: one.cost for one in state.snapshot.spent}
    by_state: dict[str, dict[str, int]] = defaultdict(dict)
    for (name, word), count in sorted(snapshots.states.items()):
        by_state[name][word] = count
    views: Views = {}
    for name in sorted({*declared, *by_state}):
        queue = declared.get(name, Queue(name))
        views[name] = {
            "name": name,
            "weight": queue.weight,
            "priority": queue.priority,
            "cohort": queue.cohort,
            "source": source_of(state, "Queue", name) if name in declared else "used, not declared",
            "workloads": by_state.get(name, {}),
            "used": in_base_units(Resources.of(snapshots.used.get(name, {}))),
            "quota": _amounts(queue.quota),
            **share_document(shares.get(name, QueueShare(name))),
        }
        if queue.budget is not None:
            views[name] |= {"budget": write_budget(queue.budget), "spent": write_cost(spent.get(name, Cost()))}
    return views


def cohorts(state: State, shares: Mapping[str, QueueShare]) -> Views:
    """All cohorts by name, declared or merely named."""
    declared = {cohort.name: cohort for cohort in state.cohorts}
    inside: dict[str, list[str]] = defaultdict(list)
    for queue in sorted(state.queues, key=lambda queue: queue.name):
        inside[queue.cohort].append(queue.name)
    views: Views = {}
    for name, parent in sorted(state.cohort_parents.items()):
        cohort, share = declared.get(name, Cohort(name)), shares.get(name, QueueShare(name))
        views[name] = {
            "name": name,
            "parent": parent,
            "weight": cohort.weight,
            "source": source_of(state, "Cohort", name) if name in declared else "named, not declared",
            "queues": inside.get(name, []),
            "used": in_base_units(share.used),
            "quota": _amounts(cohort.quota),
            **share_document(share),
        }
    return views


def _amounts(limits: Resources | None) -> dict[str, float]:
    """A limit of zero is told, other than no limit."""
    return in_base_units(dict(limits.items_)) if limits is not None else {}
