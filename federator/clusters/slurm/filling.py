"""Whether Slurm ends backfill by itself when others need its room, and what is free if it does. Pure.

By partition Slurm tells most of it; by quality of service (QOS) neither slurmctld nor slurmrestd does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from federator.clusters.slurm.flavors import usable_partitions
from federator.clusters.slurm.records import RUNNING, Listing, Node, Task
from federator.clusters.slurm.settings import SlurmSettings

_STAYS = ("OFF", "SUSPEND", "GANG", "WITHIN")
"""Words for modes in which a job that makes room does not end."""


def why_not(listing: Listing, settings: SlurmSettings) -> str:
    """Why the cluster is not filled; empty: it is."""
    name = settings.backfill_partition
    if not name:
        return "" if settings.backfill_qos else "neither backfillPartition nor backfillQos is given"
    ours = usable_partitions(listing, settings.partitions)
    fills = next((one for one in listing.partitions if one.name == name), None)
    if fills is None:
        return f"there is no partition {name}"
    if not fills.up:
        return f"partition {name} starts no jobs"
    if any(word in fills.preempt for word in _STAYS):
        return f"jobs of partition {name} do not end for others (PreemptMode {fills.preempt}; CANCEL or REQUEUE do)"
    above = [one.name for one in listing.partitions if one.name in ours and one.tier <= fills.tier]
    if above:
        return f"the PriorityTier of {', '.join(above)} is not above that of {name}"
    outside = [node.name for node in listing.nodes if set(ours) & set(node.partitions) and name not in node.partitions]
    return f"{len(outside)} nodes ({outside[0]} ...) are not in partition {name}" if outside else ""


def without(listing: Listing, fillers: Iterable[Task]) -> Listing:
    """The listing as if these tasks did not run: what they use is free for production."""
    cpus: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    gpus: Counter[str] = Counter()
    for task in fillers:
        if task.phase == RUNNING:
            cpus[task.node] += task.cpus
            memory[task.node] += task.memory_mib
            gpus[task.node] += task.gpus

    def less(node: Node) -> Node:
        return replace(
            node,
            used_cpus=max(0, node.used_cpus - cpus[node.name]),
            used_memory_mib=max(0, node.used_memory_mib - memory[node.name]),
            used_gpus=max(0, node.used_gpus - gpus[node.name]),
        )

    return replace(listing, nodes=tuple(less(node) if node.name in cpus else node for node in listing.nodes))
