"""End-to-end tests run the daemon as its user does: as a process, with real clusters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.federator_process import Federator
from tests.servers.fixtures import kubernetes_pair, postgres_server, postgres_url

__all__ = ["federator", "kubernetes_pair", "postgres_server", "postgres_url"]


@pytest.fixture
def federator(tmp_path: Path) -> Iterator[Federator]:
    """A federator in a folder of its own; not started yet. Nothing of it is left behind."""
    one = Federator(tmp_path)
    yield one
    one.clean_up()
