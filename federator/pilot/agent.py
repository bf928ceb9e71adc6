"""The loop that runs payloads, in the pilot's first thread. ``talk`` speaks to the server."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import time
from collections import Counter

from federator import processes
from federator.keeper import Keeper
from federator.pilot.command import MARKER, CannotRun, command_for, container_name
from federator.pilot.holding import Holding, Json, say
from federator.pilot.payload import Payload, source
from federator.pilot.resources import GPU
from federator.pilot.settings import python
from federator.pilot.spool import CHECKPOINT, LOG, WORK

INTENT, INDEX = "FEDERATOR_INTENT", "FEDERATOR_REPLICA_INDEX"
LOOK_S = 0.2
BUSY_LOOK_S = 0.02
MOST_UNTOLD = 10_000
"""News of checkpoints that are kept for a server that does not answer."""


class Agent(Holding):
    """Starts what is new, watches what runs, ends what should end, until the pilot has drained."""

    def recover(self) -> None:
        """Take up what a pilot before this one left: ends are told, what had not ended has been killed with it."""
        for pid in processes.marked(MARKER, str(self.spool.root)):
            if (processes.marker_of(pid, MARKER) or "") == str(self.spool.root):
                processes.send([pid], signal.SIGKILL)
        grants, self.results = self.spool.kept()
        for grant in grants:
            log, log_from = self.spool.tail(grant["lease"])
            if "podman" in self.node.runtimes and grant["runtime"] == "container":
                self._remove_container(container_name(grant["lease"]))
            self.ended(
                grant["lease"],
                {"lease": grant["lease"], "exitCode": None, "reason": "PilotRestarted", "ownFault": False}
                | {"message": "its pilot was started anew", "log": log, "logFrom": log_from, "usage": {}},
            )

    def run(self) -> None:
        """Run payloads until the pilot has drained and every end is acknowledged."""
        processes.adopt_orphans()
        guard = self._start_guard()
        self._catch_signals()
        try:
            while not self._over():
                self._heed_signals()
                self._begin_new()
                self._look_after_running()
                self._look_at_time()
                self._wait()
        finally:
            self.finished.set()
            self.news.set()
            if guard.stdin:
                guard.stdin.close()
            guard.wait()

    def _start_guard(self) -> subprocess.Popen[bytes]:
        command = [python(), "-I", "-S", "-c", source("guard"), str(self.spool.root)]
        env = {"PATH": os.defpath}
        guard = subprocess.Popen(command, stdin=subprocess.PIPE, env=env, cwd="/", start_new_session=True)
        self._guard_pid = guard.pid
        return guard

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)

    def _note_signal(self, number: int, _frame: object) -> None:
        """Only noted: the thread that is interrupted may hold any lock."""
        self.signals.append(number)

    def _heed_signals(self) -> None:
        """The first lets the pilot drain, the second lets it go at once."""
        while self.signals:
            number = self.signals.pop(0)
            self.gave_up = self.told_to_end
            self.told_to_end = True
            self.drain(f"told to end by {signal.Signals(number).name}")
            with self.lock:
                for lease in (*self.new, *self.running):
                    self.stops.setdefault(lease, ("Drained", self.settings.grace_s))

    def _over(self) -> bool:
        removing = not self._removals.over()
        with self.lock:
            left = bool(self.results or self.dropping or removing) and not self.gave_up
            return bool(self.draining) and not (self.new or self.running or left)

    def _begin_new(self) -> None:
        with self.lock:
            for lease, grant in list(self.new.items()):
                if lease in self.stops or self.draining:
                    self._return(grant)
                elif self._is_ready(grant):
                    self._begin(grant)

    def _return(self, grant: Json) -> None:
        """It was never started: another pilot may have it."""
        if (keeper := self.keepers.pop(grant["lease"], None)) is not None:
            keeper.break_off()
        self.stops.pop(grant["lease"], None)
        self.ended(
            grant["lease"],
            {"lease": grant["lease"], "exitCode": None, "reason": "Returned", "ownFault": False}
            | {"message": self.draining or "not wanted any more", "log": "", "logFrom": 0, "usage": {}},
        )

    def _is_ready(self, grant: Json) -> bool:
        """Whether what was kept for it is there, or nothing is kept."""
        lease, told = grant["lease"], grant.get("checkpoint")
        if told is None:
            return True
        if lease not in self.keepers:
            folder = str(self.spool.folder(lease) / CHECKPOINT)
            self.keepers[lease] = Keeper(told, folder, lambda outcome, words: self._tell_kept(lease, outcome, words))
        try:
            return self.keepers[lease].ready()
        except OSError as error:
            say(f"nothing can be kept for {lease} now: {error}")
            return False

    def _tell_kept(self, lease: str, outcome: str, words: str) -> None:
        """Something became of a checkpoint: it is said in the output, and to the server."""
        if words:
            with contextlib.suppress(OSError), open(self.spool.folder(lease) / LOG, "a") as log:
                log.write(f"federator: {words}\n")
        if outcome:
            self.kept.append({"lease": lease, "checkpoint": outcome, "checkpointMessage": words[:1000]})
            del self.kept[:-MOST_UNTOLD]
            self.news.set()

    def _is_kept(self, lease: str, payload: Payload) -> bool:
        """It has ended: whether what it had is kept. What is complete keeps nothing, and drops it once it counts."""
        keeper = self.keepers.get(lease)
        if keeper is None or payload.complete:
            return True
        if not keeper.finish(payload.kill_at):
            return False
        del self.keepers[lease]
        return True

    def _begin(self, grant: Json) -> None:
        lease = grant["lease"]
        folder = self.spool.folder(lease)
        gpus = self._take_gpus(lease, int(grant["requests"].get(GPU, 0)))
        try:
            kept = folder / CHECKPOINT if lease in self.keepers else None
            command = command_for(grant, self.node.runtimes, folder / WORK, self.spool.root, gpus, os.environ, kept)
            if not os.path.isabs(grant["workingDir"]):
                (folder / WORK / grant["workingDir"]).mkdir(parents=True, exist_ok=True)
            payload = Payload(grant, command, folder, self._cores(grant["requests"].get("cpu", 0.0)))
        except (CannotRun, OSError, ValueError) as error:
            self._used_gpus.pop(lease, None)
            self.ended(
                lease,
                {"lease": lease, "exitCode": None, "reason": "CannotRun", "ownFault": not isinstance(error, OSError)}
                | {"message": str(error)[:2000], "log": "", "logFrom": 0, "usage": {}},
            )
            return
        del self.new[lease]
        self.running[lease] = payload
        self.untold.add(lease)
        self.news.set()

    def _take_gpus(self, lease: str, count: int) -> list[str]:
        used = {gpu for taken in self._used_gpus.values() for gpu in taken}
        free = [gpu for gpu in self.node.gpus if gpu not in used][:count]
        if free:
            self._used_gpus[lease] = free
        return free

    def _cores(self, cpu: float) -> list[int]:
        """The cores that a payload may use: as many as it asked for, those that fewest others use."""
        allowed = sorted(os.sched_getaffinity(0))
        count = math.ceil(cpu)
        if not 0 < count < len(allowed):
            return []
        users = Counter(core for payload in self.running.values() for core in payload.cpus)
        return sorted(allowed, key=lambda core: (users[core], core))[:count]

    def _look_after_running(self) -> None:
        for payload in self.running.values():
            payload.reap()
        strays = self._strays()
        with self.lock:
            for lease, payload in list(self.running.items()):
                payload.strays = strays.get(lease, [])
                if lease in self.stops:
                    why, grace_s = self.stops[lease]
                    ours = why in ("Stopped", "Drained", "Void")
                    payload.stop(why, self.draining or "not wanted here any more", grace_s, own_fault=not ours)
                if not payload.step():
                    if lease in self.keepers and not payload.over:
                        self.keepers[lease].step()
                elif self._is_kept(lease, payload):
                    self._has_ended(lease, payload)
            self.dropping = [keeper for keeper in self.dropping if not keeper.dropped()]

    def _has_ended(self, lease: str, payload: Payload) -> None:
        del self.running[lease]
        for known in (self._used_gpus, self.stops, self.logs):
            known.pop(lease, None)
        self.untold.discard(lease)
        self.busy_at = self.busy_at if payload.backfill else time.monotonic()
        if payload.container:
            self._remove_container(payload.container)
        result = payload.result(*self.spool.tail(lease))
        if lease in self.void:
            self.void.discard(lease)
            self.spool.drop(lease)
        else:
            self.ended(lease, result)

    def _remove_container(self, container: str) -> None:
        """Where Podman itself was killed its container may be left."""
        try:
            self._removals.begin(container)
        except OSError as error:
            say(f"whether {container} is left cannot be seen: {error}")

    def _look_at_time(self) -> None:
        now = time.monotonic()
        if self.ends_at is not None and now >= self.ends_at - self.settings.drain_s:
            self.drain("its lifetime ends")
            with self.lock:
                grace_s = max(0.0, min(self.settings.grace_s, self.ends_at - now))
                for lease in (*self.new, *self.running):
                    self.stops.setdefault(lease, ("Drained", grace_s))
        idle_s = self.settings.idle_s
        with self.lock:
            if any(not grant.get("backfill") for grant in self.new.values()) or any(
                not payload.backfill for payload in self.running.values()
            ):
                self.busy_at = now
            idle = not self.results and idle_s is not None and now - self.busy_at >= idle_s
        if idle:
            self.drain(f"there was no work for {idle_s:g} s")
            self._let_backfill_end()

    def _let_backfill_end(self) -> None:
        """Backfill alone is no reason to stay."""
        with self.lock:
            for lease, payload in self.running.items():
                self.stops.setdefault(lease, ("Drained", float(payload.grant["graceSeconds"])))

    def _strays(self) -> dict[str, list[int]]:
        """Live orphans that came to the pilot, by the lease of their payload; dead ones are reaped.

        The first process of a container of Podman's is like one, though it came to what Podman left to watch it.
        """
        with self.lock:
            found = {lease: payload.inside() for lease, payload in self.running.items()}
            firsts = {payload.pid: lease for lease, payload in self.running.items()}
            named = {(p.grant["intent"], str(p.grant["index"])): lease for lease, p in self.running.items()}
        for pid in processes.children(os.getpid()):
            if pid in firsts or pid == self._guard_pid:
                continue
            if processes.birth(pid) is None:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                continue
            told = (processes.marker_of(pid, INTENT) or "", processes.marker_of(pid, INDEX) or "")
            lease = firsts.get(processes.session(pid) or 0) or named.get(told)
            if lease is not None and pid not in found[lease]:
                found[lease].append(pid)
        return found

    def _wait(self) -> None:
        with self.lock:
            ending = any(payload.kill_at is not None for payload in self.running.values())
            at_once = any(lease not in self.keepers for lease in self.new)
            ending = ending or bool(self.dropping) or any(keeper.busy for keeper in self.keepers.values())
        timeout = 0.0 if at_once else BUSY_LOOK_S if ending else LOOK_S
        ready, _, _ = select.select([self._wake_read], [], [], timeout)
        if ready:
            os.read(self._wake_read, 65536)
