"""A cluster of pilots in virtual time over a store in memory, and pilots that are only calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

from federator.clock import VirtualClock
from federator.clusters.pilots import PilotsProvider, PilotsSettings
from federator.model.checkpoints import Sign, plain
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, Order
from federator.model.pilots import Grant, Pilot, Result
from federator.model.resources import CPU, MEMORY, Resources
from federator.model.workload import Lifetime, Role
from tests.fake_lines import FakeLines

GIB = 1 << 30
LEASE_S = 60.0


class Place:
    """One cluster; ``restart`` is what a crash of the daemon leaves: the store."""

    def __init__(self, sign: Sign = plain, **settings: Any) -> None:
        self._sign = sign
        self.lines = FakeLines()
        self.clock = VirtualClock(1000.0)
        self.counted: Counter[str] = Counter()
        self.spent: dict[str, float] = {}
        self.measured: Counter[str] = Counter()
        self._settings = PilotsSettings(**{"lease_s": LEASE_S, "margin_s": 10.0, **settings})
        self.restart()

    def restart(self) -> None:
        """A new daemon over the same store."""
        self.provider = PilotsProvider(
            "grid", self._settings, store=self.lines, clock=self.clock, count=lambda o: self.counted.update([o]),
            spend=self._spend, sign=self._sign, kept=lambda o: self.counted.update([o]),
            measured=lambda workload, cpu_s: self.measured.update({workload: cpu_s}),
        )  # fmt: skip

    def _spend(self, use: str, core_seconds: float) -> None:
        self.spent[use] = self.spent.get(use, 0.0) + core_seconds

    async def pass_time(self, seconds: float) -> None:
        """Time goes by, and leases are watched over."""
        await self.clock.advance(seconds)
        await self.provider._sweep()

    async def register(self, name: str = "p", **described: Any) -> None:
        """A pilot of four cores joins."""
        resources = Resources.of({CPU: 4000, MEMORY: 8 * GIB})
        await self.provider.register(
            Pilot(name, "grid", **{"resources": resources, "host": f"host-{name}", **described})
        )

    async def lease(self, name: str = "p", held: tuple[str, ...] = (), limit: int = 100) -> tuple[Grant, ...]:
        """What the pilot is given now."""
        return (await self.provider.lease(name, held, limit, 0.0)).grants

    async def seen(self, intent: str) -> Any:
        """What the planner sees of an order."""
        return (await self.provider.observe()).intents[intent]


def order(
    name: str = "w", count: int = 1, *, cpu: int = 1000, priority: int = 0, image: str = "", **more: Any
) -> Order:
    """An order of so many replicas."""
    role = Role("", count, Resources.of({CPU: cpu, MEMORY: GIB}))
    intent = Intent(name, f"workload-{name}", f"uid-{name}", "", "grid", IndexSet.span(0, count))
    given = {"lifetime": Lifetime.BATCH, "spec_hash": "1", "priority": priority, **more}
    return Order(intent, roles=(role,), queue="q", container=Container(image, ("true",)), **given)


def done(reason: str = "", **more: Any) -> Result:
    """How a payload ended."""
    return Result(reason, exit_code=1 if reason else 0, **more)
