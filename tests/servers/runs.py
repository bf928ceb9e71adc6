"""What truly ran where: the tests' witness, kept apart from what the apiserver was told."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import pod_facts
from tests.servers.pod_facts import Json


@dataclass
class Run:
    """One start of one pod's containers."""

    namespace: str
    pod: str
    uid: str
    node: str
    job: str | None
    """The Job that owns the pod."""
    replica_index: str | None
    """Its FEDERATOR_REPLICA_INDEX."""
    completion_index: int | None
    """An indexed Job's index."""
    restart: int
    requests: dict[str, float]
    labels: dict[str, str]
    annotations: dict[str, str]
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    exit_code: int | None = None
    """None while it runs, and when it was deleted or its node went away."""
    output: Path | None = None
    """What it writes, where it truly runs."""

    @property
    def replica(self) -> str:
        index = self.replica_index if self.replica_index is not None else self.completion_index
        return "-" if index is None else str(index)


class Runs:
    """All runs so far, and per node and resource the most that was in use at one time."""

    def __init__(self) -> None:
        self.all: list[Run] = []
        self.peaks: dict[str, dict[str, float]] = {}
        self._in_use: dict[str, dict[str, float]] = {}
        self._latest: dict[tuple[str, str], Run] = {}

    def begin(self, pod: Json, restart: int) -> Run:
        metadata = pod["metadata"]
        run = Run(
            namespace=metadata["namespace"],
            pod=metadata["name"],
            uid=metadata["uid"],
            node=pod["spec"]["nodeName"],
            job=pod_facts.job_of(pod),
            replica_index=pod_facts.environment(pod, "FEDERATOR_REPLICA_INDEX"),
            completion_index=pod_facts.completion_index(pod),
            restart=restart,
            requests=pod_facts.requests_of(pod),
            labels=dict(metadata.get("labels") or {}),
            annotations=dict(metadata.get("annotations") or {}),
        )
        self.all.append(run)
        self._latest[run.namespace, run.pod] = run
        self._count(run, 1)
        return run

    def end(self, run: Run, exit_code: int | None) -> None:
        if run.ended_at is None:
            run.ended_at, run.exit_code = time.time(), exit_code
            self._count(run, -1)

    def latest(self, namespace: str, pod: str) -> Run | None:
        return self._latest.get((namespace, pod))

    def _count(self, run: Run, sign: int) -> None:
        in_use = self._in_use.setdefault(run.node, {})
        peak = self.peaks.setdefault(run.node, {})
        for name, amount in run.requests.items():
            # Thousandths of a cpu add up exactly only when rounded.
            in_use[name] = round(in_use.get(name, 0.0) + sign * amount, 6)
            peak[name] = max(peak.get(name, 0.0), in_use[name])
