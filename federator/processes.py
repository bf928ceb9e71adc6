"""What /proc tells of processes. Standard library only; Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies (instead of process 1)."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def boot_id() -> str:
    """Names this run of the kernel: process ids of another one mean nothing."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def birth(pid: int) -> int | None:
    """When a process was started, in ticks since boot; None if there is none, or it is dead and not yet reaped.

    A process id may be used again, together with the birth it may not.
    """
    fields = _stat(pid)
    return None if fields is None or fields[0] in (b"Z", b"X") else int(fields[19])


def session(pid: int) -> int | None:
    """The session a process belongs to."""
    fields = _stat(pid)
    return None if fields is None else int(fields[3])


def _stat(pid: int) -> list[bytes] | None:
    """Fields of /proc/PID/stat from the state on (the name before it may hold spaces and brackets)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def children(pid: int) -> list[int]:
    """The live children of a process, those not reaped yet among them."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found.extend(map(int, file.read().split()))
    return found


def family(roots: Iterable[int]) -> list[int]:
    """These processes and all their descendants."""
    found = list(roots)
    for pid in found:  # grows while it is walked
        found.extend(children(pid))
    return found


def resident_bytes(pids: Iterable[int]) -> int:
    """Memory that processes hold; what they share is counted for each of them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/statm", "rb") as file:
            total += int(file.read().split()[1]) * _PAGE
    return total


def proportional_bytes(pids: Iterable[int]) -> int:
    """Memory that processes hold; what they share is counted once. Dear: walks their page tables."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
    return total


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time that processes used, and those children that they have waited for."""
    used = [fields[11:15] for pid in pids if (fields := _stat(pid)) is not None]
    return sum(int(ticks) for one in used for ticks in one) / _TICKS_PER_S


def marker_of(pid: int, name: str) -> str | None:
    """The value of an environment variable a process was started with; None if it has none (or is not ours to see)."""
    wanted = name.encode() + b"="
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        for entry in file.read().split(b"\0"):
            if entry.startswith(wanted):
                return os.fsdecode(entry[len(wanted) :])
    return None


def marked(name: str, prefix: str) -> list[int]:
    """All processes that were started with a variable whose value begins so. Dear: looks at every process."""
    return [pid for pid in everybody() if (marker_of(pid, name) or "").startswith(prefix)]


def everybody() -> list[int]:
    """Every process of this machine (that this one may see)."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
