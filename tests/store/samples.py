"""Values to keep."""

from __future__ import annotations

from federator.model.indexset import IndexSet
from federator.model.intent import Intent
from federator.model.records import Changes, HistoryEntry, WorkloadRecord, WorkloadState

DOCUMENT = {
    "apiVersion": "federator.dev/v1alpha1",
    "kind": "Workload",
    "metadata": {"name": "reco", "labels": {"experiment": "atlas"}},
    "spec": {"queue": "atlas", "replicas": 200, "requests": {"cpu": "1", "memory": "2Gi"}},
}


def workload(
    name: str, state: WorkloadState = WorkloadState.WAITING, *, queue: str = "atlas", ended_s: float | None = None
) -> WorkloadRecord:
    return WorkloadRecord(
        name=name, uid=f"uid-{name}", document=DOCUMENT, owner="sam", submitted_s=1.25, queue=queue, state=state,
        finished={"": IndexSet.of([0, 1, 2, 5])}, failures={"": {3: 2, 10: 1}}, waves=2, ended_s=ended_s,
    )  # fmt: skip


def intent(name: str, wave: int = 0, cluster: str = "cern") -> Intent:
    return Intent(f"{name}-{wave}", name, f"uid-{name}", "", cluster, IndexSet.span(0, 200), plan_id="p1")


def entry(name: str, kind: str = "Placed", at_s: float = 1.0) -> HistoryEntry:
    return HistoryEntry(name, f"uid-{name}", at_s, kind, "6 on cern", "p1", "cern", {"replicas": 6})


def many(count: int, history: int = 0) -> Changes:
    """So many workloads, each with an intent."""
    names = [f"w{number:06}" for number in range(count)]
    return Changes(
        workloads=tuple(map(workload, names)),
        intents=tuple(map(intent, names)),
        history=tuple(entry(names[number % count]) for number in range(history)),
    )
