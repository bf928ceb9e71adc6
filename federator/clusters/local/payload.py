"""Starts one replica: fork, wait for leave to go on, exec. Standard library only; the caller has one thread."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from collections.abc import Mapping, Sequence

from federator import processes

_GO = b"g"


class Held:
    """A replica's process that waits for ``release`` before it becomes the command."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], cwd: str, log: str, data_limit: int, *, idle: bool
    ) -> None:
        """``data_limit``: bytes of private memory at which allocations fail; 0: none. ``idle``: it runs only while
        nobody else wants the processors or the disks. Raises OSError."""
        self._command, self._cwd = command, cwd
        self._go_read, self._go = os.pipe()
        self._status, self._status_write = os.pipe()
        supervisor = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._go)
                _prepare(supervisor, log, data_limit)
                if idle:
                    _step_back()
                if os.read(self._go_read, 1) == _GO:
                    os.chdir(cwd)
                    os.execvpe(command[0], list(command), dict(env))
            except OSError as error:
                os.write(self._status_write, f"{error.errno} {error.filename or ''}".encode())
            finally:
                os._exit(127)
        os.close(self._go_read)
        os.close(self._status_write)

    def release(self) -> None:
        """Let the process become the command. Several may be released before any ``outcome`` is asked for."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, _GO)
        os.close(self._go)

    def abandon(self) -> None:
        """Kill the process before it became the command. The caller reaps it."""
        os.kill(self.pid, signal.SIGKILL)
        os.close(self._go)
        os.close(self._status)

    def outcome(self) -> str:
        """Why the command cannot run; empty if it runs."""
        said = b""
        while piece := os.read(self._status, 4096):
            said += piece
        os.close(self._status)
        if not said:
            return ""
        number, _, name = said.decode().partition(" ")
        reason = os.strerror(int(number))
        if name == self._cwd:
            return f"the working directory {self._cwd!r} cannot be entered: {reason}"
        if int(number) == errno.ENOENT:
            here = "a local cluster runs commands of this machine"
            return f"the command {self._command[0]!r} is not there: {reason} ({here})"
        return f"the command {self._command[0]!r} cannot be run: {reason}"


def _step_back() -> None:
    """In the child: the lowest priority, and the class of processes that run only on idle processors; the kernel
    gives their input and output the idle class too."""
    os.nice(19)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _prepare(supervisor: int, log: str, data_limit: int) -> None:
    """In the child: own session, dies with the supervisor, limits, output to the log, signals as a shell has them."""
    os.setsid()
    processes.die_with_parent()
    if os.getppid() != supervisor:
        os._exit(127)  # it died before the line above
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if data_limit:
        resource.setrlimit(resource.RLIMIT_DATA, (data_limit, data_limit))
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
