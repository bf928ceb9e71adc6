"""What is shown of backfill: what it was worth, what it leaves free and why, and how long production takes to start."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from federator.cli.output import amount

Json = Mapping[str, Any]
HEADINGS = ("CLUSTER", "REPLICAS", "USEFUL", "LOST", "EVICTED", "PRODUCTION STARTS", "WHY NOT MORE")


def cpu_time(seconds: float) -> str:
    """CPU time as people read it: ``40 s``, ``1.5 h``, ``12,345 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"


def useful(one: Json) -> str:
    """CPU time that was worth something."""
    return cpu_time(float(one.get("usefulCpuSeconds") or 0))


def lost(one: Json) -> str:
    """CPU time that was lost, and what part of all that is: ``2.0 h (1.3%)``."""
    useful_s, lost_s = (float(one.get(f"{word}CpuSeconds") or 0) for word in ("useful", "lost"))
    return cpu_time(lost_s) + (f" ({lost_s / (useful_s + lost_s):.1%})" if lost_s else "")


def evicted(one: Json) -> str:
    """Replicas that ended before their time, by cause: ``Preempted 12, Withdrawn 3``."""
    return ", ".join(f"{cause} {count}" for cause, count in (one.get("evictions") or {}).items())


def starts(one: Json) -> str:
    """How long production took to start: ``3.1 s beside, 1.1 s without``."""
    found = one.get("productionStart") or {}
    words = {"backfill": "beside", "free": "without"}
    return ", ".join(f"{found[key]['medianSeconds']:.1f} s {word}" for key, word in words.items() if key in found)


def starts_sentence(one: Json) -> str:
    """The same as a sentence, with how many starts stand behind each number; empty where there was none."""
    found = one.get("productionStart") or {}
    words = {"backfill": "where backfill ran", "free": "where none did"}
    parts = [
        f"{found[key]['medianSeconds']:.1f} s {word} (median of the last {found[key]['of']})"
        for key, word in words.items()
        if key in found
    ]
    return f"after {', '.join(parts)}" if parts else ""


def row(one: Json) -> list[Any]:
    """A filler's share of one cluster."""
    why = f"{one['reason']}: {one['message']}" if one.get("reason") else ""
    return [one["cluster"], one["replicas"], useful(one), lost(one), evicted(one), starts(one), why]


def kept(cluster: str, one: Json) -> str:
    """What it leaves free of a resource there, and which rule decides."""
    resource = one["resource"]
    all_, fixed, lately, most = (amount(resource, float(one[k])) for k in ("kept", "keepFree", "idleFor", "idleAtMost"))
    at_s = one.get("mostUsedAt")
    when = f", most at {time.strftime('%H:%M:%S', time.localtime(at_s))}" if at_s else ""
    used = f"others used {lately} more within idleFor{when}"
    words = {
        "keepFree": f"keepFree is {fixed}" + (f", and {used}" if float(one["idleFor"]) else ""),
        "idleFor": used,
        "idleAtMost": f"{used}; idleAtMost keeps no more than {most} of it",
    }
    return f"{cluster}: {all_} {resource}: {words[one['rule']]}"
