"""Why a replica is not on a cluster: a code that a machine counts, numbers, and words that a person reads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """The codes. "Busy now" and "never fits" are different answers. The words are in ``WORDS``."""

    CLUSTER_UNKNOWN = "ClusterUnknown"
    CLUSTER_AWAY = "ClusterAway"
    CORDONED = "Cordoned"
    DRAINING = "Draining"
    NOT_IN_POLICY = "NotInPolicy"
    NOT_ALLOWED_BY_POLICY = "NotAllowedByPolicy"
    NOT_ALLOWED_BY_WORKLOAD = "NotAllowedByWorkload"
    NO_ABILITY = "NoAbility"
    NO_MATCHING_FLAVOR = "NoMatchingFlavor"
    TAINTED = "Tainted"
    REFUSED_BY_CLUSTER = "RefusedByCluster"
    TOO_BIG = "TooBig"
    ROOM_IS_COMING = "RoomIsComing"
    NO_ROOM = "NoRoom"
    UNSCHEDULABLE = "Unschedulable"
    OVER_LIMIT = "OverLimit"
    LIMIT_REACHED = "LimitReached"
    OVER_BUDGET = "OverBudget"
    OVER_QUOTA = "OverQuota"
    OVER_CLUSTER_QUOTA = "OverClusterQuota"
    AT_MAXIMUM = "AtMaximum"
    NO_WEIGHT = "NoWeight"
    TIER_NOT_OPEN = "TierNotOpen"
    TIER_FULL = "TierFull"
    GANG_DOES_NOT_FIT = "GangDoesNotFit"
    BELOW_MIN_REPLICAS = "BelowMinReplicas"
    RESERVED_FOR_ANOTHER = "ReservedForAnother"
    BEHIND_BLOCKED_HEAD = "BehindBlockedHead"
    STAYS_ELSEWHERE = "StaysElsewhere"
    NOT_FILLED = "NotFilled"
    QUIET_HOURS = "QuietHours"
    ABOVE_CAP = "AboveCap"
    HOLE_TOO_SHORT = "HoleTooShort"
    LOSES_TOO_MUCH = "LosesTooMuch"
    AT_SHARE = "AtShare"
    KEPT_FREE = "KeptFree"
    ALL_PLACED = "AllPlaced"


WORDS: Mapping[Reason, str] = {
    Reason.CLUSTER_UNKNOWN: "the cluster has not answered yet{detail}",
    Reason.CLUSTER_AWAY: "the cluster has not answered for {away_s} s{detail}",
    Reason.CORDONED: "the cluster is cordoned: it takes no new work",
    Reason.DRAINING: "the cluster is being drained{detail}",
    Reason.NOT_IN_POLICY: "no tier of policy {policy} has this cluster",
    Reason.NOT_ALLOWED_BY_POLICY: "policy {policy} requires {requirement}",
    Reason.NOT_ALLOWED_BY_WORKLOAD: "the workload requires {requirement}",
    Reason.NO_ABILITY: "the cluster cannot run {needs}",
    Reason.NO_MATCHING_FLAVOR: "no flavor of the cluster satisfies {requirement}",
    Reason.TAINTED: "the taint {taint} is not tolerated",
    Reason.REFUSED_BY_CLUSTER: "the cluster refused it: {detail}",
    Reason.TOO_BIG: "a replica needs {needed} {resource}, the largest node has {largest}: waiting will not help",
    Reason.ROOM_IS_COMING: "others are giving way here: that makes room for {replicas} of its replicas",
    Reason.NO_ROOM: "a replica needs {needed}; {free} is free in all, on no node enough for one more ({holds} here)",
    Reason.UNSCHEDULABLE: "the cluster reported that such a replica finds no node: {detail}",
    Reason.OVER_LIMIT: "the cluster's quota leaves {left} {resource}, a replica needs {needed}",
    Reason.LIMIT_REACHED: "limit {name} leaves {left} {where}, it needs {needed}{who}",
    Reason.OVER_BUDGET: "the budget of queue {queue} leaves {left} of {what} in its period of {period}; "
    "it is expected to cost {needed} here",
    Reason.OVER_QUOTA: "queue {queue} may have no more: the {limit} of {holder} leaves {left} {resource}, "
    "{needed} is needed",
    Reason.OVER_CLUSTER_QUOTA: "queue {queue} may have {left} more such replicas on {clusters} (clusterQuota)",
    Reason.AT_MAXIMUM: "policy {policy} allows {maximum} replicas here",
    Reason.NO_WEIGHT: "policy {policy} gives this cluster no weight{why}, only its minimum of {minimum}",
    Reason.TIER_NOT_OPEN: "tier {tier} opens when the tiers before it have been full or away for {open_after_s} s; "
    "it has been {for_s} s",
    Reason.TIER_FULL: "tier {tier} is full to its fillTo of {fill_to}: {fill} is used",
    Reason.GANG_DOES_NOT_FIT: "all {needed} replicas must start together; {room} fit here now",
    Reason.BELOW_MIN_REPLICAS: "the workload starts with no fewer than {needed} replicas; {room} fit now in all",
    Reason.RESERVED_FOR_ANOTHER: "{cluster} is reserved for {workload} in {at_s} s, and it would run until after that; "
    "{passing} of the {room} that fit now delay nothing",
    Reason.BEHIND_BLOCKED_HEAD: "{head} is ahead in queue {queue} and waits",
    Reason.STAYS_ELSEWHERE: "its replicas stay where they run: {detail}",
    Reason.NOT_FILLED: "backfill does not fill this cluster: {detail}",
    Reason.QUIET_HOURS: "quiet hours: nothing is filled for another {left_s} s",
    Reason.ABOVE_CAP: "{what} costs {costs} here, the filler allows {most}",
    Reason.HOLE_TOO_SHORT: "the hole is known to last {left_s} s, the smallest useful slice is {slice_s} s",
    Reason.AT_SHARE: "the filler may have {share} of a cluster, and has it",
    Reason.LOSES_TOO_MUCH: "a hole here lasts {lasts} on average, and {lost} of the work in it is lost when others "
    "need it; with one more replica it were more than {most} of all that the filler does here",
    Reason.KEPT_FREE: "{free} {resource} is free, and the filler leaves {kept} of it free",
    Reason.ALL_PLACED: "all {wanted} replicas that may run at once have a place",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One reason with its numbers. Worded only when asked for."""

    reason: Reason
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """The reason in words."""
        return WORDS[self.reason].format_map({"detail": "", **self.facts})


class ByReason(Mapping[str, Verdict]):
    """Verdicts by cluster that know which clusters give a reason without making every verdict."""

    __slots__ = ()

    @abstractmethod
    def by_reason(self) -> Mapping[Reason, Sequence[str]]:
        """The clusters that give each reason, by name."""


def by_reason(verdicts: Mapping[str, Verdict]) -> Mapping[Reason, Sequence[str]]:
    """The clusters that give each reason, by name."""
    return verdicts.by_reason() if isinstance(verdicts, ByReason) else reasons_of(verdicts)


def reasons_of(verdicts: Mapping[str, Verdict]) -> Mapping[Reason, Sequence[str]]:
    """The same, from the verdicts themselves."""
    found: dict[Reason, list[str]] = {}
    for cluster in sorted(verdicts):
        found.setdefault(verdicts[cluster].reason, []).append(cluster)
    return found
