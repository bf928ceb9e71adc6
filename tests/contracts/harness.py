"""What the suite needs of a cluster under test, and how it waits for things."""

from __future__ import annotations

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, Observation, ObservedIntent, Order
from federator.model.resources import CPU, MEMORY, Resources
from federator.model.workload import Lifetime, Role
from federator.ports import ClusterProvider
from tests.patience import PATIENCE_S

GIB = 1 << 30


@dataclass(frozen=True)
class Behaviour:
    """What a replica does. It writes ``replica INDEX`` to its logs, and ``Member.starts`` witnesses that it started."""

    runs_for_s: float | None = None
    """None: until it is removed."""
    exit_code: int = 0


class Member(ABC):
    """One cluster, and what a test may do to it that no provider can."""

    patience_s: float = PATIENCE_S
    """How long the suite waits for anything."""
    short_s: float = 0.3
    """A run time that is over soon, and yet can be seen."""
    providers: list[ClusterProvider]

    def __init__(self) -> None:
        self.providers = []

    @abstractmethod
    def make_provider(self) -> ClusterProvider:
        """A new provider of this cluster, not opened."""

    @abstractmethod
    def container(self, behaviour: Behaviour) -> Container:
        """What makes a replica behave so."""

    @abstractmethod
    def starts(self, intent_id: str) -> list[int]:
        """The index of every replica of the intent that truly began to run, as often as it did."""

    @abstractmethod
    def running(self, intent_id: str) -> list[int]:
        """The indices of the replicas that truly run now, whatever the provider says."""

    @abstractmethod
    async def cut_off(self) -> None:
        """Make the cluster unreachable; what runs there runs on."""

    @abstractmethod
    async def reconnect(self) -> None:
        """Make it reachable again."""

    async def clear(self) -> None:
        """Leave nothing behind."""
        for provider in self.providers:
            await provider.close()

    async def provider(self) -> ClusterProvider:
        """A new provider of this cluster, opened."""
        provider = self.make_provider()
        self.providers.append(provider)
        await provider.open()
        return provider

    def order(
        self,
        behaviour: Behaviour,
        indices: Iterable[int] = (0,),
        *,
        lifetime: Lifetime = Lifetime.BATCH,
        cpu: int = 100,
        time_limit_s: float | None = None,
        spec_hash: str = "first",
    ) -> Order:
        """An order of a new intent. ``cpu`` in millicores."""
        wanted = IndexSet.of(indices)
        role = Role("", len(wanted), Resources.of({CPU: cpu, MEMORY: GIB // 8}))
        name = f"c-{uuid.uuid4().hex[:10]}"
        intent = Intent(name, f"work-{name}", f"uid-{name}", "", "member", wanted)
        return Order(
            intent,
            lifetime,
            (role,),
            queue="default",
            container=self.container(behaviour),
            time_limit_s=time_limit_s,
            spec_hash=spec_hash,
        )


class ShellMember(Member):
    """One whose replicas are shells of this machine: each writes down in ``witness`` that it began."""

    witness: Path

    def container(self, behaviour: Behaviour) -> Container:
        script = (
            f'echo $FEDERATOR_REPLICA_INDEX >> "{self.witness}/$FEDERATOR_INTENT"; '
            "echo begins; echo replica $FEDERATOR_REPLICA_INDEX; "
            f"sleep {behaviour.runs_for_s or 600}; exit {behaviour.exit_code}"
        )
        return Container(command=("sh", "-c"), args=(script,))

    def starts(self, intent_id: str) -> list[int]:
        path = self.witness / intent_id
        return [int(line) for line in path.read_text().split()] if path.exists() else []


def scaled(order: Order, count: int) -> Order:
    """The same service with another number of replicas."""
    role = replace(order.roles[0], replicas=count)
    return replace(order, roles=(role,), intent=replace(order.intent, indices=IndexSet.span(0, count)))


async def observe(provider: ClusterProvider) -> Observation:
    """Observe, and check what holds of every observation."""
    observation = await provider.observe()
    assert observation.cluster == provider.name
    for flavor in observation.flavors or ():
        assert sum(group.count for group in flavor.nodes) == flavor.count, flavor
        for group in flavor.nodes:
            assert group.free.fits_in(flavor.allocatable), f"more is free than there is: {flavor}"
            assert all(amount >= 0 for amount in group.free.values()), f"promised twice: {flavor}"
    for name, seen in observation.intents.items():
        assert name == seen.id
        failed = [failure.index for failure in seen.failed]
        everything = [*seen.pending, *seen.running, *seen.succeeded, *failed]
        assert len(everything) == len(set(everything)), f"an index is in two states: {seen}"
        assert seen.bound <= len(seen.pending) + len(seen.running), seen
    return observation


async def until(
    provider: ClusterProvider, holds: Callable[[Observation], bool], what: str, patience_s: float = PATIENCE_S
) -> Observation:
    """Observe again and again, whenever something changed, until it is as wished."""
    ends = time.monotonic() + patience_s
    while True:
        observation = await observe(provider)
        if holds(observation):
            return observation
        assert time.monotonic() < ends, f"in vain waited {patience_s:g} s that {what}: {observation.intents}"
        try:
            async with asyncio.timeout(1.0):
                await provider.changed()
        except TimeoutError:
            continue


async def until_intent(
    provider: ClusterProvider,
    intent_id: str,
    holds: Callable[[ObservedIntent], bool],
    what: str,
    patience_s: float = PATIENCE_S,
) -> ObservedIntent:
    """The same for one intent, which must be there."""

    def look(observation: Observation) -> bool:
        assert intent_id in observation.intents, f"{intent_id} is not to be seen while {what} is waited for"
        return holds(observation.intents[intent_id])

    return (await until(provider, look, what, patience_s)).intents[intent_id]


def free_cpu(observation: Observation) -> int:
    """Millicores free on all nodes together."""
    assert observation.flavors is not None
    return sum(group.free[CPU] * group.count for flavor in observation.flavors for group in flavor.nodes)
