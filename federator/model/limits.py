"""What there is so many of and no more, by name: licences, database connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` in the federation (None: as many as its clusters allow), and at most so many on a cluster.

    ``clusters`` are by name; ``*`` speaks for each cluster that is not named. Replicas that run count with what
    their role's ``limits`` say.
    """

    name: str
    count: int | None = None
    clusters: Mapping[str, int] = field(default_factory=dict)

    def on(self, cluster: str) -> int | None:
        """The most on one cluster; None: no limit of its own."""
        return self.clusters.get(cluster, self.clusters.get("*"))
