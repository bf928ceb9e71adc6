"""On what the figures were measured."""

from __future__ import annotations

import os
import platform

import psutil


def describe() -> str:
    """The machine in a few words: cores, memory, Python."""
    cores = len(os.sched_getaffinity(0))
    memory_gib = psutil.virtual_memory().total / 2**30
    return f"{cores} cores, {memory_gib:.0f} GiB, {platform.machine()}, Python {platform.python_version()}"
