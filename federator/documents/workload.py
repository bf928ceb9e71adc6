"""The kind Workload: what a user hands in."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from federator.documents.common import (
    API_VERSION,
    ClusterConstraint,
    Envelope,
    FlavorConstraint,
    Metadata,
    TolerationPart,
)
from federator.documents.fields import (
    MAX_REPLICAS,
    Bytes,
    Duration,
    Flag,
    Part,
    Priority,
    Quantities,
    Quantity,
    Replicas,
    ShortName,
    Text,
    Time,
    wrong,
)
from federator.documents.problems import did_you_mean
from federator.documents.quantities import MOST, amount_of

_SCOPE = re.compile(r"cluster|federation|label\s+(\S+)")


def _scope(value: str) -> str:
    if _SCOPE.fullmatch(value.strip()) is None:
        cure = did_you_mean(value.split(" ")[0], ("cluster", "federation", "label KEY"))
        raise wrong(f"'{value}' is not a scope", cure)
    return value.strip()


class GangPart(Part):
    """All replicas and roles start together, or none."""

    scope: Annotated[str, Field(strict=True), AfterValidator(_scope)] = "cluster"
    """`cluster` (all in one), `federation` (anywhere), or `label KEY` (in clusters that agree on this label)."""


class ContainerPart(Part):
    """What to run, on every provider alike. FEDERATOR_REPLICA_INDEX says which replica it is."""

    image: Annotated[str, Field(strict=True, max_length=4096)] = ""
    """The image (`docker://...` or as in Kubernetes); local clusters run the command as a process without it."""
    command: tuple[Text, ...] = ()
    """The program and its arguments; empty: the image's own."""
    args: tuple[Text, ...] = ()
    """Further arguments, as in Kubernetes."""
    env: dict[str, Text] = Field(default_factory=dict)
    """Environment variables."""
    working_dir: Annotated[str, Field(strict=True, max_length=4096)] = ""
    """Where it runs; empty: the image's own, or the replica's own directory."""


Takes = dict[ShortName, Annotated[int, Field(strict=True, ge=1, le=MAX_REPLICAS)]]
"""Whole pieces of limits, by the name of the limit."""


class RolePart(Part):
    """One of several roles of a workload."""

    name: ShortName
    """Unique within the workload."""
    replicas: Replicas = 1
    """How many of it."""
    requests: Quantities = Field(default_factory=dict)
    """What one of it needs."""
    container: ContainerPart | None = None
    """What it runs; left out: the workload's container."""
    flavors: FlavorConstraint | None = None
    """Its hard limits on flavors; left out: the workload's."""
    tolerations: tuple[TolerationPart, ...] | None = None
    """The taints it tolerates; left out: the workload's."""
    limits: Takes | None = None
    """What one of it takes of limits by name; left out: as the workload says."""


def _store_url(value: str) -> str:
    parts = urlsplit(value)
    cures = {
        "file": "file:///FOLDER",
        "http": "http://HOST/FOLDER",
        "https": "https://HOST/FOLDER",
        "s3": "s3://BUCKET/PREFIX",
    }
    if parts.scheme not in cures:
        raise wrong(f"'{value}' is no address of a store", f"write {', '.join(cures.values())}")
    if ".." in unquote(parts.path).split("/"):
        raise wrong(f"'{value}' leaves its own folder", "write it without '..'")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise wrong("whoever may read the document would read secrets in it", "give scheme, host and path alone")
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise wrong(f"'{value}' names no folder", f"write {cures['file']}")
    if parts.scheme != "file" and not parts.hostname:
        raise wrong(f"'{value}' names no host", f"write {cures[parts.scheme]}")
    return value


class CheckpointsPart(Part):
    """Where the checkpoints of a workload are kept."""

    url: Annotated[str, Field(strict=True, max_length=2048), AfterValidator(_store_url)]
    """A folder that all nodes share (`file:///shared/kept`), the address of a web server that takes PUT, GET and
    DELETE (`https://store.example.org/kept`), or a bucket that `checkpointStores` of the Configuration has a key to
    (`s3://bucket/kept`)."""
    limit: Annotated[Bytes, Field(ge=1)] = 2**30
    """A checkpoint that is larger, before it is packed, is not kept."""


class InputPart(Part):
    """Data that the workload reads."""

    name: Annotated[str, Field(strict=True, min_length=1, max_length=253)]
    """What it is called."""
    size: Bytes = 0
    """How large it is."""
    at: tuple[ShortName, ...] = ()
    """The clusters that have it."""


