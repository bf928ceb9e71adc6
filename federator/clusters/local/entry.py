"""One intent of a local cluster as the provider reads it from its files."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace

from federator.clusters.local import layout, story, translate
from federator.model.backfill import lost_s
from federator.model.indexset import IndexSet
from federator.model.intent import Note, ObservedIntent
from federator.model.resources import Resources

TRIES_TO_TELL = 3
TRY_AGAIN_S, TRY_AGAIN_MAX_S = 0.5, 60.0


class Entry:
    """One intent: its files as last read. Its replicas' room is taken from the pool while they are bound."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.order: translate.Json = {}
        self.cancel: translate.Json = {}
        self.story = story.Story()
        self.journal = layout.JournalReader(os.path.join(path, layout.JOURNAL))
        self.taken: dict[int, str] = {}
        self.seat = Resources()
        """What each of the taken seats takes of its node."""
        self.seen: ObservedIntent | None = None
        self.addresses_s = float("-inf")
        """When it was last said where checkpoints are."""
        self.tries = 0
        """How many supervisors were started for it since one did anything."""
        self.try_at = float("-inf")
        self._stamps: tuple[int, ...] = ()
        self._kept: list[layout.Event] = []
        self._used: list[layout.Event] = []

    def refresh(self) -> bool:
        """Read what is new; False if there is no order."""
        stamps = tuple(_stamp(os.path.join(self.path, name)) for name in (layout.ORDER, layout.CANCEL))
        if stamps != self._stamps:
            self.order = layout.read_json(os.path.join(self.path, layout.ORDER)) or {}
            self.cancel = layout.read_json(os.path.join(self.path, layout.CANCEL)) or {}
            self._stamps, self.seen = stamps, None
        if self.size() != self.journal.offset:
            events = self.journal.new_events()
            self.story.tell(events)
            self._kept += [event for event in events if event["event"] == "kept"]
            self._used += [event for event in events if self.backfill and event.get("cpu_s")]
            if any(event["event"] != "supervisor" for event in events):
                self.tries = 0
            self.seen = None
        return bool(self.order)

    def take_kept(self) -> list[layout.Event]:
        """What became of checkpoints since this was last asked."""
        kept, self._kept = self._kept, []
        return kept

    def take_used(self) -> list[tuple[str, layout.Event]]:
        """What replicas of a filler that ended since this was last asked were measured to use: workload, event."""
        used, self._used = self._used, []
        return [(self.order["workload"], event) for event in used]

    def size(self) -> int:
        """The length of the journal now."""
        with contextlib.suppress(FileNotFoundError):
            return os.stat(self.journal.path).st_size
        return 0

    @property
    def leaving(self) -> bool:
        """Whether all of it should go."""
        return bool(self.cancel.get("all"))

    @property
    def wanted(self) -> IndexSet:
        """The replicas that should run or have run."""
        if self.leaving:
            return IndexSet()
        return translate.indices(self.order["ranges"]) - translate.indices(self.cancel.get("withdrawn", []))

    @property
    def backfill(self) -> bool:
        """Whether it runs below everything else, and gives way."""
        return bool(self.order.get("backfill"))

    def lost_s(self, now_s: float) -> float:
        """What a replica of it loses that has to end now, as far as is known from when it was handed in."""
        return lost_s(now_s - self.order["created_s"], self.order.get("checkpoint_every_s"))

    @property
    def evicted(self) -> IndexSet:
        """The replicas that were told to give way: their room is others' already."""
        return translate.indices(self.cancel.get("evicted", []))

    @property
    def active(self) -> IndexSet:
        """The replicas that use a node, if they have one: wanted or still there, and not ended."""
        ended = IndexSet.of(i for i, r in self.story.replicas.items() if r.phase == story.ENDED)
        there = IndexSet.of(i for i, r in self.story.replicas.items() if r.phase != story.ENDED)
        return (self.wanted - ended) | there

    def observed(self) -> ObservedIntent:
        """What the federator is told of it; made once for every change."""
        if self.seen is None:
            withdrawn = translate.indices(self.cancel.get("withdrawn", []))
            seen = translate.observed(self.order, withdrawn, self.leaving, self.story)
            if self.tries >= TRIES_TO_TELL:
                log = os.path.join(self.path, layout.SUPERVISOR_LOG)
                words = f"{self.tries} supervisors ended before they did anything: see {log}"
                since_s = self.order["created_s"]
                trouble = (Note(index, "SupervisorFailed", words, since_s) for index in seen.pending)
                seen = replace(seen, notes=(*seen.notes, *trouble))
            self.seen = seen
        return self.seen

    def tried(self) -> None:
        """A supervisor was started: the next is not, for ever longer a while, as long as they achieve nothing."""
        self.try_at = time.monotonic() + min(TRY_AGAIN_S * 2.0**self.tries, TRY_AGAIN_MAX_S)
        self.tries += 1
        self.seen = None

    @property
    def needs_supervisor(self) -> bool:
        """Whether something is left to do for it."""
        if self.leaving and self.story.gone:
            return False
        if self.order["lifetime"] == "service" and not self.leaving:
            return True
        return bool(self.active)


def _stamp(path: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(path)
        # Every write is a new file: its number changes even where the clock of the file system is coarse.
        return hash((status.st_ino, status.st_mtime_ns, status.st_size))
    return 0
