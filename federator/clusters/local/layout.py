"""The files of one intent, and how to write them so that a crash leaves them whole. Standard library only.

::

    DIRECTORY/.lock                    held for a moment by whoever changes something
    DIRECTORY/.cancelled               one id a line: intents that must never run (again)
    DIRECTORY/INTENT/order.json        what should run; written by the provider
    DIRECTORY/INTENT/cancel.json       what should leave; written by the provider
    DIRECTORY/INTENT/addresses.json    where checkpoints are, by index, if they are kept; written by the provider
    DIRECTORY/INTENT/journal           what happened; written by the supervisor, a line of JSON for each event
    DIRECTORY/INTENT/lock              held as long as a supervisor lives
    DIRECTORY/INTENT/poke              a FIFO: a byte in it makes the supervisor read the two files again
    DIRECTORY/INTENT/supervisor.log    what went wrong in the supervisor itself
    DIRECTORY/INTENT/logs/INDEX.log    output and errors of a replica
    DIRECTORY/INTENT/INDEX/            working directory of a replica
    DIRECTORY/INTENT/checkpoints/INDEX/    what a replica keeps, where it is kept
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

ORDER = "order.json"
CANCEL = "cancel.json"
ADDRESSES = "addresses.json"
JOURNAL = "journal"
LOCK = "lock"
POKE = "poke"
SUPERVISOR_LOG = "supervisor.log"

MARKER = "FEDERATOR_DIRECTORY"
"""Environment variable that every process of a replica carries: its ``DIRECTORY/INTENT/INDEX``."""

Event = dict[str, Any]
Ranges = list[list[int]]
"""Half-open ranges of indices, as JSON has them."""


def log_path(intent_directory: str, index: int) -> str:
    """Where the output of a replica goes."""
    return os.path.join(intent_directory, "logs", f"{index}.log")


def checkpoint_path(intent_directory: str, index: int) -> str:
    """Where a replica writes what is to be kept."""
    return os.path.join(intent_directory, "checkpoints", str(index))


def indices_of(ranges: Ranges) -> Iterator[int]:
    """The single indices of ranges."""
    for start, stop in ranges:
        yield from range(start, stop)


def write_json(path: str, value: object) -> None:
    """Replace a file by the JSON of a value: after a crash it holds the old value or the new one, whole."""
    draft = f"{path}.new"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(value, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Make sure that the names in a directory are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_json(path: str) -> dict[str, Any] | None:
    """The JSON object of a file; None if there is no such file. Raises ValueError, naming the file."""
    try:
        with open(path, encoding="utf-8") as file:
            value: dict[str, Any] = json.load(file)
            return value
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def poke(intent_directory: str) -> None:
    """Tell a supervisor, if one listens, to read its orders again."""
    # ENXIO: nobody listens; EAGAIN: it has enough unread pokes; ENOENT: the intent is being removed.
    with contextlib.suppress(OSError):
        fd = os.open(os.path.join(intent_directory, POKE), os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(fd, b"!")
        finally:
            os.close(fd)


class JournalReader:
    """Reads a journal piece by piece."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.offset = 0

    def new_events(self) -> list[Event]:
        """The events written since the last call. A line without its end is not read yet: it may be torn."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data.rpartition(b"\n")[0]
        if not whole:
            return []
        try:
            events = [json.loads(line) for line in whole.split(b"\n")]
        except ValueError as error:
            raise ValueError(f"{self.path} is damaged: {error}") from error
        self.offset += len(whole) + 1
        return events


class Journal:
    """The supervisor's hold on the journal. Nobody else writes to it while the supervisor's lock is held."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._fd).st_size
        self._size = os.pread(self._fd, size, 0).rfind(b"\n") + 1
        # What a crash left unfinished was never acted upon.
        os.ftruncate(self._fd, self._size)
        self._owed = b""

    def write(self, events: Iterable[Event]) -> bool:
        """Write events now, all or none; False if the disk does not take them."""
        return self.settle() and self._append(_lines(events))

    def owe(self, events: Iterable[Event]) -> None:
        """Write events now, or, if the disk does not take them, with the next ``settle``: they are facts already."""
        self._owed += _lines(events)
        self.settle()

    def settle(self) -> bool:
        """Write what is owed; False if the disk still does not take it."""
        if self._owed and not self._append(self._owed):
            return False
        self._owed = b""
        return True

    def _append(self, data: bytes) -> bool:
        try:
            rest = data
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            return False
        self._size += len(data)
        return True


def _lines(events: Iterable[Event]) -> bytes:
    return b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)
