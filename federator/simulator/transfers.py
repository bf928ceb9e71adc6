"""Inputs that are not where replicas start: how long these wait for them."""

from __future__ import annotations

from federator.model.workload import Workload
from federator.simulator.measures import Measures
from federator.simulator.story import Bandwidths


class Transfers:
    """What has been moved where. An input goes to a cluster once, from where it comes fastest, and stays there.

    Transfers do not share their way: each has the whole bandwidth.
    """

    def __init__(self, bandwidths: Bandwidths | None, measures: Measures) -> None:
        self._bandwidths, self._measures = bandwidths, measures
        self._there_s: dict[tuple[str, str], float] = {}
        """When an input is there, by its name and the cluster's."""

    def waits_s(self, workload: Workload, cluster: str, now_s: float) -> float:
        """How long it takes until all inputs are there; those that are not begin to move."""
        if self._bandwidths is None:
            return 0.0
        ready_s = now_s
        for one in workload.inputs:
            if not one.at or cluster in one.at:
                continue
            key = one.name, cluster
            if key not in self._there_s:
                least_s = min(self._bandwidths.takes_s(place, cluster, one.size_bytes) for place in one.at)
                self._there_s[key] = round(now_s + least_s, 3)
                self._measures.transferred_bytes += one.size_bytes
            ready_s = max(ready_s, self._there_s[key])
        return ready_s - now_s
