"""The output of a replica that has ended: fetched from the schedd, whole."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from federator.clusters.htcondor.helper import Helper


async def fetched(helper: Helper, job: Mapping[str, Any], directory: Path) -> bytes:
    """What the job wrote. Raises CallFailed and TimeoutError."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        await helper.call("fetch", job=f"{job['ClusterId']}.{job['ProcId']}", directory=folder)
        return await asyncio.to_thread(_read, Path(folder))


def _read(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


def last_lines(data: bytes, count: int | None) -> bytes:
    """The last so many lines, or all."""
    return data if count is None else b"".join(data.splitlines(keepends=True)[-count:] if count else [])
