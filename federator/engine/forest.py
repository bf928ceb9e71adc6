"""Queues and cohorts as trees: who stands below whom.

Quotas, shares and preemption all walk the same paths, so they share these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from federator.model.policy import Cohort, Queue

NOBODY = -1
"""The parent of a node at the top."""


@dataclass(frozen=True, slots=True)
class Forest:
    """All queues and cohorts, each a number. Cohorts come first, both by name, so one set makes one forest.

    ``paths`` are from the top down to the node itself; ``children`` are sorted.
    """

    nodes: tuple[Queue | Cohort, ...]
    parents: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]
    children: tuple[tuple[int, ...], ...]
    tops: tuple[int, ...]
    queues: Mapping[str, int]

    def below(self, parent: int) -> tuple[int, ...]:
        """Those that compete for what ``parent`` has; the tops compete for the federation (parent NOBODY)."""
        return self.tops if parent == NOBODY else self.children[parent]

    def sides(self, one: int, other: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The paths of two different nodes below the last node that they have in common."""
        first, second = self.paths[one], self.paths[other]
        common = 0
        while common < min(len(first), len(second)) and first[common] == second[common]:
            common += 1
        return first[common:], second[common:]


def forest(queues: Iterable[Queue], cohorts: Iterable[Cohort] = (), others: Iterable[str] = ()) -> Forest:
    """The forest of these; ``others`` are names of queues that are used but not declared.

    Raises ValueError where cohorts stand in a circle (documents are checked for that).
    """
    lines = {queue.name: queue for queue in queues}
    lines |= {name: Queue(name) for name in others if name not in lines}
    groups = {cohort.name: cohort for cohort in cohorts}
    named = [queue.cohort for queue in lines.values()] + [cohort.parent for cohort in groups.values()]
    groups |= {name: Cohort(name) for name in named if name and name not in groups}
    group_at = {name: at for at, name in enumerate(sorted(groups))}
    queue_at = {name: at for at, name in enumerate(sorted(lines), start=len(groups))}
    nodes: tuple[Queue | Cohort, ...] = (*(groups[name] for name in group_at), *(lines[name] for name in queue_at))
    parents = tuple(group_at.get(_parent_of(node), NOBODY) for node in nodes)
    below: list[list[int]] = [[] for _ in nodes]
    for node, parent in enumerate(parents):
        if parent != NOBODY:
            below[parent].append(node)
    return Forest(
        nodes=nodes,
        parents=parents,
        paths=tuple(_path(node, parents, nodes) for node in range(len(nodes))),
        children=tuple(map(tuple, below)),
        tops=tuple(node for node, parent in enumerate(parents) if parent == NOBODY),
        queues=queue_at,
    )


def _parent_of(node: Queue | Cohort) -> str:
    return node.cohort if isinstance(node, Queue) else node.parent


def _path(node: int, parents: tuple[int, ...], nodes: tuple[Queue | Cohort, ...]) -> tuple[int, ...]:
    path = [node]
    while parents[path[-1]] != NOBODY:
        path.append(parents[path[-1]])
        if len(path) > len(parents):
            raise ValueError(f"cohort {nodes[path[-1]].name!r} stands above itself")
    return tuple(reversed(path))
