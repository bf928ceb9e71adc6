"""Cores as clusters count them that give a replica whole ones: one that asks for a part of a core takes all of it, and
one that asks for none takes one.

Where such a cluster and such a request are in one snapshot, the tables have one more resource, ``CORES``, in millicores
like cpu. A replica asks for its cpu rounded up of it. A node of such a cluster has of it the cpu that is free, rounded
down, and every other node so much that cpu is never short later: a thousand times its cpu, since whoever asks for a
millicore takes a thousand at most, and ``PLENTY`` for those who ask for none. So one line of amounts is right for all
clusters, and no loop knows of it.

Of the cpu of such a cluster the tables count what replicas ask for: how full tiers are, quotas, prices and shares go
by that, as everywhere. It never binds there, since no more of it is taken than of ``CORES``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from federator.model.cluster import Cluster
from federator.model.resources import CPU, Resources
from federator.model.whole_cores import CORE, rounded, takes_more

CORES = "cpu, whole cores"
"""Behind cpu in the order of names, so that rows which are sorted by what is free keep their order."""

PLENTY = CORE << 20
"""Of whole cores, where none are counted: a node there holds no more replicas that ask for nothing."""


def taken(requests: Resources, cluster: Cluster) -> Resources:
    """What a replica takes of a cluster."""
    return rounded(requests) if cluster.whole_cores else requests


def are_counted(clusters: Iterable[Cluster], requests: Iterable[Resources]) -> bool:
    """Whether such clusters and such requests are there."""
    return any(cluster.whole_cores and cluster.flavors for cluster in clusters) and any(map(takes_more, requests))


def asked(requests: Resources) -> Resources:
    """What a replica asks for, with its cores."""
    return Resources.of({**requests, CORES: rounded(requests)[CPU]})


def there(amounts: Mapping[str, int], *, whole: bool) -> dict[str, int]:
    """What a node has, with its cores; ``whole``: it gives no less than one."""
    cpu = amounts.get(CPU, 0)
    return {**amounts, CORES: cpu // CORE * CORE if whole else cpu * CORE + PLENTY}


def given_back(requests: Resources, *, whole: bool) -> dict[str, int]:
    """What a node has more, with its cores, once a replica ends that showed in what was free of it."""
    cores = rounded(requests)[CPU] if whole else requests[CPU] * CORE
    return {**(rounded(requests) if whole else requests), CORES: cores}
