"""The supervisor of one intent: starts its replicas, watches them, writes down their ends. Standard library only.

A process of its own that is nobody's child, so that it outlives the daemon. Started (``launch.start``) as
``supervise INTENT_DIRECTORY LOCK_FD`` with the intent's lock held by the open file that it inherits: as long as it
lives, no other can be started. What it knows is in the journal, so that one that dies is replaced by the next, which
first makes sure that nothing of the one before still runs.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any

from federator import processes
from federator.clusters.local import layout, orphans, story
from federator.clusters.local.keeping import Keeping
from federator.clusters.local.layout import Event
from federator.clusters.local.payload import Held
from federator.clusters.local.running import LEFT, Running, hold

ROLLED = "Rolled"
PREEMPTED = "Preempted"
CHUNK = 32
"""Replicas that are started together: one write to the disk for all."""
MEMORY_EVERY_S = 0.5
RETRY_S = 1.0
"""After the disk or the kernel refused something."""
LOOK_S = 3.0
"""How often it looks whether its directory is still there."""


class Supervisor:
    """One intent's replicas, from their orders to their ends."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.order: dict[str, Any] = {}
        self.wanted: set[int] = set()
        self.evicted: set[int] = set()
        """What others need the room of."""
        self.cancelled = False
        self.grace_s = 0.0
        self.story = story.Story()
        self.running: dict[int, Running] = {}
        self._retry_at = 0.0
        self._memory_at = 0.0
        self._wake, wake = os.pipe()
        for fd in (self._wake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Opened before the orders are read: a poke after that is never missed. For writing too: else it is always
        # readable once the first poker has gone.
        self._poke = os.open(os.path.join(directory, layout.POKE), os.O_RDWR | os.O_NONBLOCK)
        journal = os.path.join(directory, layout.JOURNAL)
        self.story.tell(layout.JournalReader(journal).new_events())
        self.journal = layout.Journal(journal)
        self.keeping = Keeping(directory, self._record)

    def run(self) -> None:
        """Until every replica has ended for good, or is gone because the intent was cancelled."""
        processes.adopt_orphans()
        self.read_orders()
        self._recover()
        while True:
            self._reap()
            self._step()
            self._start()
            if self._over() and self.journal.settle():
                break
            self._wait()
        # Orphans that cannot be told from one another end with the last replica.
        orphans.end_adopted()
        if self.cancelled:
            self._record([{"event": "gone"}])

    def read_orders(self) -> None:
        """What should run now. Without its directory, nothing should."""
        order = layout.read_json(os.path.join(self.directory, layout.ORDER))
        cancel = layout.read_json(os.path.join(self.directory, layout.CANCEL)) or {}
        self.order = order or self.order
        self.cancelled = order is None or bool(cancel.get("all"))
        self.grace_s = cancel.get("grace_s", self.order.get("grace_s", 0.0)) if order else 0.0
        self.evicted = set(layout.indices_of(cancel.get("evicted", [])))
        withdrawn = set(layout.indices_of(cancel.get("withdrawn", [])))
        if self.order.get("checkpoints"):
            self.keeping.hear(layout.read_json(os.path.join(self.directory, layout.ADDRESSES)) or {})
        self.wanted = set() if self.cancelled else set(layout.indices_of(self.order["ranges"])) - withdrawn

    @property
    def _is_service(self) -> bool:
        return bool(self.order.get("lifetime") == "service")

    def _record(self, events: Iterable[Event]) -> None:
        stamped = [{"at_s": time.time(), **event} for event in events]
        if stamped:
            self.journal.owe(stamped)
            self.story.tell(stamped)

    def _recover(self) -> None:
        """End what a supervisor before this one left behind: nothing may run unwatched, nor twice."""
        boot = processes.boot_id()
        lost = [replica for replica in self.story.replicas.values() if replica.phase == story.RUNNING]
        me = os.getpid()
        self._record([{"event": "supervisor", "boot": boot, "pid": me, "birth": processes.birth(me)}])
        if not lost:
            return
        orphans.end_leftovers(self.directory, {r.pid: r.birth for r in lost if r.boot == boot})
        self._record(
            _ended(replica.index, time.time() if self._is_service else None, reason="NodeLost", own_fault=False)
            | {"message": "its supervisor ended (killed, or the machine was started anew)", "exit_code": None}
            for replica in lost
        )

    def _reap(self) -> None:
        by_pid = {running.pid: running for running in self.running.values() if running.status is None}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in by_pid:
                by_pid[pid].status = status
                by_pid[pid].cpu_s = usage.ru_utime + usage.ru_stime

    def _step(self) -> None:
        """Ask to end what should, kill what does not, write down what has ended."""
        strays = orphans.adopted(self.directory, {running.pid: index for index, running in self.running.items()})
        now = time.monotonic()
        look_at_memory = bool(self.order.get("memory_bytes")) and now >= self._memory_at
        if look_at_memory:
            self._memory_at = now + MEMORY_EVERY_S
        ended = []
        for index, running in list(self.running.items()):
            own = strays.get(index, [])
            if index not in self.wanted:
                running.stop(LEFT, "not wanted here any more", self.grace_s, own)
            elif index in self.evicted:
                running.stop(PREEMPTED, "others needed its room", self.order["yield_s"], own)
            elif running.overdue:
                limit = self.order["time_limit_s"]
                running.stop("DeadlineExceeded", f"ran longer than {limit:g} s", self.order["grace_s"], own)
            elif look_at_memory and running.kill_at is None and (held := running.too_big(own)):
                limit = self.order["memory_bytes"]
                running.stop("OOMKilled", f"held {held >> 20} MiB of memory, may hold {limit >> 20} MiB", 0.0, own)
            if running.step(own) and self.keeping.ended(running):
                del self.running[index]
                ended.append(self._end_of(running))
        self._record(ended)
        self.keeping.drop([event["index"] for event in ended if event["event"] == "ended" and not event["reason"]])
        self.keeping.step(self.running, self.wanted & self._bound() - self.evicted - self.story.replicas.keys())
        unstarted = self.evicted & self.wanted - self.story.replicas.keys()
        words = {"message": "others needed its room", "exit_code": None}
        self._record(_ended(i, None, reason=PREEMPTED, own_fault=False, **words) for i in sorted(unstarted))
        gone = [index for index in self.story.replicas if index not in self.wanted and index not in self.running]
        if self._is_service:
            self._record({"event": "left", "index": index} for index in gone)
            self._roll(strays)

    def _end_of(self, running: Running) -> Event:
        used = {"cpu_s": round(running.cpu_s, 3)}
        if running.index not in self.wanted:
            return {"event": "left", "index": running.index, **used}
        end = running.end(layout.log_path(self.directory, running.index))
        again_s = None
        if self._is_service:
            again_s = time.time() + (0.0 if end["reason"] in (ROLLED, LEFT) else self._backoff_s(running.index))
        return _ended(running.index, again_s, **end) | {"own_fault": end["reason"] != PREEMPTED, **used}

    def _backoff_s(self, index: int) -> float:
        """Twice as long for each end in a row that came soon after the start."""
        replica = self.story.replicas[index]
        soon = time.time() - replica.at_s <= story.STEADY_S
        wait_s: float = self.order["backoff_s"] * 2.0 ** (min(replica.streak, 30) if soon else 0)
        return min(wait_s, float(self.order["backoff_max_s"]))

    def _roll(self, strays: dict[int | None, list[int]]) -> None:
        """Exchange one replica for one of the new spec, if all others have run for a while."""
        old = [i for i in self.running if self.story.replicas[i].hash != self.order["hash"]]
        settled = time.monotonic() - self.order["ready_s"]
        if old and len(self.running) >= len(self.wanted & self._bound()):
            if any(r.since > settled or r.kill_at is not None or r.status is not None for r in self.running.values()):
                return
            self.running[min(old)].stop(ROLLED, "", self.order["grace_s"], strays.get(min(old), []))

    def _bound(self) -> set[int]:
        return set(map(int, self.order["nodes"]))

    def _start(self) -> None:
        """Start what is wanted, has a node, and does not run."""
        if time.monotonic() < self._retry_at or not self.wanted:
            return
        due = []
        for index in sorted((self.wanted & self._bound()) - self.evicted - self.running.keys()):
            replica = self.story.replicas.get(index)
            is_due = replica is None or (replica.phase == story.WAITING and time.time() >= replica.again_s)
            if is_due and self._is_ready(index):
                due.append(index)
        for at in range(0, len(due), CHUNK):
            if not self._start_chunk(due[at : at + CHUNK]):
                self._retry_at = time.monotonic() + RETRY_S
                return

    def _is_ready(self, index: int) -> bool:
        """Whether what was kept for a replica is there."""
        try:
            return self.keeping.ready(index)
        except OSError as error:
            print(f"nothing can be kept for replica {index} now: {error}", file=sys.stderr, flush=True)  # noqa: T201
            self._retry_at = time.monotonic() + RETRY_S
            return False

    def _start_chunk(self, indices: list[int]) -> bool:
        held: list[tuple[Running, Held]] = []
        try:
            for index in indices:
                held.append(hold(self.directory, self.order, index))  # noqa: PERF401 - those before the one that fails are kept
        except OSError as error:  # no room on the disk, no process to be had: that passes
            print(f"cannot start a replica now: {error}", file=sys.stderr, flush=True)  # noqa: T201
        now = time.time()
        started = [
            {"event": "started", "index": r.index, "pid": r.pid, "birth": processes.birth(r.pid) or 0, "at_s": now}
            | {"hash": self.order["hash"]}
            for r, _ in held
        ]
        if not self.journal.write(started):
            for _, process in held:
                process.abandon()
            return False
        self.story.tell(started)
        for _, process in held:
            process.release()
        for running, process in held:
            self.running[running.index] = running
            if problem := process.outcome():
                running.why, running.message = "CannotRun", problem
        return len(held) == len(indices)

    def _over(self) -> bool:
        if self.running or self.keeping.busy() or (self._is_service and not self.cancelled):
            return False
        replicas = self.story.replicas
        return all(i in replicas and replicas[i].phase == story.ENDED for i in self.wanted)

    def _wait(self) -> None:
        """Sleep until a child ends, a poke comes, or something is due."""
        now = time.monotonic()
        due = [now + LOOK_S, *(at for r in self.running.values() if (at := r.next_at()) is not None)]
        if self._retry_at > now:
            due.append(self._retry_at)
        if not self.journal.settle():
            due.append(now + RETRY_S)
        if self.running and self.order["memory_bytes"]:
            due.append(self._memory_at)
        due.append(self.keeping.next_at())
        waiting = [r.again_s for i in self.wanted if (r := self.story.replicas.get(i)) and r.phase == story.WAITING]
        if waiting:
            due.append(now + max(0.0, min(waiting) - time.time()))
        if any(self.story.replicas[i].hash != self.order["hash"] for i in self.running):
            due.append(now + self.order["ready_s"] / 4)
        ready, _, _ = select.select([self._wake, self._poke], [], [], max(0.0, min(due) - now))
        for fd in ready:
            os.read(fd, 65536)
        if self._poke in ready or not os.path.exists(os.path.join(self.directory, layout.ORDER)):
            self.read_orders()


def _ended(index: int, again_s: float | None, **end: Any) -> Event:
    return {"event": "ended", "index": index, "own_fault": True, "again_s": again_s, **end}


def main() -> None:
    """``supervise INTENT_DIRECTORY LOCK_FD``; returns at once in the process that was started, which then exits."""
    directory, lock = sys.argv[1], int(sys.argv[2])
    os.set_inheritable(lock, False)
    if os.fork():
        os._exit(0)
    Supervisor(directory).run()
