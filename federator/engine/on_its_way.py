"""What clusters have been sent and have not bound to a node yet: its room is taken before anybody else gets it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federator.engine.arrays import Array
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.model.plan import Snapshot
from federator.model.workload import Workload


def bind_what_is_on_its_way(snapshot: Snapshot, federation: Federation, queue: Sequence[Workload]) -> None:
    """Take that room, kind by kind, in the order in which the kinds first stand in the queue."""
    unbound: dict[tuple[int, int], tuple[Eligibility, Array]] = {}
    concerned = {holding.workload for holding in snapshot.holdings if holding.unbound or holding.leaving_unbound}
    for workload in queue if concerned else ():
        if workload.name not in concerned:
            continue
        for role in workload.roles:
            holdings = [h for h in federation.holdings(workload.name, role.name) if h.unbound or h.leaving_unbound]
            if not holdings:
                continue
            eligibility = federation.feasibility.of(workload, role, federation.governing.rule(workload), ())
            for holding in holdings:
                for until, replicas in federation.on_its_way(workload, holding):
                    key = id(eligibility), until
                    if key not in unbound:
                        unbound[key] = eligibility, np.zeros(len(federation.names), dtype=np.int64)
                    unbound[key][1][federation.index[holding.cluster]] += replicas
    for (_, until), (eligibility, counts) in unbound.items():
        if counts.any():
            federation.hold_unbound(eligibility, counts, until)
