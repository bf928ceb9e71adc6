"""Backfill documents in the daemon: each becomes a workload of its own, which only fills; and how they are shown."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import Any

import structlog

from federator.daemon import views
from federator.daemon.decision import summary
from federator.daemon.draft import Draft
from federator.daemon.removal import begin_removal
from federator.daemon.settle import Rules
from federator.daemon.state import Live, State
from federator.daemon.tally import Tally, together
from federator.documents import stamped, workload_spec
from federator.documents.backfill import PREFIX
from federator.engine.answer import kept_document
from federator.model.backfill import Filled, Filler
from federator.model.records import WorkloadRecord
from federator.ports import Store

KIND = "Backfill"
LOG = structlog.get_logger(__name__)


class FillerKeeper:
    """Sees to it that every Backfill document has its workload, and no other filler is left."""

    def __init__(self, state: State, store: Store, rules: Rules) -> None:
        self._state, self._store, self._rules = state, store, rules
        self._over: dict[str, Mapping[str, Any]] = {}
        """Documents whose bags are empty, by the names of their workloads."""

    async def keep_up(self, at_s: float) -> Draft | None:
        """Make, change and remove workloads of fillers; None where that changes nothing. Raises StoreUnavailable."""
        wanted = {
            f.name: views.document_of(self._state, KIND, f.name.removeprefix(PREFIX)) for f in self._state.fillers
        }
        if not self._differs(wanted):
            return None
        async with self._state.writing:
            draft = Draft(self._state, at_s)
            known = self._state.workloads
            ended = await self._store.find_workloads([name for name in wanted if name not in known])
            for name, document in wanted.items():
                record = known[name].record if name in known else ended.get(name)
                self._make(draft, name, document, record)
            for live in self._leftover(wanted):
                begin_removal(self._state, draft, self._rules, live, delete=True)
            await draft.commit(self._store)
        return draft

    def _differs(self, wanted: Mapping[str, Mapping[str, Any]]) -> bool:
        known, over = self._state.workloads, self._over
        new = any(
            _is_ours(known[name].record) and known[name].record.document != document
            if name in known
            else over.get(name) != document
            for name, document in wanted.items()
        )
        return new or any(self._leftover(wanted))

    def _leftover(self, wanted: Mapping[str, object]) -> Iterator[Live]:
        for name, live in list(self._state.workloads.items()):
            if live.spec.workload.backfill and name not in wanted and not live.record.deleted:
                yield live

    def _make(self, draft: Draft, name: str, document: Mapping[str, Any], record: WorkloadRecord | None) -> None:
        if record is not None and not record.state.over and not _is_ours(record):
            LOG.warning("a workload has the name of a filler, which waits for its end", workload=name)
            return
        if record is not None and record.document == document:
            if record.state.over:
                self._over[name] = document
            return
        spec = workload_spec(document)
        if record is None or record.state.over or record.deleted:
            queue = spec.workload.queue
            record = WorkloadRecord(name, secrets.token_hex(6), document, KIND, draft.at_s, queue)
            draft.tell(record, "submitted", "made from a Backfill document")
        else:
            record = replace(record, document=document, generation=record.generation + 1)
            draft.tell(record, "changed", f"its Backfill document changed: generation {record.generation}")
        draft.put_record(record, stamped(spec, name, record.submitted_s))


def _is_ours(record: WorkloadRecord) -> bool:
    """Whether a workload was made from a Backfill document, not handed in by somebody under such a name."""
    return record.document.get("kind") == KIND


def names(state: State) -> list[str]:
    """The names of all Backfill documents, in their order."""
    return sorted(filler.name.removeprefix(PREFIX) for filler in state.fillers)


def view(state: State, name: str) -> dict[str, Any]:
    """A filler: what it is, what runs of it, and why there is no more of it anywhere."""
    filler = _find(state, name)
    live = state.workloads.get(filler.name)
    shown = views.workload(state, live) if live is not None else {}
    filled = next((one for one in state.plan.backfill if one.workload == filler.name), None)
    tallies = {at: tally for (one, at), tally in list(state.tallies.items()) if one == name}
    placements: Mapping[str, int] = shown.get("placements", {})
    return {
        "name": name,
        "workload": filler.name,
        "weight": filler.weight,
        "tasks": filler.workload.replicas,
        "running": shown.get("running", 0),
        "pending": shown.get("pending", 0),
        "finished": shown.get("finished", 0),
        "setAside": sum(until_s == inf for until_s in live.resting.values()) if live is not None else 0,
        "placements": placements,
        **together(tallies.values()).shown(),
        "productionStart": state.starts.medians({*placements, *tallies}),
        "clusters": [
            _on_cluster(state, filler, filled, tallies.get(at, Tally()), at, placements.get(at, 0))
            for at in sorted({*state.members, *tallies})
        ],
        "source": views.source_of(state, KIND, name),
        "message": summary(filled.why) if filled is not None else shown.get("message", ""),
        "document": views.document_of(state, KIND, name),
    }


def _on_cluster(
    state: State, filler: Filler, filled: Filled | None, tally: Tally, cluster: str, replicas: int
) -> dict[str, Any]:
    """What a filler has of one cluster, why no more, what it leaves free and why, and what became of it there."""
    verdict = filled.why.get(cluster) if filled is not None else None
    member = state.members.get(cluster)
    least = member.least.get(filler.idle_for_s) if member is not None else None
    return {
        "cluster": cluster,
        "replicas": replicas,
        "reason": verdict.reason.value if verdict is not None else None,
        "message": verdict.message if verdict is not None else "",
        **tally.shown(),
        "keptFree": [
            {**kept_document(one), "mostUsedAt": least.was_s(one.resource) if least is not None else None}
            for one in (filled.kept.get(cluster, ()) if filled is not None else ())
        ],
        "productionStart": state.starts.medians([cluster]),
    }


def _find(state: State, name: str) -> Filler:
    return next(filler for filler in state.fillers if filler.name == PREFIX + name)
