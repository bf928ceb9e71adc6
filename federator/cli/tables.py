"""Which columns each kind has in a table, and what stands in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from federator.cli import fillers
from federator.cli.output import age, amount, moment

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """``wide``: only with ``-o wide``."""

    heading: str
    text: Callable[[Json], Any]
    wide: bool = False


def where(workload: Json) -> str:
    """Where a workload's replicas are: ``cern 6, exoscale 3``."""
    return ", ".join(f"{cluster} {count}" for cluster, count in sorted((workload.get("placements") or {}).items()))


def health(cluster: Json) -> str:
    """Up or not; and whether it takes work."""
    if (of_downtime := downtime_of(cluster).get("state")) == "begun":
        return "downtime"
    if cluster.get("health") != "up":
        return str(cluster.get("health", ""))
    if cluster.get("draining") or of_downtime == "draining":
        return "draining"
    return "cordoned" if cluster.get("cordoned") else "up"


def downtime_of(cluster: Json) -> Json:
    """What is announced next for a cluster, or holds now; empty: nothing."""
    return cluster.get("downtime") or {}


def downtime(cluster: Json) -> str:
    """When the next downtime of a cluster is, and what for; empty: none is announced."""
    if not (one := downtime_of(cluster)):
        return ""
    drained = f", drained from {moment(one['drainFrom'])}" if one["drainFrom"] < one["from"] else ""
    return f"{moment(one['from'])} to {moment(one['to'])}{drained}{_why(one)}"


def news(cluster: Json) -> str:
    """What a cluster says, or why it takes no work."""
    one, words = downtime_of(cluster), ""
    if one.get("state") in ("draining", "begun"):
        when = f"from {moment(one['from'])}" if one["state"] == "draining" else f"until {moment(one['to'])}"
        words = f"downtime {when}{_why(one)}"
    return "; ".join(filter(None, (cluster.get("message"), words)))


def _why(downtime: Json) -> str:
    return f": {downtime['reason']}" if downtime.get("reason") else ""


def used_of(cluster: Json, resource: str) -> str:
    """Used by anybody, of all there is: ``12/64``."""
    if not cluster.get("capacity"):
        return "?"
    used = sum(float(amounts.get(resource, 0)) for amounts in (cluster.get("used") or {}).values())
    return f"{amount(resource, used)}/{amount(resource, float(cluster['capacity'].get(resource, 0)))}"


def others(cluster: Json) -> str:
    """Resources beside cpu and memory."""
    names = [name for name in cluster.get("capacity") or {} if name not in ("cpu", "memory")]
    return ", ".join(f"{name} {used_of(cluster, name)}" for name in names)


def labels(one: Json) -> str:
    """``key=value,key=value``."""
    return ",".join(f"{key}={value}" for key, value in sorted((one.get("labels") or {}).items()))


def field(name: str) -> Callable[[Json], Any]:
    """The value of one key."""
    return lambda one: one.get(name)


def order_of(policy: Json) -> object:
    """A policy's place; KubeFed's preferences come before all others."""
    preference = policy.get("document", {}).get("kind") == "ReplicaSchedulingPreference"
    return "first" if preference else policy.get("order")


def governs(policy: Json) -> object:
    """How many workloads a policy governs; in the shadow, how many replicas it would put elsewhere."""
    return f"shadow, {policy.get('differs')} differ" if policy.get("shadow") else policy.get("governs")


def progress(workload: Json) -> str:
    """Running, done, and all: ``6 running, 2 done of 9``."""
    parts = [(workload.get("pending"), "pending"), (workload.get("failed"), "failed")]
    more = "".join(f", {count} {word}" for count, word in parts if count)
    return f"{workload.get('running', 0)} running, {workload.get('finished', 0)} done{more} of {workload['replicas']}"


def amounts(key: str) -> Callable[[Json], str]:
    """Amounts by resource: ``cpu 4, memory 8Gi``."""
    return lambda one: ", ".join(f"{name} {amount(name, n)}" for name, n in (one.get(key) or {}).items())


def limits_on(limit: Json) -> str:
    """In use on each cluster, of its own limit where it has one: ``cern 5/5, desy 3``."""
    clusters = sorted((limit.get("clusters") or {}).items())
    return ", ".join(
        f"{name} {one['used']}" + ("" if (most := one.get("limit")) is None else f"/{most}") for name, one in clusters
    )


def busy(pilot: Json) -> str:
    """The part of its core time that leases held: ``62%``."""
    used, idle = (float(pilot.get(f"{word}CpuSeconds") or 0) for word in ("busy", "idle"))
    return f"{used / (used + idle):.0%}" if used + idle else ""


def percent(key: str) -> Callable[[Json], str]:
    """A part of the whole: ``12.5%``."""
    return lambda one: "" if one.get(key) is None else _percent(float(one[key]))


def _percent(part: float) -> str:
    return "<0.1%" if 0 < part < 0.0005 else f"{100 * part:.1f}".removesuffix(".0") + "%"


