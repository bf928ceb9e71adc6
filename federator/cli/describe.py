"""All that is known of one object, for people; and why a workload is where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from federator.cli import fillers, tables
from federator.cli.output import amount, moment, say, table, yaml_text

Json = Mapping[str, Any]


def show(kind: str, one: Json, history: Sequence[Json]) -> None:
    """Describe one object."""
    if kind == "clusters":
        _cluster(one)
    elif kind in ("queues", "cohorts"):
        _line(one)
    elif kind == "backfills":
        _filler(one)
    elif kind == "pilots":
        shown = {**one, "resources": _amounts(one.get("resources")), "used": _amounts(one.get("used"))}
        _fields(shown, skip=("leftSeconds",))
    else:
        _fields(one, skip=("document",))
    if one.get("document"):
        say("\nDocument:")
        say("\n".join("  " + line for line in yaml_text(one["document"]).rstrip().splitlines()))
    if history:
        say("\nHistory:")
        rows = [[moment(entry["at"]), entry["kind"], entry.get("cluster"), entry["message"]] for entry in history]
        table(["WHEN", "WHAT", "CLUSTER", "MESSAGE"], rows)


def explain(found: Json) -> None:
    """Why a workload is where it is: its policy, each cluster, what would have to change."""
    state = f"is {found['state']}" if found.get("state") else "is there"
    policy = f", governed by policy {found['policy']}" if found.get("policy") else ""
    source = f" ({found['source']})" if found.get("source") else ""
    say(f"Workload {found.get('workload', '')} {state}{policy}{source}.")
    if found.get("message"):
        say(str(found["message"]))
    if found.get("position"):
        say(f"It is number {found['position']} in the order of service.")
    if found.get("expected_start_s"):
        boots = any(one.get("replicas") for one in found.get("clusters") or ())
        why = "the nodes that it was given have yet to boot" if boots else "room is reserved for it"
        say(f"It is expected to start in {found['expected_start_s']:.0f} s: {why}.")
    if found.get("queue"):
        say(_in_its_queue(found))
    shares = found.get("clusters") or ()
    if shares:
        roles = any(one.get("role") for one in shares)
        headings = [
            "CLUSTER",
            *(["ROLE"] if roles else []),
            "TIER",
            "ROOM",
            "WEIGHT",
            "MIN",
            "MAX",
            "RUNS",
            "SHARE",
            "GETS",
        ]
        say("")
        table([*headings, "WHY NOT MORE"], [_share(one, roles) for one in shares])
    if lacking := [one for one in shares if one.get("lacks")]:
        say("\nData that is not there:")
        rows = [[one["cluster"], amount("memory", float(one["lacks"])), one["nearness"]] for one in lacking]
        table(["CLUSTER", "LACKS", "WEIGHT TIMES"], rows)
    if whole := [one for one in shares if one.get("wholeCores")]:
        say("\nClusters that give whole cores:")
        rows = [[one["cluster"], *(one["wholeCores"][key] for key in ("asked", "takes", "most"))] for one in whole]
        table(["CLUSTER", "ASKED", "TAKES", "HOLDS AT MOST"], rows)
    if flavors := found.get("flavors") or ():
        roles = any(one.get("role") for one in flavors)
        say("\nWhich nodes it uses first:")
        headings = ["CLUSTER", *(["ROLE"] if roles else []), "FLAVOR", "RANK", "FITS", "COULD FIT", "PRICE/H"]
        table([*headings, "WHY NOT"], [_flavor(one, roles) for one in flavors])
    cures = list(found.get("cures") or ())
    for title, lines in (
        ("What the clusters say of its replicas:", [_note(note) for note in found.get("notes") or ()]),
        ("The smallest change that would let it start (more):", [found.get("smallest")] if len(cures) > 1 else []),
        ("Any of these would let it start (more):", cures),
    ):
        if lines:
            say(f"\n{title}")
            for line in lines:
                say(f"  - {line}")


def _share(one: Json, roles: bool) -> list[Any]:
    return [
        one.get("cluster"),
        *([one.get("role")] if roles else []),
        one.get("tier"),
        "unlimited" if one.get("room", "") is None else one.get("room"),
        one.get("weight"),
        one.get("min"),
        one.get("max"),
        one.get("running"),
        "" if one.get("share") is None else f"{float(one['share']):.2f}",
        one.get("replicas"),
        one.get("message"),
    ]


def _flavor(one: Json, roles: bool) -> list[Any]:
    role = [one.get("role")] if roles else []
    could = one.get("couldAdd") or ""
    if could and one.get("boot_s"):
        could = f"{could} in {one['boot_s']:.0f} s"
    numbers = [one.get("rank"), one.get("room"), could, one.get("price") or ""]
    return [one.get("cluster"), *role, one.get("flavor"), *numbers, one.get("message")]


def _note(note: Json) -> str:
    return f"{note.get('cluster')}, replica {note.get('index')}: {note.get('reason')}: {note.get('message')}"


def _in_its_queue(found: Json) -> str:
    share = found.get("queueShare") or {}
    of, due, lately = (tables.percent(key)(share) for key in ("share", "due", "lately"))
    return (
        f"It is number {found.get('queuePosition')} of queue {found['queue']}, "
        f"which uses {of} of the federation ({due} is due to it) and had {lately} lately."
    )


def _line(one: Json) -> None:
    """A queue or a cohort: its settings, its shares, and its amounts by resource."""
    amounts = ("used", "quota", "left")
    parts = ("share", "due", "lately", "byWeight", "borrowed")
    _fields(one, skip=(*amounts, *parts, "dominant"))
    for key in parts:
        of = f" of all {one['dominant']}" if key == "share" and one.get("dominant") else ""
        say(f"{_heading(key) + ':':<14} {tables.percent(key)(one)}{of}")
    columns = [one.get(key) or {} for key in amounts]
    names = sorted({name for column in columns for name in column})
    if names:
        say("")
        rows = [[name, *(amount(name, float(c[name])) if name in c else "" for c in columns)] for name in names]
        table(["RESOURCE", "USED", "QUOTA", "LEFT"], rows)


def _filler(one: Json) -> None:
    """A filler: its numbers, then cluster by cluster, then what it leaves free."""
    _fields(one, skip=("document", "clusters", "productionStart", "usefulCpuSeconds", "lostCpuSeconds", "evictions"))
    say(f"\nSince the daemon began: {fillers.useful(one)} of CPU time useful, {fillers.lost(one)} lost.")
    if words := fillers.starts_sentence(one):
        say(f"Where it has run, production started {words}.")
    if clusters := one.get("clusters") or ():
        say("")
        table(fillers.HEADINGS, [fillers.row(each) for each in clusters])
    if lines := [fillers.kept(each["cluster"], free) for each in clusters for free in each.get("keptFree") or ()]:
        say("\nKept free for production:")
        for line in lines:
            say(f"  - {line}")


def _cluster(one: Json) -> None:
    told_below = ("capacity", "used", "free", "flavors", "pilotCpuSeconds", "productionStart", "downtime")
    _fields(one, skip=told_below)
    if announced := tables.downtime(one):
        say(f"{'Downtime:':<14} {announced}")
    if words := fillers.starts_sentence(one):
        say(f"{'Production:':<14} started {words}, since the daemon began")
    if spent := one.get("pilotCpuSeconds"):
        total = sum(spent.values())
        share = f"{spent['payload'] / total:.0%} of the cores that pilots held" if total else "no pilot has lived yet"
        say(f"{'Pilots busy:':<14} {share}, since the daemon began")
    capacity = one.get("capacity") or {}
    used = one.get("used") or {}
    kinds = [*(used.get(kind) or {} for kind in ("production", "backfill", "foreign")), one.get("free") or {}, capacity]
    rows = [[name, *(amount(name, float(amounts.get(name, 0))) for amounts in kinds)] for name in capacity]
    if rows:
        say("")
        table(["RESOURCE", "PRODUCTION", "BACKFILL", "FOREIGN", "FREE", "CAPACITY"], rows)
    flavors = one.get("flavors") or ()
    if flavors:
        say("")
        cells = [
            [
                flavor.get("name"),
                flavor.get("count"),
                _amounts(flavor.get("allocatable")),
                tables.labels(flavor),
                ", ".join(map(str, flavor.get("taints") or ())),
            ]
            for flavor in flavors
        ]
        table(["FLAVOR", "NODES", "EACH", "LABELS", "TAINTS"], cells)


def _amounts(amounts: Any) -> str:
    return ", ".join(f"{name} {amount(name, float(value))}" for name, value in (amounts or {}).items())


def _fields(one: Json, skip: tuple[str, ...]) -> None:
    """One line a field, times as times."""
    for key, value in one.items():
        if key in skip or value in (None, "", {}, []):
            continue
        if key in ("submittedAt", "startedAt", "endedAt", "lastSeen", "registeredAt", "endsAt"):
            value = moment(value)
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, Mapping):
            value = ", ".join(f"{name} {inner}" for name, inner in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        say(f"{_heading(key) + ':':<14} {value}")


def _heading(key: str) -> str:
    """``submittedAt`` as ``Submitted at``."""
    words = "".join(f" {char.lower()}" if char.isupper() else char for char in key)
    return words[:1].upper() + words[1:]
