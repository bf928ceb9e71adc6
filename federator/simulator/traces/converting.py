"""Other logs become logs in the Standard Workload Format: in the order of submission, from the first on."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from federator.simulator.traces.sacct import Names, jobs
from federator.simulator.traces.swf import SwfJob


def convert(source: Path, to: Path) -> int:
    """Write what ``sacct`` printed as SWF, packed with gzip if ``to`` ends so; returns how many jobs there are.

    Raises TraceError, OSError. Jobs are numbered anew. The header has the names behind the numbers of users, groups,
    queues and partitions.
    """
    names = Names()
    ordered = sorted(jobs(source, names), key=lambda job: job.submit_s)
    text = "".join(f"{line}\n" for line in _lines(ordered, names))
    data = text.encode()
    to.write_bytes(gzip.compress(data, mtime=0) if to.suffix == ".gz" else data)
    return len(ordered)


def _lines(ordered: Sequence[SwfJob], names: Names) -> Iterator[str]:
    first_s = ordered[0].submit_s if ordered else 0.0
    yield "; Version: 2.2"
    yield f"; UnixStartTime: {first_s:.0f}"
    yield f"; MaxJobs: {len(ordered)}"
    for kind, numbers in names.numbers.items():
        for name, number in numbers.items():
            yield f"; {kind.capitalize()}: {number} {name}"
    for number, job in enumerate(ordered, start=1):
        renumbered = job._replace(number=number, submit_s=job.submit_s - first_s)
        yield " ".join(f"{value:.0f}" for value in renumbered)