def left(seconds: float | None) -> str:
    """How long something has to live: ``2h05m``; empty where nobody knows."""
    if seconds is None:
        return ""
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m"


SHARES = (
    Column("USED", amounts("used")),
    Column("SHARE", percent("share")),
    Column("DUE", percent("due")),
    Column("LATELY", percent("lately")),
    Column("QUOTA LEFT", amounts("left")),
    Column("BY WEIGHT", percent("byWeight"), wide=True),
    Column("BORROWED", percent("borrowed"), wide=True),
    Column("QUOTA", amounts("quota"), wide=True),
)
"""What queues and cohorts have and may have."""

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "workloads": (
        Column("NAME", field("name")),
        Column("QUEUE", field("queue")),
        Column("STATE", field("state")),
        Column("REPLICAS", progress),
        Column("WHERE", where),
        Column("AGE", lambda one: age(one.get("submittedAt"))),
        Column("MESSAGE", field("message")),
        Column("POLICY", field("policy"), wide=True),
        Column("OWNER", field("owner"), wide=True),
        Column("PRIORITY", field("priority"), wide=True),
        Column("LABELS", labels, wide=True),
    ),
    "clusters": (
        Column("NAME", field("name")),
        Column("PROVIDER", field("provider")),
        Column("STATUS", health),
        Column("CPU USED", lambda one: used_of(one, "cpu")),
        Column("MEMORY USED", lambda one: used_of(one, "memory")),
        Column("OTHER", others),
        Column("RUNNING", field("running")),
        Column("PENDING", field("pending")),
        Column("MESSAGE", news),
        Column("VERSION", field("version"), wide=True),
        Column("SOURCE", field("source"), wide=True),
        Column("LABELS", labels, wide=True),
    ),
    "queues": (
        Column("NAME", field("name")),
        Column("WEIGHT", field("weight")),
        Column("PRIORITY", field("priority")),
        Column("WORKLOADS", lambda one: ", ".join(f"{n} {state}" for state, n in (one.get("workloads") or {}).items())),
        *SHARES,
        Column("COHORT", field("cohort"), wide=True),
        Column("SOURCE", field("source"), wide=True),
    ),
    "cohorts": (
        Column("NAME", field("name")),
        Column("PARENT", field("parent")),
        Column("WEIGHT", field("weight")),
        Column("QUEUES", lambda one: ", ".join(one.get("queues") or ())),
        *SHARES,
        Column("SOURCE", field("source"), wide=True),
    ),
    "limits": (
        Column("NAME", field("name")),
        Column("SCOPE", field("scope")),
        Column("LIMIT", field("limit")),
        Column("IN USE", field("used")),
        Column("WAITING", field("waiting")),
        Column("ON CLUSTERS", limits_on),
        Column("SOURCE", field("source"), wide=True),
    ),
    "policies": (
        Column("NAME", field("name")),
        Column("ORDER", order_of),
        Column("GOVERNS", governs),
        Column("SOURCE", field("source")),
        Column("MESSAGE", field("message")),
    ),
    "backfills": (
        Column("NAME", field("name")),
        Column("WEIGHT", field("weight")),
        Column("RUNNING", field("running")),
        Column("FINISHED", field("finished")),
        Column("TASKS", field("tasks")),
        Column("WHERE", where),
        Column("MESSAGE", field("message")),
        Column("USEFUL", fillers.useful, wide=True),
        Column("LOST", fillers.lost, wide=True),
        Column("EVICTED", fillers.evicted, wide=True),
        Column("PRODUCTION STARTS", fillers.starts, wide=True),
        Column("SOURCE", field("source"), wide=True),
    ),
    "placements": (
        Column("WORKLOAD", field("workload")),
        Column("ROLE", field("role")),
        Column("CLUSTER", field("cluster")),
        Column("REPLICAS", field("replicas")),
        Column("RUNNING", field("running")),
        Column("PENDING", field("pending")),
        Column("TIER", field("tier")),
        Column("POLICY", field("policy")),
    ),
    "pilots": (
        Column("NAME", field("name")),
        Column("CLUSTER", field("cluster")),
        Column("STATE", field("state")),
        Column("LEASES", field("leases")),
        Column("USED", amounts("used")),
        Column("OF", amounts("resources")),
        Column("BUSY", busy),
        Column("SEEN", lambda one: age(one.get("lastSeen"))),
        Column("LEFT", lambda one: left(one.get("leftSeconds"))),
        Column("HOST", field("host")),
        Column("RUNTIMES", lambda one: ",".join(one.get("runtimes") or ()), wide=True),
        Column("FLAVOR", field("flavor"), wide=True),
        Column("VERSION", field("version"), wide=True),
        Column("LABELS", labels, wide=True),
        Column("MESSAGE", field("message"), wide=True),
    ),
}


def columns(kind: str, wide: bool) -> tuple[Column, ...]:
    """The columns to show."""
    return tuple(column for column in COLUMNS[kind] if wide or not column.wide)


def row(kind: str, one: Json, wide: bool) -> list[Any]:
    """One object's cells."""
    return [column.text(one) for column in columns(kind, wide)]
