"""Starts server processes so that each one ends, whatever becomes of the test run.

Every server gets a process group of its own and is ended by its pid. A small
helper process holds a pipe from us: when we are gone, however that came about,
the pipe closes and it kills what we left and removes our temporary directories. (The kernel's parent-death signal
would not do: it fires when the starting *thread* ends.)
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

REAPER = """
import os, shutil, signal, sys
def born(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None
ours, directories = {}, set()
for line in sys.stdin:
    word, what = line[0], line[1:-1]
    if word == "+":
        ours[int(what)] = born(what)
    elif word == "-":
        ours.pop(int(what), None)
    elif word == "d":
        directories.add(what)
    elif word == "k":
        directories.discard(what)
for pid, birth in ours.items():
    if birth is not None and born(pid) == birth:  # never a stranger who got the number later
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            pass
for directory in directories:
    shutil.rmtree(directory, ignore_errors=True)
"""
_ports = random.SystemRandom()
_given: set[int] = set()
_lock = threading.Lock()


class ServerFailed(RuntimeError):
    """A server ended or did not become ready; the message holds its last log lines."""


class Server:
    """One server process with its log file."""

    def __init__(self, name: str, command: Sequence[str], log: Path, user: str | None = None) -> None:
        """``user``: who runs it, where root must not."""
        self.name = name
        self.command = command
        self.log = log
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it in a group of its own."""
        if self.running:
            return
        user = self._user
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, cwd=self.log.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, user=user, group=None if user is None else primary_group(user),
                extra_groups=None if user is None else [],
            )  # fmt: skip
        _tell_reaper("+", self._process.pid)

    def send(self, number: signal.Signals) -> None:
        if self.running:
            os.killpg(self.pid, number)

    def stop(self, number: signal.Signals = signal.SIGKILL, patience_s: float = 10.0) -> None:
        """End the whole group. SIGKILL by default: the data is thrown away anyway."""
        if self._process is None:
            return
        self.send(number)
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self._process.wait()
        # The leader is gone; whatever it started is not allowed to stay.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        _tell_reaper("-", self._process.pid)
        self._process = None

    def wait_until(self, ready: Callable[[], bool], timeout_s: float, what: str, pause_s: float = 0.1) -> None:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.running:
                raise ServerFailed(f"{self.name} ended by itself before it was {what}:\n{self.last_lines()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} was not {what} within {timeout_s:g} s:\n{self.last_lines()}")
            time.sleep(pause_s)

    def last_lines(self, count: int = 25) -> str:
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def temporary_directory(name: str) -> Path:
    """A directory that goes when ``remove_directory`` says so, or when we are killed."""
    path = Path(tempfile.mkdtemp(prefix=f"federator-{name}-"))
    _tell_reaper("d", path)
    return path


def remove_directory(path: Path) -> None:
    keep_directory(path)
    shutil.rmtree(path, ignore_errors=True)


def keep_directory(path: Path) -> None:
    """Someone will want to read the logs in it."""
    _tell_reaper("k", path)


def free_port() -> int:
    """A loopback port nobody listens on, below the range outgoing connections take theirs from.

    A server that comes back after an outage needs the same port again, so it must
    not be one that the kernel may meanwhile give to some client.
    """
    with _lock:
        for _ in range(1000):
            port = _ports.randrange(20_000, 32_000)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    probe.bind(("127.0.0.1", port))
                    if port not in _given:
                        _given.add(port)
                        return port
    raise ServerFailed("no free port between 20000 and 32000 on 127.0.0.1")


def primary_group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


@functools.cache
def _reaper() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", REAPER], stdin=subprocess.PIPE, text=True, bufsize=1,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def _tell_reaper(word: str, what: object) -> None:
    with _lock, contextlib.suppress(BrokenPipeError):
        pipe = _reaper().stdin
        assert pipe is not None
        pipe.write(f"{word}{what}\n")
