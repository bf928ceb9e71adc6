"""The kind Backfill: preemptible work that fills what production leaves idle; its way into the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, ValidationError, model_validator

from federator.documents.common import API_VERSION, ClusterConstraint, Envelope, Metadata, ShortMetadata
from federator.documents.complaints import Misfit, faults_of, locate
from federator.documents.documents import Document
from federator.documents.fields import (
    MAX_REPLICAS,
    Duration,
    NameOrAll,
    Number,
    Part,
    ResourceKey,
    Share,
    Weight,
    wrong,
)
from federator.documents.problems import DocumentErrors, did_you_mean
from federator.documents.translate import to_constraint
from federator.documents.workload import CheckpointsPart, WorkloadBody, WorkloadDocument
from federator.documents.workloads import WorkloadSpec, of_document, to_checkpoints
from federator.model import checkpoints
from federator.model.backfill import ABILITY, Filler, QuietHours
from federator.model.selectors import Constraint, Selector
from federator.model.workload import Workload

PREFIX = "backfill-"
"""Before the name of a Backfill: the name of the workload that it becomes."""
QUEUE = "backfill"
"""What stands for the queue of a filler, which waits in none."""
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
DAYS: tuple[Day, ...] = get_args(Day)
DAY_S = 86_400
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_NOT_HERE = {
    "roles": "give 'replicas' and 'requests'",
    "gang": "its replicas start one by one",
    "min_replicas": "its replicas start one by one",
    "template": "give 'container'",
    "priority": "it comes after everything else",
    "checkpoint_every": "give it beside 'workload'",
    "checkpoints": "give it beside 'workload'",
}


def _clock(value: str) -> str:
    if _CLOCK.fullmatch(value) is None:
        raise wrong(f"'{value}' is no time of day", "write it as 08:00")
    return value


def _timezone(value: str) -> str:
    if value not in available_timezones():
        cure = did_you_mean(value, available_timezones(), what="there are")
        raise wrong(f"no time zone is called '{value}'", cure)
    return value


Clock = Annotated[str, Field(strict=True), AfterValidator(_clock)]


class QuietPart(Part):
    """Hours in which nothing is filled."""

    days: tuple[Day, ...] = DAYS
    """The days on which they begin; left out: every day."""
    from_: Annotated[Clock, Field(alias="from")]
    """The time of day at which they begin: `"08:00"`."""
    to: Clock
    """The time of day at which they end; one that is not after `from` is on the next day."""
    timezone: Annotated[str, Field(strict=True), AfterValidator(_timezone)] = "UTC"
    """Whose time of day is meant: `Europe/Zurich`."""


class BackfillSpec(Part):
    """Preemptible work with no claim, that fills what production leaves idle."""

    workload: WorkloadBody
    """What to run, as in a [Workload](workload.md) of one role. `replicas` is how many tasks the bag holds, with
    FEDERATOR_REPLICA_INDEX as their counter; left out, a million: without end. `parallelism` is how many run at once,
    `duration` how long a task runs. It waits in no queue (`backfill` stands for one) and no policy governs it."""
    weight: Annotated[Weight, Field(ge=1)] = 1
    """Its share of what is idle beside other fillers."""
    keep_free: Share = 50_000
    """This share of every resource of each cluster stays free."""
    cluster_keep_free: dict[NameOrAll, dict[ResourceKey, Share]] = Field(default_factory=dict)
    """Another share for some resources of a cluster, by its name; `"*"` speaks for each cluster that is not named."""
    max_share: Share = 1_000_000
    """It takes no more than this share of any resource of a cluster."""
    clusters: ClusterConstraint = ClusterConstraint()
    """The clusters it may fill."""
    quiet_hours: tuple[QuietPart, ...] = ()
    """Hours in which it fills nothing, and what runs gives way."""
    max_price: Number | None = None
    """Only clusters where a replica costs no more than this for an hour; 0: only what is paid for already."""
    max_carbon_intensity: Number | None = None
    """Only clusters whose `carbonIntensity` is no more than this, in gCO2e/kWh."""
    idle_for: Duration = 0.0
    """Only what nobody else has used for so long is filled. What others used within that time stays free, for who comes
    next: a head room that follows how production comes and goes."""
    idle_at_most: Share = 1_000_000
    """`idleFor` leaves no more than this share of a resource of a cluster free."""
    grace: Duration = 30.0
    """How long a replica has to end when its room is needed."""
    stops: Duration | None = None
    """How long a replica takes to save what it has and to end when it gets SIGTERM. Left out: it saves nothing then,
    and takes all of its `grace`."""
    checkpoint_every: Duration | None = None
    """How often its replicas save what they have by themselves; left out, and without `stops`, they lose all when they
    are stopped."""
    checkpoints: CheckpointsPart | None = None
    """Keep what its replicas write to FEDERATOR_CHECKPOINT_DIR, every `checkpointEvery` and when they end, so that they
    go on elsewhere ([how](../backfill.md#work-is-kept)). Left out: they see to that themselves."""
    smallest_slice: Duration = 0.0
    """No replica is started in a hole that is known to last less than this, before quiet hours or a reservation."""
    most_lost: Share = 20_000
    """Of what its replicas on a cluster are expected to do, no more than this share may be lost because others need
    their room; what would lose more is not started. How long holes last is learnt from how others used the cluster
    lately, and at the same time of earlier days. `100%`: it fills whatever is lost. Of no effect with `stops`."""

    @model_validator(mode="after")
    def _its_replicas_are_alike_and_alone(self) -> BackfillSpec:
        for name, cure in _NOT_HERE.items():
            if name in self.workload.model_fields_set:
                key = WorkloadBody.model_fields[name].alias or name
                raise wrong(f"a filler has no '{key}'", cure, ("workload", key))
        if self.stops is not None and self.stops > self.grace:
            raise wrong(f"it is killed {self.grace:g} s after SIGTERM", "give a longer 'grace'", ("stops",))
        if self.checkpoints is not None and not self.checkpoint_every:
            raise wrong("nobody says how often", "give 'checkpointEvery'", ("checkpoints",))
        if self.workload.lifetime != "batch":
            raise wrong("a filler runs tasks, no service", "leave 'lifetime' out", ("workload", "lifetime"))
        if not any(self.workload.requests.values()):
            raise wrong("a replica needs nothing, so nothing limits how many run", "give 'requests'", ("workload",))
        return self


class BackfillDocument(Envelope):
    """Preemptible work with no claim, that fills what production leaves idle."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Backfill"] = "Backfill"
    """The kind."""
    metadata: ShortMetadata
    """Its name."""
    spec: BackfillSpec
    """What fills, and how much."""


def filler_spec(raw: Mapping[str, Any]) -> WorkloadSpec:
    """The workload that a raw Backfill document becomes, and what its replicas run. Raises DocumentErrors."""
    try:
        document = BackfillDocument.model_validate(raw)
    except ValidationError as error:
        raise DocumentErrors(locate(Misfit(*faults_of(error, BackfillDocument)), "<backfill>", None)) from None
    return _spec(document.metadata.name, document.metadata.labels, document.spec)


def to_filler(document: Document) -> Filler:
    """The filler with all its tasks."""
    spec: BackfillSpec = document.spec
    named = {name: {"*": spec.keep_free, **shares} for name, shares in spec.cluster_keep_free.items()}
    return Filler(
        workload=_spec(document.name, document.labels, spec).workload,
        weight=spec.weight,
        keep_free={"*": {"*": spec.keep_free}, **named},
        max_share=spec.max_share,
        quiet_hours=tuple(map(_quiet_hours, spec.quiet_hours)),
        max_price=None if spec.max_price is None else round(spec.max_price * 1_000_000),
        max_carbon=spec.max_carbon_intensity,
        grace_s=spec.grace,
        stops_s=spec.stops,
        idle_for_s=spec.idle_for,
        idle_at_most=spec.idle_at_most,
        smallest_slice_s=spec.smallest_slice,
        most_lost=spec.most_lost,
    )


def _spec(name: str, labels: Mapping[str, str], spec: BackfillSpec) -> WorkloadSpec:
    body = spec.workload
    if "replicas" not in body.model_fields_set:
        body = body.model_copy(update={"replicas": MAX_REPLICAS})
    found = of_document(WorkloadDocument(metadata=Metadata(name=PREFIX + name, labels=dict(labels)), spec=body))
    kept = to_checkpoints(spec.checkpoints, spec.checkpoint_every)
    return replace(found, workload=_as_filler(found.workload, spec), checkpoints=kept)


def _as_filler(workload: Workload, spec: BackfillSpec) -> Workload:
    return replace(
        workload,
        queue=QUEUE,
        clusters=_both(workload.clusters, to_constraint(spec.clusters)),
        needs=workload.needs | {ABILITY, *({checkpoints.ABILITY} if spec.checkpoints else ())},
        checkpoint_every_s=spec.checkpoint_every,
        backfill=True,
    )


def _both(one: Constraint, other: Constraint) -> Constraint:
    wheres = [f"({where})" for where in (one.where, other.where) if where]
    selector = Selector((*one.selector.requirements, *other.selector.requirements))
    return Constraint(selector, " && ".join(wheres))


def _quiet_hours(part: QuietPart) -> QuietHours:
    begin, end = _seconds(part.from_), _seconds(part.to)
    days = frozenset(DAYS.index(day) for day in part.days)
    return QuietHours(begin, end if end > begin else end + DAY_S, days, ZoneInfo(part.timezone).key)


def _seconds(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60
