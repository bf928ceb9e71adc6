"""Starts supervisors, finds out whether they live, and ends everything by force."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import federator
from federator import processes
from federator.clusters.local import layout, orphans, story

_ROOT = str(Path(federator.__file__).parents[1])
# -I -S: nothing of the user's and the daemon's Python set-up; the packages on the way to the module are empty.
_START = f"import sys; sys.path.append({_ROOT!r}); from federator.clusters.local.supervise import main; main()"


def start(directory: str) -> subprocess.Popen[bytes] | None:
    """Start a supervisor for the intent, unless one lives. The process returned ends at once, and wants to be reaped.

    The lock is taken here and its open file handed down, so that there is no moment at which two could start.
    """
    lock = _lock(directory)
    if lock is None:
        return None
    try:
        with open(os.path.join(directory, layout.SUPERVISOR_LOG), "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, directory, str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                pass_fds=(lock,),
                start_new_session=True,
            )
    finally:
        os.close(lock)


def lives(directory: str) -> bool:
    """Whether a supervisor of the intent lives. Only with the cluster's lock held: it tries the intent's lock."""
    lock = _lock(directory)
    if lock is None:
        return True
    os.close(lock)
    return False


def _lock(directory: str) -> int | None:
    fd = os.open(os.path.join(directory, layout.LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def stop_everything(directory: Path) -> None:
    """Kill every supervisor and replica of a local cluster and forget its intents. For tests and for clearing up."""
    root = os.path.realpath(directory)
    if not os.path.isdir(root):
        return
    # What is being removed already has no supervisor any more.
    for entry in [entry for entry in os.scandir(root) if not entry.name.startswith(".")]:
        patience = time.monotonic() + 10
        while lives(entry.path) and time.monotonic() < patience:
            events = layout.JournalReader(os.path.join(entry.path, layout.JOURNAL)).new_events()
            supervisors = {event["pid"]: event["birth"] for event in events if event["event"] == "supervisor"}
            processes.send([p for p, birth in supervisors.items() if processes.birth(p) == birth], signal.SIGKILL)
            time.sleep(0.01)
        events = layout.JournalReader(os.path.join(entry.path, layout.JOURNAL)).new_events()
        told = story.Story()
        told.tell(events)
        known = [replica for replica in told.replicas.values() if replica.boot == processes.boot_id()]
        orphans.end_leftovers(entry.path, {replica.pid: replica.birth for replica in known})
        shutil.rmtree(entry.path, ignore_errors=True)
