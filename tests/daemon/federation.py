"""A daemon in one process, over fake clusters and a clock that is moved by hand: what takes hours takes moments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from federator.clock import VirtualClock
from federator.clusters.fake import FakeProvider
from federator.daemon.compose import Daemon
from federator.daemon.cycle import Pace
from federator.daemon.providers import Surroundings
from federator.daemon.settle import Rules
from federator.store import SqlStore
from federator.telemetry.metrics import Metrics


class Federation:
    """One daemon over a folder; may be stopped, or dropped as in a crash, and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock(1_000_000.0)
        self.providers: dict[str, FakeProvider] = {}
        self.daemon: Daemon | None = None
        (folder / "files").mkdir(exist_ok=True)

    def write(self, *documents: Mapping[str, Any], file: str = "federation.yaml") -> None:
        """The documents that the files hold."""
        text = yaml.safe_dump_all({"apiVersion": "federator.dev/v1alpha1", **d} for d in documents)
        (self.folder / "files" / file).write_text(text)

    async def start(self) -> None:
        """Start a daemon over what is in the folder; fake clusters go on as they were."""
        self.daemon = Daemon(
            store=SqlStore(f"sqlite:///{self.folder / 'federator.db'}"),
            clock=self.clock,
            metrics=Metrics("test"),
            paths=lambda: [self.folder / "files"],
            samples=(),
            around=Surroundings(self.folder, self.clock, "test"),
            pace=Pace(1.0, 0.05, Rules(15.0, 600.0)),
            retention_s=86400.0,
        )
