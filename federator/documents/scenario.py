"""The kind Scenario: what is simulated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from federator.documents.common import API_VERSION, Envelope, Metadata
from federator.documents.fields import Bytes, Duration, Name, Part, Share, ShortName, Whole, wrong
from federator.documents.queue import PlanningSpec
from federator.documents.sources import SourcePart, one_of

FAULTS = ("outage", "downtime", "slow", "crash", "nodes", "cut", "stale")
"""What can go wrong: each names its cluster."""


class FaultPart(Part):
    """Something that goes wrong at a cluster: an outage, a downtime that was announced, everything takes longer there,
    replicas fail or lose their network, nodes break, or what is free is told late."""

    outage: ShortName | None = None
    """The cluster that does not answer."""
    downtime: ShortName | None = None
    """The cluster that gives nothing, which was announced: it is drained before, for `drain`."""
    drain: Duration = 0.0
    """For `downtime`: how long before it begins nothing new starts there."""
    slow: ShortName | None = None
    """The cluster where everything takes longer."""
    crash: ShortName | None = None
    """The cluster where replicas fail that start meanwhile, by chance, and somewhere on their way."""
    nodes: ShortName | None = None
    """The cluster whose nodes break, with all that runs on them."""
    cut: ShortName | None = None
    """The cluster where batch replicas that start meanwhile lose their network, by chance, somewhere on their way."""
    stale: ShortName | None = None
    """The cluster that tells only every `lag` what is free of its nodes."""
    share: Share = 1_000_000
    """How many of them, for `crash` and `cut`."""
    away: Annotated[Duration, Field(gt=0)] = 600.0
    """For how long, for `cut`."""
    lease: Annotated[Duration, Field(gt=0)] = 60.0
    """For `cut`: away for longer than this, a replica's lease is void."""
    flavor: Name | None = None
    """Only nodes of this flavor, for `nodes`."""
    count: Annotated[Whole, Field(ge=1)] = 1
    """So many break at once, for `nodes`; they are back when it is over."""
    mean_time_between: Annotated[Duration, Field(gt=0)] | None = None
    """Instead of `count`: each node breaks once in so long on average, by chance, for `nodes`."""
    repair: Duration = 3600.0
    """With `meanTimeBetween`: how long a node is away."""
    lag: Annotated[Duration, Field(gt=0)] = 600.0
    """How often, for `stale`."""
    at: Duration = 0.0
    """When it begins."""
    lasts: Duration | None = None
    """How long it lasts; left out: to the end."""
    by: Annotated[float, Field(strict=True, ge=1, le=1e6)] = 2.0
    """How many times longer, for `slow`."""

    @model_validator(mode="after")
    def _one(self) -> FaultPart:
        if self.downtime is not None and not self.lasts:
            raise wrong("a downtime has an end", "give 'lasts'", ("lasts",) if self.lasts is not None else ())
        return one_of(self, *FAULTS)


Bandwidth = Annotated[Bytes, Field(gt=0)]
"""Bytes a second."""


class LinkPart(Part):
    """How fast two clusters send each other data."""

    between: tuple[ShortName, ShortName]
    """The two, either way."""
    bandwidth: Bandwidth
    """Bytes a second: `100Mi`."""


class TransfersPart(Part):
    """How fast `inputs` come to clusters that do not have them; replicas sit on their nodes and wait for them."""

    bandwidth: Bandwidth | None = None
    """Bytes a second between any two clusters; left out: no time, but for what `links` says."""
    links: tuple[LinkPart, ...] = ()
    """Pairs of clusters with a bandwidth of their own."""


class ScenarioSpec(Part):
    """What is simulated."""

    seed: Annotated[Whole, Field(ge=0)] = 0
    """What chance begins with."""
    lasts: Duration | None = None
    """How long it is; left out: until all work has ended."""
    files: tuple[Annotated[str, Field(strict=True, min_length=1)], ...] = ()
    """Further documents (clusters, policies, queues), relative to this file."""
    present: bool = False
    """Whether it begins as a federation is, for files that `federator snapshot` wrote: all Workload documents are there
    at the beginning, and Placement documents say what of them runs, for how long already. Else Workload documents
    arrive when their `submittedAt` says, and nothing runs at the beginning."""
    workloads: tuple[SourcePart, ...] = ()
    """Where workloads come from, besides Workload documents."""
    planning: PlanningSpec = PlanningSpec()
    """How planning goes, instead of a Planning document."""
    same_second: Literal["together", "oneByOne"] = "together"
    """Whether planning sees all that happens at one moment together, or arrivals and ends one after the other."""
    faults: tuple[FaultPart, ...] = ()
    """What goes wrong."""
    transfers: TransfersPart | None = None
    """How fast data moves; left out: whatever starts has its `inputs` at hand."""


class ScenarioDocument(Envelope):
    """What is simulated: clusters, work, faults."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Scenario"] = "Scenario"
    """The kind."""
    metadata: Metadata
    """Its name."""
    spec: ScenarioSpec
    """What is simulated."""
