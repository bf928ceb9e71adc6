"""What is in a log, in one pass over it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from federator.simulator.traces.swf import FIELDS, header, jobs


def summary(path: Path) -> dict[str, Any]:
    """The header, how many jobs there are from when to when, their extremes and sums, and what is not known.

    Raises TraceError.
    """
    unknown = Counter[str]()
    users: dict[str, set[float]] = {name: set() for name in ("user", "group", "queue", "partition")}
    count = unordered = widest = longest_s = 0
    first_s = last_s = before_s = processor_s = 0.0
    for job in jobs(path):
        count += 1
        unknown.update(name for name, value in zip(FIELDS, job, strict=True) if value == -1)
        for name, seen in users.items():
            seen.add(getattr(job, name))
        first_s = job.submit_s if count == 1 else min(first_s, job.submit_s)
        last_s, unordered = max(last_s, job.submit_s), unordered + (job.submit_s < before_s)
        before_s = job.submit_s
        processors = max(job.processors, job.used_processors)
        widest, longest_s = max(widest, int(processors)), max(longest_s, int(job.run_s))
        processor_s += max(0.0, processors) * max(0.0, job.run_s)
    return {
        "header": [{"key": key, "value": value} for key, value in header(path)],
        "jobs": count,
        "first_submit_s": first_s,
        "last_submit_s": last_s,
        "out_of_order": unordered,
        "most_processors": widest,
        "longest_run_s": longest_s,
        "processor_s": processor_s,
        **{f"{name}s": len(seen - {-1.0}) for name, seen in users.items()},
        "unknown": {name: unknown[name] for name in FIELDS if unknown[name]},
    }
