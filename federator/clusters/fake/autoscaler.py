"""Nodes of a fake cluster that boot when replicas wait for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from federator.clusters.binder import Pool
from federator.clusters.fake.parts import FakeIntent
from federator.clusters.fake.timeline import Timeline


class Autoscaler:
    """Boots as many nodes as what waits needs, up to a flavor's ``max_count``; it takes their ``boot_time_s``."""

    def __init__(self, pool: Pool, timeline: Timeline, booted: Callable[[float], None]) -> None:
        self._pool = pool
        self._timeline = timeline
        self._tell = booted
        self._coming = Counter[str]()

    def boot_for(self, intent: FakeIntent, now_s: float) -> None:
        """See that nodes come for the replicas of this intent that have none."""
        for role, share in intent.parts:
            missing = len(intent.unbound & share)
            for flavor in self._pool.open_flavors(intent.order.flavors, role.tolerations):
                fits = role.requests.count_in(flavor.allocatable) or 0
                wanted = min(-(-missing // fits) if fits else 0, flavor.max_count - flavor.count)
                for _ in range(wanted - self._coming[flavor.name]):
                    self._coming[flavor.name] += 1
                    self._timeline.later(now_s + flavor.boot_time_s, partial(self._booted, flavor.name))
                if wanted > 0:
                    break

    def _booted(self, flavor: str, now_s: float) -> None:
        self._coming[flavor] -= 1
        if self._pool.grow(flavor):
            self._tell(now_s)
