"""Whether Slurm ends backfill by itself when others need its room, and what is free if it does. Pure.

By partition Slurm tells most of it; by quality of service (QOS) neither slurmctld nor slurmrestd does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from federator.clusters.slurm.flavors import usable_partitions
from federator.clusters.slurm.records import Listing, Node, Task
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


def without(listing: Listing, before: Iterable[Task], after: Iterable[Task]) -> Listing:
    """The listing as if our fillers did not run: what they use is free for production.

    ``before``, ``after``: those that ran when jobs were listed, and those that ran when nodes had been listed too. On a
    node where they are not the same nobody knows whose use it shows: free of it is what they hold now, and no more.
    """
    were, are = _by_node(before), _by_node(after)

    def less(node: Node) -> Node:
        tasks = are[node.name].values()
        cpus, memory_mib = sum(task.cpus for task in tasks), sum(task.memory_mib for task in tasks)
        gpus = sum(task.gpus for task in tasks)
        if were[node.name].keys() != are[node.name].keys():
            node = replace(node, used_cpus=node.cpus, used_memory_mib=node.memory_mib, used_gpus=node.gpus)
        return replace(
            node,
            used_cpus=max(0, node.used_cpus - cpus),
            used_memory_mib=max(0, node.used_memory_mib - memory_mib),
            used_gpus=max(0, node.used_gpus - gpus),
        )

    return replace(listing, nodes=tuple(map(less, listing.nodes)))


def _by_node(tasks: Iterable[Task]) -> Mapping[str, dict[tuple[int, str], Task]]:
    found: dict[str, dict[tuple[int, str], Task]] = defaultdict(dict)
    for task in tasks:
        found[task.node][task.job, str(task.tasks)] = task
    return found
