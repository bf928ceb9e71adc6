"""The slots of a pool as flavors. Pure.

A partitionable slot is a node; dynamic slots are what is used of it. A static slot is a node that is free or is not.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federator.model.cluster import Flavor, NodeGroup
from federator.model.resources import CPU, GPU, MEMORY, STORAGE, Resources

Json = Mapping[str, Any]
CLOSED = ("Owner", "Drained", "Matched", "Preempting")
"""States in which a slot takes nothing."""
ALIKE = ("TotalSlotCpus", "TotalSlotMemory", "TotalSlotGPUs", "Arch", "OpSysAndVer", "GPUs_DeviceName")
"""What slots of one flavor have in common."""
_NOTHING = Resources()
_LABEL = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Slots:
    """What a pool has: ``used`` is what dynamic and claimed slots take, by the name of the slot.

    Backfill slots lie over the others and are emptied for them: what is ``filled`` (their claimed slots, by name) is
    free all the same.
    """

    flavors: tuple[Flavor, ...] = ()
    used: Mapping[str, Resources] = field(default_factory=dict)
    requirements: Mapping[str, str] = field(default_factory=dict)
    """By flavor, the expression that is true of its slots."""
    containers: bool = False
    """Whether some slot can run images."""
    filled: frozenset[str] = frozenset()
    unfilled: str | None = None
    """Why the pool is not filled, although it has backfill slots; empty: it is; None: it has none."""


def read(ads: Sequence[Json]) -> Slots:
    """What the ads of slots tell."""
    below = [ad for ad in ads if ad.get("BackfillSlot") is True]
    ads = [ad for ad in ads if ad.get("BackfillSlot") is not True]
    parts: dict[str, Resources] = defaultdict(Resources)
    used: dict[str, Resources] = {}
    early = _early(ads, below)
    for ad in ads:
        if ad["Name"] in early:
            continue
        if ad.get("SlotType") == "Dynamic":
            used[ad["Name"]] = _now(ad)
            parts[_parent(ad["Name"])] += _now(ad)
        elif ad.get("SlotType") != "Partitionable" and ad.get("State") == "Claimed":
            used[ad["Name"]] = parts[ad["Name"]] = _size(ad)
    nodes: dict[str, Counter[Resources]] = defaultdict(Counter)
    alike: dict[str, Json] = {}
    for ad in ads:
        if ad.get("SlotType") != "Dynamic" and ad.get("Offline") is not True:
            name = flavor_name(ad)
            nodes[name][_free(ad, parts.get(ad["Name"], _NOTHING))] += 1
            alike[name] = ad
    return Slots(
        flavors=tuple(_flavor(name, alike[name], nodes[name]) for name in sorted(alike)),
        used=used,
        requirements={name: _requirement(ad) for name, ad in alike.items()},
        containers=any(ad.get("HasContainer") is True for ad in ads),
        filled=frozenset(ad["Name"] for ad in below if ad.get("State") == "Claimed"),
        unfilled=_unfilled(ads, below),
    )


def _early(ads: Sequence[Json], below: Sequence[Json]) -> set[str]:
    """The slots that have begun before backfill has left their cores: the latest of a machine with cores used twice.

    They do not count yet, as work that is on its way does not: backfill that is still there is leaving, and need not be
    made to leave a second time.
    """
    over: dict[str, int] = defaultdict(int)
    for ad in (*ads, *below):
        if ad.get("SlotType") == "Dynamic":
            over[_host(ad)] += _whole(ad.get("Cpus"))
    for ad in ads:
        if ad.get("SlotType") != "Dynamic":
            over[_host(ad)] -= _whole(ad.get("TotalSlotCpus"))
    found = set()
    for ad in sorted(ads, key=lambda ad: _whole(ad.get("EnteredCurrentState")), reverse=True):
        if ad.get("SlotType") == "Dynamic" and over[_host(ad)] > 0:
            found.add(ad["Name"])
            over[_host(ad)] -= _whole(ad.get("Cpus"))
    return found


def _unfilled(ads: Sequence[Json], below: Sequence[Json]) -> str | None:
    """The planner takes every machine for one that can be filled, so all must have backfill slots."""
    without = sorted({_host(ad) for ad in ads} - {_host(ad) for ad in below})
    if not below:
        return None
    return f"{len(without)} machines ({without[0]} ...) have no backfill slot" if without else ""


def flavor_name(ad: Json) -> str:
    """The same for slots that are alike: ``16c-64g-1a2b3c``."""
    mark = hashlib.sha256(repr([ad.get(name) for name in ALIKE]).encode()).hexdigest()[:6]
    return f"{_whole(ad.get('TotalSlotCpus'))}c-{_whole(ad.get('TotalSlotMemory')) >> 10}g-{mark}"


def total(amounts: Iterable[Resources]) -> Resources:
    """The sum."""
    found = Resources()
    for amount in amounts:
        found = found + amount
    return found


def _flavor(name: str, ad: Json, nodes: Counter[Resources]) -> Flavor:
    labels = {"arch": ad.get("Arch"), "os": ad.get("OpSysAndVer"), "gpu": ad.get("GPUs_DeviceName")}
    groups = tuple(NodeGroup(free, count) for free, count in sorted(nodes.items(), key=lambda one: one[0].items_))
    return Flavor(
        name=name,
        count=nodes.total(),
        allocatable=_size(ad),
        nodes=groups,
        labels={key: _LABEL.sub("-", value).strip("-._")[:63] for key, value in labels.items() if value},
    )


def _requirement(ad: Json) -> str:
    """True of the slots of a flavor, of their dynamic slots too."""
    terms = []
    for name in ALIKE:
        value = ad.get(name)
        if name.startswith("TotalSlot"):
            # A dynamic slot tells its own size; it is matched again only by whom it was made for.
            terms.append(f'(TARGET.SlotType == "Dynamic" || TARGET.{name} == {_whole(value)})')
        elif isinstance(value, str) and '"' not in value and "\\" not in value:
            terms.append(f'TARGET.{name} == "{value}"')
    return " && ".join(terms)


def _size(ad: Json) -> Resources:
    return _amounts(*(ad.get(f"TotalSlot{what}") for what in ("Cpus", "Memory", "Disk", "GPUs")))


def _now(ad: Json) -> Resources:
    return _amounts(*(ad.get(what) for what in ("Cpus", "Memory", "Disk", "GPUs")))


def _amounts(cpus: object, memory_mib: object, disk_kib: object, gpus: object) -> Resources:
    return Resources.of(
        {CPU: 1000 * _whole(cpus), MEMORY: _whole(memory_mib) << 20, STORAGE: _whole(disk_kib) << 10, GPU: _whole(gpus)}
    )


def _free(ad: Json, taken: Resources) -> Resources:
    """Counted from what is taken, not as the slot tells it: ads of a slot and of its parts come at different times."""
    if ad.get("State") in CLOSED or ad.get("Draining") is True:
        return Resources()
    return Resources.of({name: max(0, amount - taken[name]) for name, amount in _size(ad).items_})


def _parent(name: str) -> str:
    """``slot1_3@host`` is a part of ``slot1@host``."""
    return re.sub(r"_\d+(?=@|$)", "", name, count=1)


def _host(ad: Json) -> str:
    return str(ad["Name"]).rpartition("@")[2]


def _whole(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0
