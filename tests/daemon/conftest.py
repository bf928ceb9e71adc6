"""The daemon's tests share one small federation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.daemon.federation import Federation, fake, tiers


@pytest.fixture
async def federation(tmp_path: Path) -> AsyncIterator[Federation]:
    """CERN with 8 cores before a cloud with 4; not started yet."""
    files = tmp_path / "files"
    files.mkdir()
    one = Federation(files)
    one.write(fake("cern", 4, nodes=2), fake("cloud", 4), tiers("cern-first", "cern", "cloud"))
    yield one
    await one.crash()
