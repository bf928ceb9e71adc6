"""What a run is told: a federation, what arrives when, and what goes wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from federator.documents.quantities import format_duration
from federator.engine.assign import intent_id
from federator.model.cluster import Downtime
from federator.model.indexset import IndexSet
from federator.model.intent import Intent, IntentState
from federator.model.plan import Holding, Snapshot
from federator.model.workload import Workload


class Arrival(NamedTuple):
    """A workload, when it is handed in, and how long each of its replicas runs (its user may expect otherwise).

    Of many that are alike ``like`` is made once; then what is their own stands beside it, and ``workload`` puts them
    together. One without a ``name`` here is as ``like`` says.
    """

    at_s: float
    like: Workload
    run_s: float
    name: str = ""
    expected_s: float | None = None

    @property
    def workload(self) -> Workload:
        """What is handed in; made when it is asked for."""
        if not self.name:
            return self.like
        return replace(self.like, name=self.name, submitted_at_s=self.at_s, duration_s=self.expected_s)


@dataclass(frozen=True, slots=True)
class Standing:
    """A workload that is there at the beginning and runs already. ``run_s``: how long each of its replicas takes in
    all, what is behind them included."""

    workload: Workload
    run_s: float
    holdings: tuple[Holding, ...]

    def intents(self, uid: str) -> Iterator[tuple[Intent, float, int]]:
        """An intent for the replicas of each place and age; their age in seconds; how many of them do not show in
        what is free there."""
        given: defaultdict[str, int] = defaultdict(int)
        wave = 0
        for holding in self.holdings:
            shown = holding.replicas - holding.unbound
            for age_s, replicas in holding.waves or ((holding.age_s, holding.replicas),):
                first = given[holding.role]
                indices = IndexSet.span(first, first + replicas)
                given[holding.role] += replicas
                seated = min(shown, replicas)
                shown -= seated
                intent = Intent(
                    intent_id(self.workload.name, uid, wave), self.workload.name, uid, holding.role, holding.cluster,
                    indices, IntentState.SENT, created_s=-age_s, sent_s=-age_s,
                )  # fmt: skip
                wave += 1
                yield intent, age_s, replicas - seated


@dataclass(frozen=True, slots=True)
class NodesDown:
    """So many nodes of a flavor (empty: of any) break; or, with ``every_s``, each of them once in so long on average,
    and is back after ``repair_s``.
    """

    flavor: str = ""
    count: int = 1
    every_s: float | None = None
    repair_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CutOff:
    """A ``share`` of what starts loses its network on its way, for ``away_s``; after ``lease_s`` its lease is void."""

    share: float
    away_s: float = 600.0
    lease_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A cluster does not answer; or has a downtime that was announced, ``drain_s`` before which it begins to be
    drained; or everything takes ``slower`` times as long there; or of what starts there the part ``crashing`` fails, or
    is ``cut`` off; or it loses ``nodes``; or it tells only every ``lag_s`` what is free. ``ends_s`` None: to the end.
    """

    cluster: str
    at_s: float
    ends_s: float | None
    slower: float | None = None
    crashing: float | None = None
    nodes: NodesDown | None = None
    lag_s: float | None = None
    cut: CutOff | None = None
    drain_s: float | None = None

    @property
    def downtime(self) -> Downtime | None:
        """As what it was announced, if it was."""
        if self.drain_s is None or self.ends_s is None:
            return None
        return Downtime(self.at_s, self.ends_s, self.drain_s)

    @property
    def by_chance(self) -> bool:
        """Whether it happens now and then in its time, to single nodes."""
        return self.nodes is not None and self.nodes.every_s is not None

    @property
    def words(self) -> str:
        """What goes wrong, for people."""
        if self.slower is not None:
            return f"{self.slower:g} times as slow"
        if self.crashing is not None:
            return f"{self.crashing:.0%} of what starts crashes"
        if self.lag_s is not None:
            return f"what is free is told every {format_duration(self.lag_s)}"
        if self.cut is not None:
            return f"{self.cut.share:.0%} of what starts is cut off for {format_duration(self.cut.away_s)}"
        if self.drain_s is not None:
            return f"downtime, drained {format_duration(self.drain_s)} before" if self.drain_s else "downtime"
        if self.nodes is None:
            return "outage"
        of = f" of {self.nodes.flavor}" if self.nodes.flavor else ""
        if self.nodes.every_s is None:
            return f"{self.nodes.count} nodes{of} are down"
        return f"each node{of} breaks every {format_duration(self.nodes.every_s)} on average"


@dataclass(frozen=True, slots=True)
class Bandwidths:
    """Bytes a second between two clusters, either way; ``default`` is that of pairs not named. None: in no time."""

    default: int | None = None
    pairs: Mapping[frozenset[str], int] = field(default_factory=dict)

    def takes_s(self, place: str, to: str, size_bytes: int) -> float:
        """How long so much takes from one to the other."""
        bandwidth = self.pairs.get(frozenset((place, to)), self.default)
        return 0.0 if bandwidth is None else size_bytes / bandwidth


@dataclass(frozen=True, slots=True)
class Story:
    """One scenario with its seed. The same story is always told alike.

    ``federation`` is a snapshot without workloads: clusters, policies, queues and all else that planning reads.
    ``arrivals`` gives the same each time it is called, in the order of time. ``lasts_s`` None: until all has ended.
    """

    federation: Snapshot
    arrivals: Callable[[], Iterator[Arrival]]
    seed: int = 0
    lasts_s: float | None = None
    one_by_one: bool = False
    """Whether arrivals and ends of one moment are planned one after the other, arrivals first."""
    faults: tuple[Fault, ...] = ()
    standing: tuple[Standing, ...] = ()
    """What runs already when it begins, in the order of submission."""
    bandwidths: Bandwidths | None = None
    """How fast inputs are moved; None: whatever starts has them at hand."""
    name: str = ""
    """What it is called in reports."""
