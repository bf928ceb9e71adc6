"""Backfill documents in the daemon: shown as people ask for them. Pure reading."""

from __future__ import annotations

from typing import Any

from federator.daemon import views
from federator.daemon.state import State
from federator.documents.backfill import PREFIX
from federator.model.backfill import Filler

KIND = "Backfill"


def names(state: State) -> list[str]:
    """The names of all Backfill documents, in their order."""
    return sorted(filler.name.removeprefix(PREFIX) for filler in state.fillers)


def view(state: State, name: str) -> dict[str, Any]:
    """A filler: what it is, what runs of it, and why there is no more of it anywhere."""
    filler = _find(state, name)
    live = state.workloads.get(filler.name)
    shown = views.workload(state, live) if live is not None else {}
    return {
        "name": name,
        "workload": filler.name,
        "weight": filler.weight,
        "tasks": filler.workload.replicas,
        "running": shown.get("running", 0),
        "pending": shown.get("pending", 0),
        "finished": shown.get("finished", 0),
        "placements": shown.get("placements", {}),
        "source": views.source_of(state, KIND, name),
        "message": shown.get("message", ""),
        "document": views.document_of(state, KIND, name),
    }


def _find(state: State, name: str) -> Filler:
    return next(filler for filler in state.fillers if filler.name == PREFIX + name)
