"""Records as rows and back. Written by hand: a start reads 100,000 rows, and nothing else is as quick.

The order of fields in the functions that decode is the order of columns in ``tables.py``; a test holds them together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from federator.model.checkpoints import Tried
from federator.model.indexset import IndexSet
from federator.model.intent import Intent, IntentState
from federator.model.records import (
    AuditEntry,
    HistoryEntry,
    StoredObject,
    Token,
    WorkloadRecord,
    WorkloadState,
)

Row = Sequence[Any]
Values = dict[str, Any]

_encode = json.JSONEncoder(separators=(",", ":"), default=dict).encode  # default: mappings that are no dict
_raw_decode = json.JSONDecoder().raw_decode
_STATES = {state.value: state for state in WorkloadState}
_INTENT_STATES = {state.value: state for state in IntentState}
_NO_FINISHED: Mapping[str, IndexSet] = {}
_NO_FAILURES: Mapping[str, Mapping[int, int]] = {}
_NO_TRIED: Mapping[str, Tried] = {}


@lru_cache(10_000)
def _indices(text: str) -> IndexSet:
    """Many workloads are alike, and sets of indices are values: most are parsed once."""
    return IndexSet.parse(text)


def _decode(text: str) -> Any:
    """``json.loads`` without its look for white space, which we never write: a third of its time."""
    return _raw_decode(text)[0]


def to_json(value: Any) -> str:
    """A JSON value as compact ASCII text (so that no database minds NUL or lone surrogates in it)."""
    return "{}" if value == {} else _encode(value)


def from_json(text: str) -> Any:
    """The value that ``to_json`` wrote."""
    return {} if text == "{}" else _decode(text)


def clean(text: str) -> str:
    """Text of strangers (a pod's message, a path) as both databases take it: no NUL, no lone surrogates.

    One such message must not keep a whole transaction from being written, again and again.
    """
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def workload_row(record: WorkloadRecord) -> Values:
    """A workload for its table."""
    finished, failures = record.finished, record.failures
    return {
        "name": record.name,
        "uid": record.uid,
        "document": to_json(record.document),
        "owner": clean(record.owner),
        "submitted_s": record.submitted_s,
        "queue": record.queue,
        "generation": record.generation,
        "state": record.state.value,
        "finished": to_json({role: str(indices) for role, indices in finished.items()}) if finished else "{}",
        "failures": to_json({role: dict(counts) for role, counts in failures.items()}) if failures else "{}",
        "waves": record.waves,
        "message": clean(record.message),
        "ended_s": record.ended_s,
        "started_s": record.started_s,
        "deleted": record.deleted,
        "is_over": record.state.over,
        "tried": to_json(_tried_json(record.tried)) if record.tried else "{}",
    }


def workload(row: Row) -> WorkloadRecord:
    """A workload from its table."""
    (
        name, uid, document, owner, submitted_s, queue, generation, state, finished, failures, waves, message, ended_s,
        started_s, deleted, _, tried,
    ) = row  # fmt: skip
    return WorkloadRecord(
        name=name, uid=uid, document=_decode(document), owner=owner, submitted_s=submitted_s, queue=queue,
        generation=generation, state=_STATES[state], waves=waves, message=message, ended_s=ended_s,
        started_s=started_s, deleted=deleted,
        finished=_NO_FINISHED if finished == "{}" else {
            role: _indices(part) for role, part in _decode(finished).items()
        },
        failures=_NO_FAILURES if failures == "{}" else {
            role: {int(index): count for index, count in counts.items()} for role, counts in _decode(failures).items()
        },
        tried=_NO_TRIED if tried == "{}" else {
            role: {int(wave): _indices(part) for wave, part in waves.items()} for role, waves in _decode(tried).items()
        },
    )  # fmt: skip


def _tried_json(tried: Mapping[str, Tried]) -> Values:
    return {role: {str(wave): str(indices) for wave, indices in waves.items()} for role, waves in tried.items()}


def intent_row(intent: Intent) -> Values:
    """An intent for its table."""
    return {
        "id": intent.id,
        "workload": intent.workload,
        "workload_uid": intent.workload_uid,
        "role": intent.role,
        "cluster": intent.cluster,
        "indices": str(intent.indices),
        "state": intent.state.value,
        "generation": intent.generation,
        "created_s": intent.created_s,
        "sent_s": intent.sent_s,
        "plan_id": intent.plan_id,
        "tier": intent.tier,
        "policy": intent.policy,
        "moved": intent.moved,
        "settled": str(intent.settled),
        "withdrawn": str(intent.withdrawn),
        "ended_s": intent.ended_s,
        "reason": clean(intent.reason),
    }


def intent(row: Row) -> Intent:
    """An intent from its table."""
    (
        id_, name, uid, role, cluster, indices, state, generation, created_s, sent_s, plan_id, tier, policy, moved,
        settled, withdrawn, ended_s, reason,
    ) = row  # fmt: skip
    return Intent(
        id=id_, workload=name, workload_uid=uid, role=role, cluster=cluster, indices=_indices(indices),
        state=_INTENT_STATES[state], generation=generation, created_s=created_s, sent_s=sent_s, plan_id=plan_id,
        tier=tier, policy=policy, moved=moved, settled=_indices(settled), withdrawn=_indices(withdrawn),
        ended_s=ended_s, reason=reason,
    )  # fmt: skip


def history_row(entry: HistoryEntry) -> Values:
    """A history entry, with its id, for its table."""
    return {
        "id": entry.id,
        "workload": entry.workload,
        "workload_uid": entry.workload_uid,
        "at_s": entry.at_s,
        "kind": entry.kind,
        "message": clean(entry.message),
        "plan_id": entry.plan_id,
        "cluster": entry.cluster,
        "details": to_json(entry.details),
    }


def history_entry(row: Row) -> HistoryEntry:
    """A history entry from its table."""
    id_, name, uid, at_s, kind, message, plan_id, cluster, details = row
    return HistoryEntry(name, uid, at_s, kind, message, plan_id, cluster, from_json(details), id_)


def object_row(stored: StoredObject) -> Values:
    """A document made through the API, for its table."""
    return {
        "kind": stored.kind,
        "name": stored.name,
        "document": to_json(stored.document),
        "owner": clean(stored.owner),
        "changed_s": stored.changed_s,
    }


def stored_object(row: Row) -> StoredObject:
    """A document made through the API, from its table."""
    kind, name, document, owner, changed_s = row
    return StoredObject(kind, name, from_json(document), owner, changed_s)


def audit_row(entry: AuditEntry, number: int) -> Values:
    """An audit entry for its table, under its number."""
    return {
        "id": number,
        "at_s": entry.at_s,
        "who": clean(entry.who),
        "roles": to_json(entry.roles),
        "address": clean(entry.address),
        "verb": clean(entry.verb),
        "path": clean(entry.path),
        "status": entry.status,
        "detail": clean(entry.detail),
    }


def audit_entry(row: Row) -> AuditEntry:
    """An audit entry from its table."""
    _, at_s, who, roles, address, verb, path, status, detail = row
    return AuditEntry(at_s, who, tuple(from_json(roles)), address, verb, path, status, detail)


def token_row(token: Token) -> Values:
    """A token for its table."""
    return {
        "name": token.name,
        "sha256": token.sha256,
        "roles": to_json(token.roles),
        "queues": to_json(token.queues),
        "site": token.site,
        "expires_s": token.expires_s,
    }


def token(row: Row) -> Token:
    """A token from its table."""
    name, sha256, roles, queues, site, expires_s = row
    return Token(name, sha256, tuple(from_json(roles)), tuple(from_json(queues)), site, expires_s)
