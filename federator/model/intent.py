"""What should run where (intents), what is sent to a cluster (orders), and what a cluster says runs (observations)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from federator.model.checkpoints import Attempt
from federator.model.cluster import Flavor
from federator.model.indexset import IndexSet
from federator.model.resources import Resources
from federator.model.workload import Lifetime, Role

GRACE_S = 10.0
"""How long a replica has to end when it is asked to, where nothing else is said."""
PREEMPTED = "Preempted"
"""The reason of a Failure: the cluster ended it because others needed its room."""
WHOLE = "*"
"""The role of an intent that carries all roles of a workload in one manifest."""


class IntentState(StrEnum):
    """Where an intent is on its way. ``engine/lifecycle.py`` has the table of moves."""

    RECORDED = "recorded"
    """In the store, nothing sent yet (or sent, and the answer was lost)."""
    SENT = "sent"
    """The cluster accepted it."""
    ENDED = "ended"
    """Every replica of it has ended and is accounted for; what is left at the cluster is kept for its logs."""
    LEAVING = "leaving"
    """Should no longer run; what the cluster has of it is being removed."""


@dataclass(frozen=True, slots=True)
class Intent:
    """Replicas of one workload's role that should run on one cluster, as one object there.

    ``id`` is deterministic and unique for all time: a DNS label that names the object at the cluster, so that
    sending it twice makes one object. Batch: ``indices`` never change (a wave). Service: ``indices`` is 0..n-1 of
    the number wanted now, which may change while the intent stays.
    """

    id: str
    workload: str
    workload_uid: str
    role: str
    cluster: str
    indices: IndexSet
    state: IntentState = IntentState.RECORDED
    generation: int = 1
    """Of the workload's spec that was (or is to be) sent."""
    created_s: float = 0.0
    sent_s: float = 0.0
    plan_id: str = ""
    tier: str = ""
    policy: str = ""
    moved: bool = False
    settled: IndexSet = IndexSet()
    """Indices whose end (a success or a failure) is accounted for."""
    withdrawn: IndexSet = IndexSet()
    """Indices that should leave although the rest of the intent stays."""
    ended_s: float = 0.0
    reason: str = ""
    """Why it (or some of it) is leaving, for people."""

    @property
    def live(self) -> IndexSet:
        """The indices that should run here, or do: neither ended nor asked to leave."""
        if self.state in (IntentState.LEAVING, IntentState.ENDED):
            return IndexSet()
        return self.indices - self.settled - self.withdrawn if self.settled or self.withdrawn else self.indices


@dataclass(frozen=True, slots=True)
class Container:
    """What to run, alike on every provider."""

    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Everything a provider needs to carry out one intent. Exactly one of container and manifest is given.

    ``roles`` are the roles that the intent carries (one, or all for ``WHOLE``). ``flavors``: names of the only
    flavors that may be used (empty: any). ``time_limit_s``: the replica is stopped after so long (None: never).
    ``spec_hash`` changes whenever the workload's spec does.
    """

    intent: Intent
    lifetime: Lifetime
    roles: tuple[Role, ...]
    queue: str
    namespace: str = ""
    container: Container | None = None
    manifest: Mapping[str, Any] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    flavors: tuple[str, ...] = ()
    time_limit_s: float | None = None
    priority: int = 0
    spec_hash: str = ""
    backfill: bool = False
    """Run it below everything else: what it uses counts as free, and it ends when others need its room."""
    grace_s: float = GRACE_S
    """How long a replica has to end when it is asked to."""
    checkpoint_every_s: float | None = None
    """How often a replica saves what it has; None: never, or not known."""
    inputs: frozenset[str] = frozenset()
    """The names of the data that a replica reads."""
    attempt: Attempt | None = None
    """Where the checkpoints of its replicas are kept; None: nothing is kept for them."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A replica that ended badly. ``reason`` is a short code (OOMKilled, Error, DeadlineExceeded, Evicted ...)."""

    index: int
    reason: str
    message: str = ""
    exit_code: int | None = None
    node: str = ""
    own_fault: bool = True
    """False where the cluster took the replica away (evicted, node lost): such an end costs no retry."""


@dataclass(frozen=True, slots=True)
class Note:
    """What the cluster says of a replica that is there but does not run: Unschedulable, ImagePullBackOff ..."""

    index: int
    reason: str
    message: str = ""
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ObservedIntent:
    """What a cluster says of one of our intents.

    ``pending``, ``running``, ``succeeded`` and the indices in ``failed`` are disjoint. ``bound`` counts those of
    pending and running that use a node whose free amount shows it. ``leaving``: its removal is under way.
    """

    id: str
    pending: IndexSet = IndexSet()
    running: IndexSet = IndexSet()
    succeeded: IndexSet = IndexSet()
    failed: tuple[Failure, ...] = ()
    bound: int = 0
    notes: tuple[Note, ...] = ()
    spec_hash: str = ""
    replicas: int | None = None
    """The number of replicas that the object at the cluster asks for."""
    leaving: bool = False
    started_s: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a cluster says of itself at one instant.

    ``flavors`` None: it does not tell. Their free amounts count every bound replica, ours and foreign. ``foreign``
    is what others use. ``limits`` is what quotas of the cluster still leave us (None: no quota). ``abilities`` as in
    ``Workload.needs``. ``version`` is for people ("Kubernetes v1.31.2").
    """

    cluster: str
    at_s: float
    flavors: tuple[Flavor, ...] | None = None
    foreign: Resources = Resources()
    limits: Resources | None = None
    intents: Mapping[str, ObservedIntent] = field(default_factory=dict)
    abilities: frozenset[str] = frozenset()
    version: str = ""
