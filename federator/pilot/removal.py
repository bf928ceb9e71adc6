"""Removes containers that Podman may have left. The loop of the pilot does not wait for it."""

from __future__ import annotations

import subprocess
import time

LIMIT_S = 60.0
"""So long Podman may take: to delete the copy of a large image takes a while."""


class Removals:
    """``podman rm`` at work. Used by the thread that runs payloads."""

    def __init__(self) -> None:
        self._running: list[tuple[float, subprocess.Popen[bytes]]] = []

    def begin(self, container: str) -> None:
        """Remove a container, if there is one. Raises OSError: there is no Podman."""
        command = ["podman", "rm", "--force", "--ignore", "--time", "0", container]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        self._running.append((time.monotonic() + LIMIT_S, process))

    def over(self) -> bool:
        """Whether nothing is being removed any more; what takes too long is ended."""
        for until, process in self._running:
            if process.poll() is None and time.monotonic() >= until:
                process.kill()
        self._running = [(until, process) for until, process in self._running if process.poll() is None]
        return not self._running
