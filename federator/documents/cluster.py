"""The kind Cluster: a member of the federation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from federator.documents.common import API_VERSION, Envelope, ShortMetadata, TaintPart
from federator.documents.downtimes import MOST_DOWNTIMES, DowntimePart
from federator.documents.fields import (
    MAX_NODES,
    Duration,
    Flag,
    Labels,
    Name,
    Number,
    Part,
    Quantities,
    ResourceName,
    wrong,
)
from federator.documents.pilot_jobs import PilotJobsPart
from federator.documents.quantities import MOST, amount_of
from federator.documents.slurm import SlurmSettings

Provider = Literal["kubernetes", "htcondor", "slurm", "pilots", "local", "fake"]
PROVIDERS = ("kubernetes", "htcondor", "slurm", "pilots", "local", "fake")
Positive = Annotated[float, Field(strict=True, gt=0, le=100_000)]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_NODES)]


class NodesPart(Part):
    """Nodes of a flavor with the same free amounts."""

    count: Count
    """How many."""
    free: Quantities = Field(default_factory=dict)
    """What is free on each."""


class FlavorPart(Part):
    """Alike nodes of a cluster."""

    name: Name
    """Unique within the cluster."""
    count: Count = 1
    """How many nodes there are."""
    max_count: Count | None = None
    """How many an autoscaler may make of it; not below `count`. Left out: as many as there are."""
    boot_time: Duration = 0.0
    """How long the autoscaler takes for a new node."""
    idle_time: Duration | None = None
    """How long a node that it has added may be empty before it goes again; left out: it stays. For simulations."""
    allocatable: Quantities
    """What one node offers to replicas, by resource."""
    labels: Labels = Field(default_factory=dict)
    """The labels of the nodes."""
    taints: tuple[TaintPart, ...] = ()
    """The taints of the nodes."""
    price: dict[ResourceName, Number] = Field(default_factory=dict)
    """Per core, GiB or piece and hour, instead of the cluster's."""
    nodes: tuple[NodesPart, ...] | None = None
    """What is free on the nodes, in documents written by `federator snapshot`; left out: all of all of them."""

    @model_validator(mode="after")
    def _counts_make_sense(self) -> FlavorPart:
        if self.max_count is not None and self.max_count < self.count:
            message = f"maxCount {self.max_count} is below count {self.count}"
            raise wrong(message, f"write at least {self.count}, or leave it out", ("maxCount",))
        if self.nodes is not None and sum(group.count for group in self.nodes) != self.count:
            raise wrong(f"the counts do not sum up to count {self.count}", "name every node once", ("nodes",))
        nodes = max(self.count, self.max_count or 0)
        for name, quantity in self.allocatable.items():
            if amount_of(name, quantity) * nodes > MOST:
                raise wrong(f"{nodes} nodes have more {name} in all than can be counted", "", ("allocatable", name))
        return self


class UnschedulablePart(Part):
    """The member reported that such a replica finds no node."""

    requests: Quantities
    """What the replica asks for."""
    message: str = ""
    """The member's words."""


class IdlePart(Part):
    """What nobody but backfill used for a while."""

    for_: Annotated[Duration, Field(alias="for")]
    """How long until now."""
    free: Quantities = Field(default_factory=dict)
    """The least that was free of all its nodes together within that time; what backfill uses counts as free."""


class RiseSamplePart(Part):
    """How much more others came to use."""

    by: Quantities = Field(default_factory=dict)
    """At the most, of all its nodes together."""
    times: Annotated[Count, Field(ge=1)] = 1
    """From how many moments of the past it was so."""


class RisePart(Part):
    """How much more others came to use within a time, from moments of the past."""

    within: Annotated[Duration, Field(gt=0)]
    """The time after each moment."""
    samples: Annotated[tuple[RiseSamplePart, ...], Field(min_length=1)]
    """What was seen."""


