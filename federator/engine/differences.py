"""What a plan changes: the workloads that are to have something else than they have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import chain

from federator.model.plan import Placement, Plan, Snapshot


def differences(
    seen: Snapshot, made: Plan, always: Collection[str] = frozenset()
) -> Iterator[tuple[str, list[Placement]]]:
    """Those workloads of the snapshot, with all that each should have; those of ``always`` even if nothing differs."""
    wanted: defaultdict[str, list[Placement]] = defaultdict(list)
    for placement in made.wanted:
        wanted[placement.workload].append(placement)
    held: defaultdict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    for holding in seen.holdings:
        if holding.replicas:
            held[holding.workload][holding.role, holding.cluster] = holding.replicas
    planned = {one.name for one in seen.workloads} | {one.name for one in seen.fillers}
    for name in dict.fromkeys(chain(always, wanted, held)):
        if name in planned:
            should = wanted.get(name, [])
            if name in always or held.get(name, {}) != {(p.role, p.cluster): p.replicas for p in should}:
                yield name, should
