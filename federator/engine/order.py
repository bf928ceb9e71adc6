"""The order of service: who is asked first where work should run."""

from __future__ import annotations

from federator.model.plan import Snapshot
from federator.model.workload import Workload


def in_order(snapshot: Snapshot) -> tuple[Workload, ...]:
    """All workloads: by the priority of their queue, then their own (larger first), then first come, then name."""
    priority = {queue.name: queue.priority for queue in snapshot.queues}
    return tuple(
        sorted(
            snapshot.workloads,
            key=lambda workload: (
                -priority.get(workload.queue, 0),
                -workload.priority,
                workload.submitted_at_s,
                workload.name,
            ),
        )
    )
