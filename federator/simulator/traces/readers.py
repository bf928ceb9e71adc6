"""Which logs are read, and how each is known. One more format is one more file, and one more row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from federator.documents.sources import TracePart
from federator.simulator.traces import condor, openb, own, philly, sacct, swf
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError, lines
from federator.simulator.traces.sorting import in_order


class Reader(NamedTuple):
    """How a format is read, and whether a log that begins with a line is surely one of its kind."""

    read: Callable[[Path, TracePart], Iterator[Job]]
    known: Callable[[str], bool]
    ending: str = ""
    """How the names of such logs end, before ``.gz`` or ``.zst``, where that says it."""
    ordered: bool = True
    """Whether a log has to be in the order of submission, so that not all need be read before the first is given."""
    dated: bool = False
    """Whether times count since 1970, not from the beginning of the log."""


READERS = {
    "swf": Reader(swf.read, swf.known, ending=".swf"),
    "sacct": Reader(sacct.read, sacct.known, ordered=False, dated=True),
    "condor": Reader(condor.read, condor.known, ordered=False, dated=True),
    "philly": Reader(philly.read, philly.known, ordered=False, dated=True),
    "openb": Reader(openb.read, openb.known, ordered=False),
    "federator": Reader(own.read, own.known),
}
"""By the names that ``format`` has in Scenario documents."""
PACKED = (".gz", ".zst")
AS_IT_IS = TracePart.model_validate({"file": "log"})
"""How logs are read where nothing else is said."""


def format_of(path: Path) -> str:
    """Which format it has, by its name or else its first line. Raises TraceError where that is not sure."""
    name = path.name
    for packed in PACKED:
        name = name.removesuffix(packed)
    told = ((number, text) for number, text in lines(path) if text.strip() and not text.startswith("#"))
    number, first = next(told, (0, ""))
    if not number:
        raise TraceError(str(path), 0, "is empty", "fetch it again, or leave it out")
    found = [one for one, reader in READERS.items() if reader.ending and name.endswith(reader.ending)]
    found = found or [one for one, reader in READERS.items() if reader.known(first)]
    if len(found) != 1:
        raise TraceError(str(path), number, "its format is not known", f"say which of {', '.join(READERS)} it is")
    return found[0]


def recorded(path: Path, part: TracePart = AS_IT_IS) -> Iterator[Job]:
    """The jobs of a log in the order of submission, with its own times. Raises TraceError."""
    reader = READERS[part.format or format_of(path)]
    found = reader.read(path, part)
    return found if reader.ordered else in_order(path, found)


def jobs(path: Path, part: TracePart = AS_IT_IS) -> Iterator[Job]:
    """The same; times that count since 1970 count from the first submission. Raises TraceError."""
    dated = READERS[part.format or format_of(path)].dated
    return _from_the_first(recorded(path, part)) if dated else recorded(path, part)


def _from_the_first(jobs: Iterator[Job]) -> Iterator[Job]:
    first_s: float | None = None
    for job in jobs:
        first_s = job.submit_s if first_s is None else first_s
        yield job._replace(submit_s=job.submit_s - first_s)