class ObservedPart(Part):
    """What was seen of a live cluster."""

    health: Literal["up", "away", "lost", "unknown"] = "up"
    """Whether it answered."""
    message: str = ""
    """What it said, or why it did not."""
    away: Duration = 0.0
    """For how long it had not answered."""
    draining: Flag = False
    """Whether it was being drained."""
    vacated: Flag = False
    """Whether the deadline of that was over: then what finds no other place stops."""
    downtime: DowntimePart | None = None
    """The announced downtime that it was drained for."""
    limits: Quantities | None = None
    """What quotas of the cluster still left us; left out: there were none."""
    foreign: Quantities = Field(default_factory=dict)
    """What others than the federator used."""
    abilities: tuple[str, ...] | None = None
    """What it could run: `container`, `process`, `service`, `manifest`, `kind:GROUP/VERSION/KIND`. Left out: what its
    provider can."""
    unschedulable: tuple[UnschedulablePart, ...] = ()
    """Shapes that found no node."""
    idle: tuple[IdlePart, ...] = ()
    """What was free all the while; for fillers with `idleFor`."""
    rises: tuple[RisePart, ...] = ()
    """How much more others came to use, by the time within which they did; for the `mostLost` of fillers."""


class KubernetesSettings(Part):
    """How to reach a Kubernetes API server, and how hard to press it."""

    kubeconfig: str = ""
    """The kubeconfig file; `~` is the home directory, a relative path starts at this document's folder. Empty: the
    usual places (`KUBECONFIG`, `~/.kube/config`, the service account of the pod)."""
    context: str = ""
    """The context in it; empty: its current one."""
    namespace: Name = "federator"
    """Where our objects go."""
    namespace_per_queue: Flag = False
    """Give each queue the namespace of its own name instead (it must exist, or we must be allowed to make it)."""
    qps: Positive = 50.0
    """Requests per second that we send at most, on average."""
    burst: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 100
    """Requests that may go out at once after a quiet time."""
    concurrency: Annotated[int, Field(strict=True, ge=1, le=1000)] = 16
    """Requests under way at one time."""
    timeout: Duration = 30.0
    """How long one request may take."""
    priority_class: Name = "federator-work"
    """The PriorityClass of our pods; it is made if it does not exist."""
    backfill_priority_class: Name = "federator-backfill"
    """That of the pods of backfill; it is made if it does not exist."""


class LocalSettings(Part):
    """Replicas as processes of this machine; the sizes it pretends to have are its `flavors`."""

    directory: str = ""
    """Where working directories and outputs go, relative to the state directory. Empty: `local/NAME` in there."""


class FakeSettings(Part):
    """A cluster in memory."""

    start_delay: Duration = 0.0
    """From being sent to running."""
    run_time: Duration | None = None
    """How long a replica of a batch runs; left out: until it is removed, or its time limit is over."""
    latency: Duration = 0.0
    """How long every call takes."""
    fail_every: Annotated[int, Field(strict=True, ge=0)] = 0
    """Every so many-th replica of a batch fails; 0: none."""
    refuse_every: Annotated[int, Field(strict=True, ge=0)] = 0
    """Every so many-th new order is refused for a while; 0: none."""
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    """What chance begins with."""


class HTCondorSettings(Part):
    """An HTCondor pool behind one schedd."""

    collector: str = ""
    """HOST:PORT of the collector."""
    schedd: str = ""
    """The name of the schedd, with or without its `@HOST`. Empty: the only one of the pool."""
    token_file: str = ""
    """The file with the IDTOKEN, or the SciToken or WLCG token; `~` is the home directory, a relative path starts at
    this document's folder. Read anew for every connection. Empty: as the user that the daemon runs as, on the schedd's
    own machine."""
    ca_file: str = ""
    """The file with the certificates of the authorities that sign those of the pool's daemons, which they show before
    they are sent a SciToken. Empty: those that HTCondor trusts by itself (the machine's)."""
    submit: Literal["pilots", "jobs"] = "pilots"
    """Send pilots that pull work, or each replica as a job."""
    pilots: PilotJobsPart = PilotJobsPart()
    """The pilots that are sent."""
    timeout: Duration = 30.0
    """How long one call may take; then the process that makes it is killed, and the cluster counts as silent."""
    poll: Duration = 2.0
    """How often the schedd is asked for news."""
    grace: Duration = 30.0
    """How long a job that is removed has from SIGTERM to SIGKILL; a slot may grant less. HTCondor wants to know it when
    the job starts."""


