"""The order of service: who is asked first where work should run.

Backfill comes last. The larger priority of the queue comes first, then heads that stay, then the workload's own
priority, then what the order says, then first come, then name. ``fair`` and ``fit`` are no fixed orders: they are found
as work is admitted (see ``fair_service`` and ``open_service``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log10
from operator import attrgetter
from typing import TypeVar

from federator.documents.expressions import workload_variables
from federator.engine.constraints import condition
from federator.model.plan import Snapshot
from federator.model.policy import Planning
from federator.model.resources import CPU
from federator.model.workload import Workload

T = TypeVar("T")

FIFO, FAIR, FIT = "fifo", "fair", "fit"
FOUND = (FAIR, FIT)
"""Orders that are found as work is admitted."""
Place = tuple[float | str, ...]
"""By what workloads are sorted into the order of service."""
_FINE = 10**9
"""Logarithms are compared as whole numbers of this fineness, so that every machine sees the same order."""


def in_order(snapshot: Snapshot) -> tuple[Workload, ...]:
    """All workloads in the order of service; as ``fifo`` where the order is found as work is admitted."""
    return tuple(sorted_by(snapshot.workloads, *_parts(snapshot)))


def sorted_by(values: Sequence[T], *parts: Callable[[T], float | str]) -> list[T]:
    """Sorted by the first part, those alike in that by the next, and so on. The same as by tuples of the parts, but
    many times quicker where most values are alike in most."""
    order: Sequence[int] = range(len(values))
    for part in reversed(parts):
        keys = [part(value) for value in values]
        if keys and keys.count(keys[0]) < len(keys):
            order = sorted(order, key=keys.__getitem__)
    return [values[at] for at in order]


def place_in_line(snapshot: Snapshot) -> Callable[[Workload], Place]:
    """By what workloads are sorted, the first to be served first: no two are alike."""
    parts = _parts(snapshot)
    return lambda workload: tuple([part(workload) for part in parts])


def rank(snapshot: Snapshot) -> Callable[[Workload], Place]:
    """What comes before the order: workloads of one rank are equals, which the order tells apart."""
    parts = _rank(snapshot)
    return lambda workload: tuple([part(workload) for part in parts])


def _parts(snapshot: Snapshot) -> tuple[Callable[[Workload], float | str], ...]:
    """By what workloads are sorted: where one part is the same for two, the next decides."""
    key, planning = ORDERS.get(snapshot.planning.order, _by_expression), snapshot.planning
    order = (lambda workload: key(workload, planning), attrgetter("submitted_at_s"), attrgetter("name"))
    return *_rank(snapshot), *order


def _rank(snapshot: Snapshot) -> tuple[Callable[[Workload], float], ...]:
    priority = {queue.name: queue.priority for queue in snapshot.queues}
    heads = {head.workload for head in snapshot.heads}
    return (
        attrgetter("backfill"),
        lambda workload: -priority.get(workload.queue, 0),
        lambda workload: workload.name not in heads,
        lambda workload: -workload.priority,
    )


def _first_come(workload: Workload, planning: Planning) -> float:
    return 0.0


def _shortest(workload: Workload, planning: Planning) -> float:
    """The shortest expected run time first."""
    return planning.unknown_duration_s if workload.duration_s is None else workload.duration_s


def _f1(workload: Workload, planning: Planning) -> float:
    """F1 = log10(run time) x cores + 870 x log10(submit time), the smallest first (RLScheduler, SC'20)."""
    cores = sum(role.requests[CPU] * role.replicas for role in workload.roles)
    run = round(log10(max(1.0, _shortest(workload, planning))) * _FINE)
    submitted = round(log10(max(1.0, workload.submitted_at_s)) * _FINE)
    return run * cores + 870_000 * submitted


def _by_expression(workload: Workload, planning: Planning) -> float:
    """What the expression gives, the smallest first; where it gives nothing, as if it gave 0."""
    return condition(planning.order).number(workload_variables(workload))[0] or 0


ORDERS: Mapping[str, Callable[[Workload, Planning], float]] = {
    FIFO: _first_come,
    FAIR: _first_come,
    FIT: _first_come,
    "shortest": _shortest,
    "f1": _f1,
}
