"""Jobs of a log in the order of submission, however long it is: what is too much for memory waits in a file."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from heapq import merge
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import IO, NamedTuple

from zstandard import ZstdCompressor, ZstdDecompressor

from federator.simulator.traces.job import Job, alike
from federator.simulator.traces.opening import TraceError

AT_ONCE = 1 << 15
"""So many jobs are put in order at a time."""
IN_A_BLOCK = 256
"""So many are read again at a time, of each stretch that is in order."""
BY_SUBMISSION = attrgetter("submit_s")
ROLES = Job._fields.index("roles")


class _Stretch(NamedTuple):
    """Jobs in the order of submission, in the file: where its blocks begin and how many bytes each has."""

    blocks: list[tuple[int, int]]
    first_s: float
    last_s: float


def in_order(path: Path, jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs of a log in the order of submission, those of one moment in the log's order.

    Of a log of more than ``AT_ONCE`` jobs, stretches that are in order are written to a temporary file and merged.
    Raises TraceError, also where there is no room for that file.
    """
    coming = iter(jobs)
    some = sorted(islice(coming, AT_ONCE), key=BY_SUBMISSION)
    if len(some) < AT_ONCE:
        yield from some
        return
    with room(path), spool() as file:
        stretches: list[_Stretch] = []
        while some:
            one = _written(file, some)
            if stretches and stretches[-1].last_s <= one.first_s:
                before = stretches.pop()
                one = _Stretch(before.blocks + one.blocks, before.first_s, one.last_s)
            stretches.append(one)
            some.clear()  # or there were twice as many in memory
            some = sorted(islice(coming, AT_ONCE), key=BY_SUBMISSION)
        yield from merge(*(_read(file, one) for one in stretches), key=BY_SUBMISSION)


def spool() -> IO[bytes]:
    """A file in the folder of temporary files that nobody else sees, and that is gone when it is closed."""
    return tempfile.TemporaryFile(prefix="federator-")


@contextmanager
def room(path: Path) -> Iterator[None]:
    """For what is done with such a file for a log. Raises TraceError where there is no room for it."""
    try:
        yield
    except OSError as error:
        message = f"is too long for memory, and cannot wait in a file: {error.strerror or error}"
        raise TraceError(str(path), 0, message, "make room there, or name another folder in TMPDIR") from None


def _written(file: IO[bytes], jobs: list[Job]) -> _Stretch:
    """Write jobs that are in order, field by field: that is quicker, and smaller."""
    packer, blocks = ZstdCompressor(level=1), list[tuple[int, int]]()
    for at in range(0, len(jobs), IN_A_BLOCK):
        block = packer.compress(pickle.dumps(list(zip(*jobs[at : at + IN_A_BLOCK], strict=True))))
        blocks.append((file.tell(), len(block)))
        file.write(block)
    return _Stretch(blocks, jobs[0].submit_s, jobs[-1].submit_s)


def _read(file: IO[bytes], stretch: _Stretch) -> Iterator[Job]:
    """The jobs again. Those that are alike share their roles as before."""
    unpacker = ZstdDecompressor()
    for begin, length in stretch.blocks:
        file.seek(begin)
        fields = pickle.loads(unpacker.decompress(file.read(length)))
        same = {id(roles): alike(roles) for roles in fields[ROLES]}
        fields[ROLES] = [same[id(roles)] for roles in fields[ROLES]]
        yield from map(Job._make, zip(*fields, strict=True))
