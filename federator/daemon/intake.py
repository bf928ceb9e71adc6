"""How workloads come in: each is new, or the same as before, or a change that is allowed, or a conflict."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from federator.daemon.draft import Draft
from federator.daemon.service import Conflict, Permit
from federator.daemon.state import State
from federator.documents import Document, DocumentErrors, Problem, WorkloadSpec, stamped, workload_spec
from federator.model.records import WorkloadRecord
from federator.ports import Store


@dataclass(frozen=True, slots=True)
class Arrival:
    """Who hands something in, what queues they may use, and whether a service may change by it."""

    owner: str
    permit: Permit
    change: bool


async def take_in(
    state: State, store: Store, draft: Draft, documents: Sequence[Document], arrival: Arrival
) -> Mapping[str, str]:
    """Put all of the workloads into the draft; returns the result by name: created, changed or unchanged.

    Raises DocumentErrors, Conflict, and what the permit raises. The caller holds ``state.writing``.
    """
    specs = [_runnable(document) for document in documents]
    for spec in specs:
        arrival.permit(spec.workload.queue)
    ended = await store.find_workloads([d.name for d in documents if d.name not in state.workloads])
    return {
        document.name: _take_in_one(state, draft, document, spec, ended.get(document.name), arrival)
        for document, spec in zip(documents, specs, strict=True)
    }


def _take_in_one(
    state: State,
    draft: Draft,
    document: Document,
    spec: WorkloadSpec,
    ended: WorkloadRecord | None,
    arrival: Arrival,
) -> str:
    name, owner = document.name, arrival.owner
    if name in draft.records:
        raise Conflict(f"workload {name!r} is named twice in one request")
    live = state.workloads.get(name)
    record = live.record if live else ended
    if record is None:
        record = WorkloadRecord(
            name=name,
            uid=secrets.token_hex(6),
            document=document.raw,
            owner=owner,
            submitted_s=draft.at_s,
            queue=spec.workload.queue,
        )
        draft.put_record(record, stamped(spec, record.name, record.submitted_s))
        draft.tell(record, "submitted", f"handed in by {owner} to queue {record.queue}", owner=owner)
        return "created"
    arrival.permit(record.queue)
    if record.deleted:
        raise Conflict(f"workload {name!r} is being deleted; hand it in again when it is gone")
    if record.document == document.raw:
        return "unchanged"
    if not arrival.change or live is None or not live.service:
        raise Conflict(
            f"another workload {name!r} is there already ({record.state}); "
            "delete it first, or hand this one in under another name"
        )
    record = replace(record, document=document.raw, generation=record.generation + 1, queue=spec.workload.queue)
    draft.put_record(record, stamped(spec, record.name, record.submitted_s))
    draft.tell(record, "changed", f"changed by {owner}: generation {record.generation}", owner=owner)
    return "changed"


def _runnable(document: Document) -> WorkloadSpec:
    """The spec of a workload that can really be run. Raises DocumentErrors."""
    spec = workload_spec(document.raw)
    if spec.runnable:
        return spec
    source = document.source
    message = "it does not say what its replicas run"
    cure = "give 'container' (an image and a command) or 'template' (a manifest)"
    raise DocumentErrors([Problem(source.file, source.line, 1, "spec", message, cure)])


def stored_spec(record: WorkloadRecord) -> WorkloadSpec:
    """The spec of a workload that the store has. Raises DocumentErrors."""
    return stamped(workload_spec(record.document), record.name, record.submitted_s)