class WorkloadBody(Part):
    """What to run, how often, and what it needs."""

    queue: ShortName = "default"
    """The line it waits in."""
    replicas: Replicas = 1
    """How many alike pieces of work, with indices from 0."""
    min_replicas: Annotated[int, Field(strict=True, ge=0, le=MAX_REPLICAS)] = 1
    """Start with no fewer in all, over all clusters."""
    parallelism: Annotated[int, Field(strict=True, ge=1, le=MAX_REPLICAS)] | None = None
    """At most so many at once; left out: all."""
    gang: GangPart | None = None
    """All replicas and roles start together, or none; left out: each for itself."""
    requests: Quantities = Field(default_factory=dict)
    """What one replica needs, by resource."""
    priority: Priority = 0
    """The larger is served first within its queue."""
    submitted_at: Time | None = None
    """Set by the server. In offline documents it orders the queue, ties by name."""
    lifetime: Literal["batch", "service"] = "batch"
    """batch: each replica runs once to its end; service: kept running."""
    duration: Duration | None = None
    """The expected run time of a replica, if known."""
    enforce_duration: Flag = False
    """Make `duration` the wall-time limit of each replica."""
    checkpoint_every: Duration | None = None
    """How often a replica saves what it has done; left out: never. What loses least gives way first (`preempt`)."""
    checkpoints: CheckpointsPart | None = None
    """Keep what its replicas write to FEDERATOR_CHECKPOINT_DIR, every `checkpointEvery` and when they end, so that they
    go on elsewhere ([how](../backfill.md#work-is-kept)). Left out: they see to that themselves."""
    retries: Annotated[int, Field(strict=True, ge=0, le=1000)] = 3
    """How often a replica that failed by its own fault is tried again."""
    clusters: ClusterConstraint = ClusterConstraint()
    """The user's own hard limits on clusters."""
    flavors: FlavorConstraint = FlavorConstraint()
    """The user's own hard limits on flavors."""
    tolerations: tuple[TolerationPart, ...] = ()
    """The taints that its replicas tolerate."""
    limits: Takes = Field(default_factory=dict)
    """What each replica takes of limits by name ([Limit](limit.md)) while it runs: `matlab: 2`."""
    container: ContainerPart | None = None
    """What each replica runs."""
    template: dict[str, Any] = Field(default_factory=dict)
    """Or a whole Kubernetes manifest, which runs as it is (see [native manifests](native-manifests.md)). Replicas,
    requests and the like come from it where they are not given here."""
    roles: tuple[RolePart, ...] = ()
    """Several roles, instead of `replicas` and `requests`."""
    needs: tuple[Annotated[str, Field(strict=True, max_length=400)], ...] = ()
    """Abilities a cluster must have besides those for what it runs, in documents written by `federator snapshot`."""
    inputs: tuple[InputPart, ...] = ()
    """Data that it reads; policies may weigh clusters down that lack it (`data`)."""

    @model_validator(mode="after")
    def _what_is_kept_is_a_batch_of_ours(self) -> WorkloadBody:
        if self.checkpoints is not None:
            at = ("checkpoints",)
            if not self.checkpoint_every:
                raise wrong("nobody says how often", "give 'checkpointEvery'", at)
            if self.lifetime != "batch":
                raise wrong("a service has no end to come nearer to", "leave 'checkpoints' out", at)
            if self.template:
                raise wrong("a manifest says itself where its pods keep things", "give 'container'", at)
        return self

    @model_validator(mode="after")
    def _it_says_one_thing(self) -> WorkloadBody:
        given = self.model_fields_set
        if self.roles:
            for name, key in (("replicas", "replicas"), ("requests", "requests"), ("parallelism", "parallelism")):
                if name in given:
                    raise wrong(f"'{key}' is given beside 'roles'", "give it in each role instead", (key,))
        if self.container and self.template:
            raise wrong("both 'container' and 'template' are given", "keep one of the two", ("template",))
        if self.enforce_duration and self.duration is None:
            raise wrong("there is no duration to enforce", "give 'duration' too", ("enforceDuration",))
        self._roles_make_sense()
        replicas = sum(role.replicas for role in self.roles) if self.roles else self.replicas
        if "min_replicas" in given and self.min_replicas > replicas and ("replicas" in given or self.roles):
            message = f"minReplicas {self.min_replicas} is above the {replicas} replicas there are"
            raise wrong(message, f"write at most {replicas}", ("minReplicas",))
        return self

    def _roles_make_sense(self) -> None:
        seen: set[str] = set()
        for index, role in enumerate(self.roles):
            if role.name in seen:
                raise wrong(f"two roles are called '{role.name}'", "rename one", ("roles", index, "name"))
            seen.add(role.name)
            _countable(role.requests, role.replicas, ("roles", index, "requests"))
        if sum(role.replicas for role in self.roles) > MAX_REPLICAS:
            raise wrong(f"the roles have more than {MAX_REPLICAS} replicas together", "", ("roles",))
        _countable(self.requests, self.replicas, ("requests",))


def _countable(requests: dict[str, Quantity], replicas: int, at: tuple[str | int, ...]) -> None:
    for name, quantity in requests.items():
        if amount_of(name, quantity) * replicas > MOST:
            raise wrong(f"{replicas} replicas need more {name} than can be counted", "", (*at, name))


class WorkloadDocument(Envelope):
    """What a user hands in: alike replicas, or several roles, with what they need and what they run."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Workload"] = "Workload"
    """The kind."""
    metadata: Metadata
    """Name and labels."""
    spec: WorkloadBody = WorkloadBody()
    """What to run, how often, and what it needs."""
