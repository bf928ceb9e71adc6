"""The provider's side of a local cluster's directory: synchronous, one call at a time, under the directory's lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from federator.clusters.binder import Pool
from federator.clusters.local import launch, layout, translate
from federator.clusters.local.entry import Entry
from federator.clusters.local.settings import LocalSettings
from federator.clusters.losses import Held, Losses
from federator.model.checkpoints import RENEW_S, Sign, plain
from federator.model.cluster import Flavor
from federator.model.indexset import IndexSet
from federator.model.intent import ObservedIntent, Order
from federator.model.resources import Resources
from federator.model.whole_cores import rounded
from federator.ports import OrderRefused

LOG = structlog.get_logger(__name__)
_LOCK, _CANCELLED, _REMOVING = ".lock", ".cancelled", ".removing-"


class Files:
    """A local cluster's directory."""

    def __init__(self, settings: LocalSettings, sign: Sign = plain) -> None:
        self._settings = settings
        self._sign = sign
        self._root = os.path.realpath(settings.directory)
        # Pretended nodes do not grow: what could exist elsewhere never will here.
        flavors = [replace(flavor, max_count=0) for flavor in settings.all_flavors()]
        self._pool = Pool(flavors, settings.binding)
        self._entries: dict[str, Entry] = {}
        self._cancelled: set[str] = set()
        self._cancelled_read = 0
        self._started: list[subprocess.Popen[bytes]] = []
        self._kept: list[layout.Event] = []
        self._used: list[tuple[str, layout.Event]] = []

    def open(self) -> None:
        """Make the directory, if it is not there. Raises OSError."""
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        with self._alone():
            for entry in os.scandir(self._root):
                if entry.name.startswith(_REMOVING):
                    shutil.rmtree(entry.path, ignore_errors=True)

    def observe(self, now_s: float) -> tuple[tuple[Flavor, ...], dict[str, ObservedIntent]]:
        """What there is and what runs. Binds what waits for a node, and replaces supervisors that died."""
        with self._alone():
            self._refresh()
            self._bind_waiting(now_s)
            for entry in self._entries.values():
                self._renew_addresses(entry, now_s)
                self._supervise(entry)
            return self._pool.flavors(), {name: entry.observed() for name, entry in self._entries.items()}

    def submit(self, order: Order, now_s: float) -> None:
        """Record the order on the disk and see that a supervisor carries it out. Raises OrderRefused, OSError."""
        wanted = translate.order_json(order, self._settings, {}, now_s)
        with self._alone():
            self._refresh()
            if order.intent.id in self._cancelled:
                raise OrderRefused("Cancelled", f"{order.intent.id} was cancelled before", permanent=True)
            entry = self._entries.get(order.intent.id) or Entry(self._path(order.intent.id))
            if entry.order and (wanted["lifetime"] == "batch" or _same(entry.order, wanted)):
                self._supervise(entry)
                return
            if not entry.order:
                os.makedirs(entry.path, mode=0o700, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    os.mkfifo(os.path.join(entry.path, layout.POKE), 0o600)
                layout.sync_directory(self._root)
            if entry.order and entry.order["requests"] != wanted["requests"]:
                self._release(entry)  # replicas of another size find their nodes anew
            entry.order = {**wanted, "nodes": self._kept_nodes(entry, wanted)}
            try:
                self._write_addresses(entry, now_s)
                self._write(entry, self._with_nodes(entry, now_s))
            except (OSError, OrderRefused):
                self._forget(order.intent.id, entry)  # it is as the disk has it, which the next look reads
                raise
            self._entries[order.intent.id] = entry
            self._supervise(entry)
            layout.poke(entry.path)

    def cancel(self, intent_id: str, grace_s: float, indices: IndexSet | None) -> None:
        """Record on the disk that an intent, or some of its replicas, should go. Raises OSError."""
        with self._alone():
            self._refresh()
            entry = self._entries.get(intent_id)
            if indices is None:
                self._remember_cancelled(intent_id)
            if entry is None:
                return
            withdrawn = translate.indices(entry.cancel.get("withdrawn", [])) | (indices or IndexSet())
            cancel: translate.Json = {**entry.cancel, "all": entry.leaving or indices is None, "grace_s": grace_s}
            cancel["withdrawn"] = [list(span) for span in withdrawn.ranges]
            layout.write_json(os.path.join(entry.path, layout.CANCEL), cancel)
            entry.refresh()
            layout.poke(entry.path)
            self._settle(intent_id, entry)

    def entry(self, intent_id: str) -> Entry | None:
        """One intent as it is now, or None; looks at its own files only."""
        entry = Entry(self._path(intent_id))
        return entry if entry.refresh() else None

    def take_kept(self) -> list[layout.Event]:
        """What became of checkpoints, as far as it was read since this was last asked."""
        kept, self._kept = self._kept, []
        return kept

    def take_used(self) -> list[tuple[str, layout.Event]]:
        """The ends of replicas of fillers, by workload, as far as they were read since this was last asked."""
        used, self._used = self._used, []
        return used

    def news(self) -> bool:
        """Whether something is on the disk that the last ``observe`` has not seen. Takes no lock."""
        with contextlib.suppress(FileNotFoundError):
            names = {e.name for e in os.scandir(self._root) if not e.name.startswith(".")}
            if names - self._entries.keys():
                # A directory without an order yet is no news.
                return any(self.entry(name) for name in names - self._entries.keys())
        return any(entry.size() != entry.journal.offset for entry in list(self._entries.values()))

    def lost_supervisors(self) -> bool:
        """Whether a supervisor is gone that has something left to do."""
        with self._alone():
            entries = [entry for entry in self._entries.values() if entry.needs_supervisor or entry.leaving]
            return any(not launch.lives(entry.path) for entry in entries if os.path.isdir(entry.path))

    def _path(self, intent_id: str) -> str:
        if not intent_id or intent_id.startswith(".") or "/" in intent_id or "\0" in intent_id:
            raise OrderRefused("Invalid", f"{intent_id!r} is no name for an intent", permanent=True)
        return os.path.join(self._root, intent_id)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the directory's lock: two federators on one directory take turns. Raises TimeoutError."""
        fd = os.open(os.path.join(self._root, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + self._settings.timeout_s
            while not _try_lock(fd):
                if time.monotonic() > until:
                    raise TimeoutError(f"another federator holds {self._root} for {self._settings.timeout_s:g} s")
                time.sleep(0.005)
            yield
        finally:
            os.close(fd)

    def _refresh(self) -> None:
        self._started = [process for process in self._started if process.poll() is None]
        names = {entry.name for entry in os.scandir(self._root) if not entry.name.startswith(".")}
        for name in names - self._entries.keys():
            self._entries[name] = Entry(os.path.join(self._root, name))
        for name, entry in list(self._entries.items()):
            if name in names and entry.refresh():
                self._kept += entry.take_kept()
                self._used += entry.take_used()
                self._settle(name, entry)
            else:
                self._forget(name, entry)
        self._read_cancelled()

    def _settle(self, name: str, entry: Entry) -> None:
        """Make the pool agree with the entry; drop an entry that was cancelled and of which nothing runs."""
        active = entry.active - entry.evicted
        bound = {int(index): node for index, node in entry.order["nodes"].items() if int(index) in active}
        if bound != entry.taken:
            self._release(entry)
            entry.seat = self._taken_by(entry.order)
            for node in bound.values():
                self._pool.take(node, entry.seat, below=entry.backfill)
            entry.taken = bound
        if entry.leaving and not entry.needs_supervisor and (entry.story.gone or not launch.lives(entry.path)):
            self._forget(name, entry)
            trash = os.path.join(self._root, _REMOVING + name)
            os.rename(entry.path, trash)
            threading.Thread(target=shutil.rmtree, args=(trash, True), daemon=True).start()

    def _release(self, entry: Entry) -> None:
        for node in entry.taken.values():
            self._pool.release(node, entry.seat, below=entry.backfill)
        entry.taken = {}

    def _forget(self, name: str, entry: Entry) -> None:
        self._release(entry)
        self._entries.pop(name, None)

    def _bind_waiting(self, now_s: float) -> None:
        """Bind what has no node yet, the oldest order first."""
        for entry in sorted(self._entries.values(), key=lambda e: (e.order["created_s"], e.path)):
            if not entry.leaving and len(entry.taken) < len(entry.active - entry.evicted):
                order = self._with_nodes(entry, now_s)
                if order is not entry.order:
                    self._write(entry, order)
                    layout.poke(entry.path)

    def _with_nodes(self, entry: Entry, now_s: float) -> translate.Json:
        """The entry's order with nodes, taken from the pool, for those without one for which there is room."""
        waiting = entry.wanted & entry.active - entry.evicted - IndexSet.of(entry.taken)
        order = entry.order
        entry.seat = self._taken_by(order)
        below = entry.backfill
        losses, tolerations = Losses(partial(self._held_by_fillers, now_s)), translate.tolerations_of(order)
        nodes = self._pool.bind(entry.seat, len(waiting), order["flavors"], tolerations, below=below, lost=losses)
        if not nodes:
            return order
        if not below:
            self._make_room(now_s)
        new = dict(zip(waiting, nodes, strict=False))
        entry.taken |= new
        return {**order, "nodes": order["nodes"] | {str(index): node for index, node in new.items()}}

    def _taken_by(self, order: translate.Json) -> Resources:
        """What one replica takes of a pretended node."""
        requests = translate.requests_of(order)
        return rounded(requests) if self._settings.whole_cores else requests

    def _held_by_fillers(self, now_s: float) -> Iterator[Held]:
        for entry in self._entries.values():
            if entry.backfill:
                yield from ((node, entry.lost_s(now_s), entry.seat) for node in entry.taken.values())

    def _make_room(self, now_s: float) -> None:
        """Tell backfill to end where others were bound in its place: of the intents that lose least first."""
        for node in self._pool.overfull():
            fillers = [e for e in self._entries.values() if e.backfill and node.name in e.taken.values()]
            for entry in sorted(fillers, key=lambda e: (e.lost_s(now_s), -e.order["created_s"], e.path)):
                here = sorted(index for index, name in entry.taken.items() if name == node.name)
                leaving = []
                while node.overfull and here:
                    leaving.append(here.pop())
                    self._pool.release(node.name, entry.seat, below=True)
                    del entry.taken[leaving[-1]]
                if leaving:
                    evicted = entry.evicted | IndexSet.of(leaving)
                    cancel = {**entry.cancel, "evicted": [list(span) for span in evicted.ranges]}
                    layout.write_json(os.path.join(entry.path, layout.CANCEL), cancel)
                    entry.refresh()
                    layout.poke(entry.path)

    def _kept_nodes(self, entry: Entry, wanted: translate.Json) -> dict[str, str]:
        """The nodes of replicas that stay, or are still there, when a service changes."""
        keep = translate.indices(wanted["ranges"]) | entry.active if entry.order else IndexSet()
        return {str(index): node for index, node in entry.taken.items() if index in keep}

    def _write(self, entry: Entry, order: translate.Json) -> None:
        layout.write_json(os.path.join(entry.path, layout.ORDER), order)
        entry.refresh()

    def _write_addresses(self, entry: Entry, now_s: float) -> None:
        """Say where checkpoints are, if they are kept. Raises OSError, OrderRefused."""
        told = translate.errands(entry.order, entry.wanted, self._sign)
        if told:
            layout.write_json(os.path.join(entry.path, layout.ADDRESSES), told)
            entry.addresses_s = now_s

    def _renew_addresses(self, entry: Entry, now_s: float) -> None:
        """Say it anew before addresses are good no more."""
        if not translate.is_signed(entry.order) or not entry.needs_supervisor or now_s - entry.addresses_s < RENEW_S:
            return
        try:
            self._write_addresses(entry, now_s)
            layout.poke(entry.path)
        except (OSError, OrderRefused) as error:  # tried again at the next look; what runs says what it cannot keep
            LOG.warning("addresses of checkpoints were not renewed", intent=entry.order["intent"], why=str(error))

    def _supervise(self, entry: Entry) -> None:
        """Start a supervisor if one is needed and none lives."""
        if not entry.needs_supervisor or time.monotonic() < entry.try_at:
            return
        # Failing to start one loses nothing: the order is on the disk, and the next look tries again.
        with contextlib.suppress(OSError):
            if launch.lives(entry.path):
                return
            entry.refresh()  # its last words, which may be that nothing is left to do
            if entry.needs_supervisor and (process := launch.start(entry.path)):
                self._started.append(process)
                entry.tried()

    def _read_cancelled(self) -> None:
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self._root, _CANCELLED), "rb") as file:
            file.seek(self._cancelled_read)
            whole = file.read().rpartition(b"\n")[0]
            if whole:
                self._cancelled_read += len(whole) + 1
                self._cancelled.update(whole.decode().split("\n"))

    def _remember_cancelled(self, intent_id: str) -> None:
        if intent_id in self._cancelled:
            return
        self._path(intent_id)
        with open(os.path.join(self._root, _CANCELLED), "ab") as file:
            # A line that a full disk or a crash cut short is ended first.
            if file.tell() > self._cancelled_read:
                file.write(b"\n")
            file.write(intent_id.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._read_cancelled()


def _same(order: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a service is already as wanted (nodes and time of the order are not part of what is wanted)."""
    return {**wanted, "nodes": order["nodes"], "created_s": order["created_s"]} == order


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