class PilotsSettings(Part):
    """Work is only pulled, by pilots that somebody else starts with `federator pilot`; its flavors are those pilots."""

    lease: Duration = 60.0
    """How long a lease is good for without a heartbeat."""
    images_as_processes: Flag = False
    """Run the command of a container as a plain process of the worker node, whatever its image."""
    margin: Duration = 60.0
    """A replica is given to a pilot only if at least so much of the pilot's lifetime is left; or its time limit
    (`duration` with `enforceDuration`), where that is longer."""


class ClusterSpec(Part):
    """How a cluster is reached, and what it has."""

    provider: Provider = "fake"
    """What it is; its settings are in the block of the same name."""
    kubernetes: KubernetesSettings | None = None
    """Settings of a Kubernetes cluster."""
    htcondor: HTCondorSettings | None = None
    """Settings of an HTCondor pool."""
    slurm: SlurmSettings | None = None
    """Settings of a Slurm cluster."""
    pilots: PilotsSettings | None = None
    """Settings of a site of pilots."""
    local: LocalSettings | None = None
    """Settings of processes on this machine."""
    fake: FakeSettings | None = None
    """Settings of a cluster in memory."""
    binding: Literal["spread", "balance", "pack", "fragmentationAware"] = "spread"
    """How the member binds replicas to nodes: spread (kube-scheduler's least allocated), balance (that and its balanced
    allocation, its defaults), pack (fullest node first) or fragmentationAware. Room is counted accordingly."""
    price: dict[ResourceName, Number] = Field(default_factory=dict)
    """Per core, GiB or piece and hour."""
    carbon_intensity: Number = 0.0
    """gCO2e/kWh."""
    power: dict[ResourceName, Number] = Field(default_factory=dict)
    """Watts of a core, GiB or piece; with `carbonIntensity`, what a replica costs of CO2. Not named: nothing."""
    whole_cores: bool | None = None
    """Whether it gives a replica whole cores, so that one that asks for a part of a core takes all of it, and one that
    asks for no cpu takes one: room there is counted in whole cores, and `explain` tells so. Left out: Slurm and
    HTCondor do, where they are sent jobs."""
    cordoned: Flag = False
    """Take no new work."""
    downtimes: Annotated[tuple[DowntimePart, ...], Field(max_length=MOST_DOWNTIMES)] = ()
    """When it will give nothing: the daemon drains it before, and takes it back after. Offline plans have no time of
    day, and look at `observed` alone."""
    flavors: tuple[FlavorPart, ...] | None = None
    """Its nodes. Observed for live Kubernetes clusters; written for local, fake and offline ones. Left out: the room
    is not known and taken as unlimited."""

    observed: ObservedPart | None = None
    """What was seen of it, in documents written by `federator snapshot`, for offline plans."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_its_provider(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        provider = data.get("provider", "fake")
        here = isinstance(provider, str) and provider in PROVIDERS and data.get(provider) is None
        return {**data, provider: {}} if here else data

    @model_validator(mode="after")
    def _one_block_of_settings(self) -> ClusterSpec:
        for name in PROVIDERS:
            if name != self.provider and getattr(self, name) is not None:
                cure = f"remove it, or write provider: {name}"
                raise wrong(f"the provider is {self.provider}, but there are settings for {name}", cure, (name,))
        seen: set[str] = set()
        for index, flavor in enumerate(self.flavors or ()):
            if flavor.name in seen:
                raise wrong(f"two flavors are called '{flavor.name}'", "rename one", ("flavors", index, "name"))
            seen.add(flavor.name)
        return self


class ClusterDocument(Envelope):
    """A member of the federation: how it is reached, and what it has."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Cluster"] = "Cluster"
    """The kind."""
    metadata: ShortMetadata
    """Name and labels; policies and workloads select clusters by them."""
    spec: ClusterSpec = ClusterSpec()
    """How it is reached, and what it has."""
