"""One payload that runs: started, watched, stopped, measured."""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from federator import processes
from federator.pilot import spool
from federator.pilot.command import Command
from federator.pilot.settings import python

Json = Mapping[str, Any]
MEMORY_EVERY_S = 0.5
SLACK_BYTES = 32 << 20
GIB = 1 << 30


def source(name: str) -> str:
    """The text of one of our small programs, wherever it is packed."""
    found = pkgutil.get_data("federator.pilot", f"{name}.py")
    assert found is not None
    return found.decode()


class Payload:
    """The first process of a payload and all that came of it. Used by the one thread that started it."""

    def __init__(self, grant: Json, command: Command, folder: Path, cpus: Sequence[int]) -> None:
        """Start it. Raises OSError."""
        self.grant = grant
        self.lease: str = grant["lease"]
        self.backfill = bool(grant.get("backfill"))
        self.cpus = tuple(cpus)
        self.since = time.monotonic()
        self.container = command.container
        self.peak_bytes = 0
        self.strays: list[int] = []
        """Live orphans of it that came to the pilot, which keeps this up."""
        self.kill_at: float | None = None
        self.why, self.message, self.own_fault = "", "", True
        memory = int(grant["requests"].get("memory", 0))
        self._limit_bytes = memory + memory // 20 + SLACK_BYTES if memory else 0
        self._look_at = 0.0
        self._strays_cpu_s = 0.0
        """Of live orphans as far as it was seen: only what this process waits for is told by the kernel."""
        self._first = command.first
        self._inside: tuple[int, int] | None = None
        """The first process of its container, and when that was born: its number may be used again."""
        self._usage: Any = None
        self._status: int | None = None
        read, write = os.pipe()
        spec = {
            "argv": command.argv,
            "env": dict(command.env),
            "cwd": command.cwd,
            "parent": os.getpid(),
            "cpus": list(cpus),
            # Far above what is watched: runtimes ask for much that they never touch.
            "data_limit": 4 * memory + GIB if memory and not command.new_privileges else 0,
            "new_privileges": command.new_privileges,
            "backfill": self.backfill,
            "status": write,
        }
        mark = {name: value for name, value in command.env.items() if name.startswith("FEDERATOR_PILOT")}
        try:
            with open(folder / spool.LOG, "ab") as log:
                self._process = subprocess.Popen(
                    [python(), "-I", "-S", "-c", source("launch"), json.dumps(spec)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=mark,
                    pass_fds=(write,),
                    start_new_session=True,
                )
        except OSError:
            os.close(read)
            raise
        finally:
            os.close(write)
        self.pid = self._process.pid
        self._trouble = read

    def stop(self, why: str, message: str, grace_s: float, *, own_fault: bool = True) -> None:
        """Ask all of it to end, and kill it after the grace; a later call can only bring that forward."""
        at = time.monotonic() + grace_s
        if self.kill_at is None:
            self.why, self.message, self.own_fault = why, message, own_fault
            self._signal(signal.SIGTERM if grace_s > 0 else signal.SIGKILL)
        self.kill_at = at if self.kill_at is None else min(self.kill_at, at)

    def step(self) -> bool:
        """Do what is due; True once the first process has been reaped and, by the strays that were looked for after
        that, nothing of the payload is left."""
        now = time.monotonic()
        if self._status is None:
            limit_s = self.grant["timeLimitSeconds"]
            if self.kill_at is not None and now >= self.kill_at:
                self._signal(signal.SIGKILL)
            elif self.kill_at is None and limit_s is not None and now - self.since >= limit_s:
                self.stop("DeadlineExceeded", f"ran longer than {limit_s:g} s", self.grant["graceSeconds"])
            elif now >= self._look_at:
                self._look_at = now + MEMORY_EVERY_S
                self._measure()
            return False
        left = [pid for pid in self.strays if processes.birth(pid) is not None]
        # As in a container: when the first process has ended, the others have no time left.
        processes.send(processes.family(left), signal.SIGKILL)
        return not left

    def inside(self) -> list[int]:
        """The first process of its container while it lives, where Podman started one."""
        if self._first is not None and self._inside is None:
            with contextlib.suppress(OSError, ValueError):
                pid = int(self._first.read_text())
                birth = processes.birth(pid)
                self._inside = None if birth is None else (pid, birth)
        return [self._inside[0]] if self._inside and processes.birth(self._inside[0]) == self._inside[1] else []

    @property
    def over(self) -> bool:
        """Whether its first process has ended."""
        return self._status is not None

    @property
    def complete(self) -> bool:
        """Whether it has ended well, by itself."""
        return self._status == 0 and not self.why

    def result(self, log: str, log_from: int) -> dict[str, Any]:
        """Its end, as the server is told. ``reason`` "" is a success."""
        assert self._status is not None
        code = os.waitstatus_to_exitcode(self._status)
        told: dict[str, Any] = {"lease": self.lease, "exitCode": code if code >= 0 else 128 - code}
        told |= {"log": log, "logFrom": log_from, "usage": self._measured()}
        trouble = self._read_trouble()
        if trouble:
            return {**told, "reason": "CannotRun", "message": trouble[:2000], "ownFault": True}
        if self.why:
            return {**told, "reason": self.why, "message": self.message[:2000], "ownFault": self.own_fault}
        if code == 0:
            return {**told, "reason": ""}
        words = f"exited with {code}" if code > 0 else f"killed by signal {-code}"
        last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
        return {**told, "reason": "Error", "message": f"{words}: {last[:300]}" if last else words, "ownFault": True}

    def reap(self) -> None:
        """See whether the first process has ended. What it leaves comes to the pilot only then."""
        if self._status is not None:
            return
        with contextlib.suppress(ChildProcessError):
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._status, self._usage = status, usage
                self._process.returncode = os.waitstatus_to_exitcode(status)

    def _measure(self) -> None:
        family = processes.family([self.pid, *self.strays])
        held = processes.resident_bytes(family)
        self.peak_bytes = max(self.peak_bytes, held)
        self._strays_cpu_s = max(self._strays_cpu_s, processes.cpu_seconds(processes.family(self.strays)))
        if self._limit_bytes and held > self._limit_bytes:
            held = processes.proportional_bytes(family)  # what is shared was counted for each
            if held > self._limit_bytes and self.kill_at is None:
                words = f"held {held >> 20} MiB of memory, may hold {self._limit_bytes >> 20} MiB"
                self.stop("OOMKilled", words, 0.0)

    def _measured(self) -> dict[str, float]:
        cpu_s = self._usage.ru_utime + self._usage.ru_stime if self._usage else 0.0
        # ru_maxrss is of the largest process, and in KiB.
        peak = max(self.peak_bytes, self._usage.ru_maxrss * 1024 if self._usage else 0)
        return {
            "cpuSeconds": round(cpu_s + self._strays_cpu_s, 3),
            "wallSeconds": round(time.monotonic() - self.since, 3),
            "memoryBytes": float(peak),
        }

    def _signal(self, number: signal.Signals) -> None:
        members = processes.family([self.pid, *self.strays])
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        processes.send(members, number)

    def _read_trouble(self) -> str:
        with os.fdopen(self._trouble, "rb") as file:
            os.set_blocking(file.fileno(), False)
            return (file.read() or b"").decode(errors="replace")
