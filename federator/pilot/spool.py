"""What a pilot keeps on its disk: what it was given, what that wrote, how it ended. Survives the pilot.

::

    SPOOL/lock                   held as long as a pilot lives over this spool
    SPOOL/name                   the pilot's name
    SPOOL/LEASE/grant.json       what is to run
    SPOOL/LEASE/result.json      how it ended, until the server has answered
    SPOOL/LEASE/log              output and errors
    SPOOL/LEASE/work/            the payload's working directory
    SPOOL/LEASE/checkpoint/      what it keeps, where that is kept
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

Json = dict[str, Any]
GRANT, RESULT, LOG, WORK, CHECKPOINT = "grant.json", "result.json", "log", "work", "checkpoint"
LOG_BYTES = 32 * 1024
"""The end of an output that is kept with its end."""


class SpoolInUse(Exception):
    """Another pilot lives over the spool."""


class Spool:
    """One pilot's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = root.stat()
        if status.st_uid != os.getuid():
            raise SpoolInUse(f"{root} belongs to somebody else; give --spool a folder of your own")
        root.chmod(0o700)
        self._lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SpoolInUse(f"another pilot uses {root}; give each its own --spool") from error

    def folder(self, lease: str) -> Path:
        """Where one lease's files are."""
        return self.root / lease

    def add(self, grant: Json) -> None:
        """Remember a grant, without addresses of its checkpoints: payloads can read it, and must not read those."""
        folder = self.folder(grant["lease"])
        (folder / WORK).mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder / GRANT, {name: value for name, value in grant.items() if name != "checkpoint"})

    def end(self, lease: str, result: Json) -> None:
        """Remember how it ended: on the disk before the server hears of it."""
        _write(self.folder(lease) / RESULT, result)

    def drop(self, lease: str) -> None:
        """Forget all of a lease."""
        shutil.rmtree(self.folder(lease), ignore_errors=True)

    def kept(self) -> tuple[list[Json], dict[str, Json]]:
        """What a pilot before this one left: grants without an end, and ends by lease that may not have arrived."""
        grants, results = [], {}
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir()):
            grant = _read(folder / GRANT)
            if grant is None:
                shutil.rmtree(folder, ignore_errors=True)  # it was never begun
            elif (result := _read(folder / RESULT)) is not None:
                results[folder.name] = result
            else:
                grants.append(grant)
        return grants, results

    def output(self, lease: str, start: int, limit: int = LOG_BYTES) -> tuple[str, int]:
        """At most so many bytes of output from a byte on, as text, and the byte at which they begin."""
        with contextlib.suppress(OSError), open(self.folder(lease) / LOG, "rb") as file:
            file.seek(start)
            return file.read(limit).decode("utf-8", "replace"), start
        return "", start

    def tail(self, lease: str) -> tuple[str, int]:
        """The end of an output, and the byte at which it begins."""
        try:
            size = (self.folder(lease) / LOG).stat().st_size
        except OSError:
            return "", 0
        return self.output(lease, max(0, size - LOG_BYTES))


def _write(path: Path, value: Json) -> None:
    """Whole or not at all, and on the disk."""
    draft = path.with_name(path.name + ".new")
    with open(draft, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path) -> Json | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None
