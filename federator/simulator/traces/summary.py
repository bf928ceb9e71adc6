"""What is in a log, in one pass over it, in its own order: no job is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from federator.model.resources import CPU, GPU, Resources
from federator.simulator.traces.readers import AS_IT_IS, READERS, format_of
from federator.simulator.traces.swf import header

NAMES = ("user", "group", "queue", "partition")
TIMES = ("wait_s", "run_s", "expected_s")


def summary(path: Path, format_: str | None = None) -> dict[str, Any]:
    """The header, how many jobs there are from when to when, their extremes and sums, and what is not known.

    Raises TraceError.
    """
    form = format_ or format_of(path)
    unknown = Counter[str]()
    names: dict[str, set[str]] = {name: set() for name in NAMES}
    count = unordered = widest = most_gpus = 0
    first_s = last_s = before_s = longest_s = processor_s = gpu_s = 0.0
    for job in READERS[form].read(path, AS_IT_IS):
        count += 1
        asked = sum((role.requests * role.replicas for role in job.roles), Resources())
        run_s = job.run_s or 0.0
        unknown.update(name for name in TIMES if getattr(job, name) is None)
        unknown.update(name for name in NAMES if not getattr(job, name))
        unknown.update(["requests"] if not job.roles else [])
        for name, seen in names.items():
            seen.add(getattr(job, name))
        first_s = job.submit_s if count == 1 else min(first_s, job.submit_s)
        last_s, unordered, before_s = max(last_s, job.submit_s), unordered + (job.submit_s < before_s), job.submit_s
        widest, longest_s = max(widest, -(-asked[CPU] // 1000)), max(longest_s, run_s)
        most_gpus = max(most_gpus, asked[GPU])
        processor_s, gpu_s = processor_s + asked[CPU] / 1000 * run_s, gpu_s + asked[GPU] * run_s
    zero_s = first_s if READERS[form].dated else 0.0
    return {
        "format": form,
        "header": [{"key": key, "value": value} for key, value in header(path)] if form == "swf" else [],
        "jobs": count,
        "first_submit_s": first_s - zero_s,
        "last_submit_s": last_s - zero_s,
        "out_of_order": unordered,
        "most_processors": widest,
        "most_gpus": most_gpus,
        "longest_run_s": longest_s,
        "processor_s": processor_s,
        "gpu_s": gpu_s,
        **{f"{name}s": len(seen - {""}) for name, seen in names.items()},
        "unknown": {name: unknown[name] for name in (*TIMES, "requests", *NAMES) if unknown[name]},
    }
