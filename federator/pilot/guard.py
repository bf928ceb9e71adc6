"""Outlives a pilot for a moment: ends what it leaves behind when it is killed.

Run as ``python -I -S -c SOURCE SPOOL`` with a pipe as its input whose other end only the pilot holds. When the pilot
is gone, however it went, every process that was started with the spool's mark is killed, until none is left.
Standard library only; imports nothing of ours.
"""

import os
import signal
import sys
import time

MARKER = b"FEDERATOR_PILOT_SPOOL="


def marked(mark: bytes) -> list[int]:
    """The processes that were started with this mark in their environment."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(int(entry))
        except OSError:
            continue
    return found


def main() -> None:
    """Wait for the end of the pilot, then clear up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    mark = MARKER + sys.argv[1].encode()
    until = time.monotonic() + 30.0
    while (left := marked(mark)) and time.monotonic() < until:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        time.sleep(0.02)


if __name__ == "__main__":
    main()
