"""What the daemon has sent to a Slurm cluster and seen of it, on its disk: Slurm forgets a job minutes after its end.

One file of JSON for each intent. What was cancelled stays known for a week, so that a job of it that turns up late (a
call that Slurm carried out long after we gave it up) is recognized and removed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from federator.model.indexset import IndexSet
from federator.model.intent import Failure

KEPT_S = 7 * 86_400.0
_PLAIN = (
    "intent", "spec_hash", "created_s", "size", "limit_s", "backfill", "kept", "attempt", "jobs", "refused", "leaving",
    "gone_s", "started_s",
)  # fmt: skip


@dataclass(slots=True)
class Entry:
    """One intent. Changed in place by the provider, and then saved."""

    intent: str
    indices: IndexSet
    spec_hash: str
    created_s: float
    size: int
    """Of its arrays."""
    limit_s: float | None = None
    backfill: bool = False
    kept: bool = False
    """Whether checkpoints of its replicas are kept."""
    attempt: Mapping[str, Any] | None = None
    """Where, as JSON; None also for what is only known by the comments of its jobs."""
    jobs: dict[int, list[int]] = field(default_factory=dict)
    """The ids of the arrays, by base; more than one where an answer was lost."""
    refused: dict[int, str] = field(default_factory=dict)
    """Why Slurm has no node that could hold an array, by base."""
    succeeded: IndexSet = IndexSet()
    failed: dict[int, Failure] = field(default_factory=dict)
    withdrawn: IndexSet = IndexSet()
    leaving: bool = False
    gone_s: float = 0.0
    """When it was found to be gone after a cancel; 0: it is not."""
    started_s: float | None = None
    told: bool = True
    """Not kept: False where only Slurm's jobs tell of it, and not all of its indices need be known."""
    sent: dict[int, int] = field(default_factory=dict)
    """Not kept: before which listing each array id became known. Older listings do not show it."""

    @property
    def once(self) -> bool:
        """Whether a replica runs under one job once: the federator starts anew what Slurm took away."""
        return self.backfill or self.kept

    @property
    def ended(self) -> IndexSet:
        """The indices whose end is known."""
        return self.succeeded | IndexSet.of(self.failed)


class Ledger:
    """The entries of a cluster. ``entries`` may be read; all else blocks on the disk. Raises OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.entries: dict[str, Entry] = {}

    def open(self) -> None:
        """Read what is there."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(self._directory.glob("*.json")):
            entry = _read(path)
            self.entries[entry.intent] = entry

    def outdated(self, now_s: float) -> list[Entry]:
        """What has been gone for so long that nothing of it can turn up any more."""
        return [entry for entry in self.entries.values() if entry.gone_s and now_s - entry.gone_s > KEPT_S]

    def write(self, intent: str, text: str | None) -> None:
        """Replace an entry's file (None: remove it); after a crash it is the old one or the new one, whole."""
        path = self._directory / f"{intent}.json"
        if text is None:
            path.unlink(missing_ok=True)
            return
        draft = path.with_suffix(".new")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
            raise
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def to_text(entry: Entry) -> str:
    """The entry as JSON."""
    told: dict[str, Any] = {name: getattr(entry, name) for name in _PLAIN}
    told |= {name: str(getattr(entry, name)) for name in ("indices", "succeeded", "withdrawn")}
    return json.dumps({**told, "failed": [asdict(failure) for failure in entry.failed.values()]}, separators=(",", ":"))


def _read(path: Path) -> Entry:
    try:
        told = json.loads(path.read_text("utf-8"))
        for name in ("indices", "succeeded", "withdrawn"):
            told[name] = IndexSet.parse(told[name])
        for name in ("jobs", "refused"):
            told[name] = {int(base): value for base, value in told[name].items()}
        told["failed"] = {one["index"]: Failure(**one) for one in told["failed"]}
        return Entry(**told)
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"{path} is damaged ({error}): move it away, and its jobs are found by their comments") from error
