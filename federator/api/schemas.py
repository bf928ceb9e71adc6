"""JSON Schemas of what the API takes and gives. What Service may add later is allowed; what is promised is required."""

from __future__ import annotations

from typing import Any

from federator.api.pilot_bodies import schemas as pilot_schemas

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(required: Schema, optional: Schema | None = None, text: str = "") -> Schema:
    """An object with these properties, the first of which are always there."""
    schema: Schema = {"type": "object", "properties": {**required, **(optional or {})}}
    if required:
        schema["required"] = list(required)
    if text:
        schema["description"] = text
    return schema


def many(item: Schema) -> Schema:
    """An array of these."""
    return {"type": "array", "items": item}


def page_of(name: str) -> Schema:
    """A page of a list."""
    return obj({"items": many(ref(name)), "next": {"type": "string", "description": "Give it as `after`; empty: end."}})


def mapping(value: Schema) -> Schema:
    """An object with any keys."""
    return {"type": "object", "additionalProperties": value}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
PART: Schema = {"type": "number", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
LABELS = mapping(TEXT)
AMOUNTS: Schema = {**mapping(NUMBER), "description": "By resource: cpu in cores, memory in bytes, others in pieces."}
TIME: Schema = {"type": ["number", "null"], "description": "Seconds since the epoch."}
ANY_OBJECT: Schema = {"type": "object"}
STATE: Schema = {"enum": ["waiting", "dispatched", "running", "finished", "failed", "cancelling", "cancelled"]}

WORKLOAD = obj(
    {"name": TEXT, "queue": TEXT, "state": STATE, "replicas": COUNT},
    {
        "uid": TEXT,
        "owner": TEXT,
        "labels": LABELS,
        "priority": {"type": "integer"},
        "lifetime": {"enum": ["batch", "service"]},
        "running": COUNT,
        "pending": COUNT,
        "finished": COUNT,
        "failed": COUNT,
        "waiting": COUNT,
        "placements": {**mapping(COUNT), "description": "Replicas by cluster."},
        "policy": TEXT,
        "message": {**TEXT, "description": "Why it waits or failed, for people."},
        "generation": COUNT,
        "submittedAt": TIME,
        "startedAt": TIME,
        "endedAt": TIME,
        "document": {**ANY_OBJECT, "description": "What was handed in; not in lists."},
        "result": {"enum": ["created", "unchanged", "changed"]},
    },
)
STARTS: Schema = {
    **mapping(obj({"medianSeconds": PART, "of": COUNT})),
    "description": "Of the latest starts of production since the daemon began, the time from the plan until it was "
    "seen to run, where backfill ran (`backfill`) and where none did (`free`).",
}
SPENT: Schema = {
    "usefulCpuSeconds": {**PART, "description": "Since the daemon began."},
    "lostCpuSeconds": {**PART, "description": "Since the daemon began."},
    "evictions": {**mapping(COUNT), "description": "Replicas that ended before their time, by cause."},
}
DOWNTIME = obj(
    {"from": TIME, "to": TIME, "drainFrom": TIME, "reason": TEXT, "state": {"enum": ["announced", "draining", "begun"]}}
)
CLUSTER = obj(
    {
        "name": TEXT,
        "provider": TEXT,
        "health": {"enum": ["up", "away", "lost", "unknown"]},
        "cordoned": FLAG,
        "draining": FLAG,
        "drainBy": {"type": ["number", "null"], "description": "When what is left there stops, in seconds since 1970."},
        "downtime": {"anyOf": [DOWNTIME, {"type": "null"}], "description": "What is announced next, or holds now."},
    },
    {
        "labels": LABELS,
        "message": TEXT,
        "version": TEXT,
        "source": {**TEXT, "description": "file:line, or api."},
        "capacity": AMOUNTS,
        "used": {**mapping(AMOUNTS), "description": "By class: production, backfill, foreign."},
        "free": AMOUNTS,
        "flavors": many(ANY_OBJECT),
        "running": COUNT,
        "pending": COUNT,
        "lastSeen": TIME,
        "productionStart": STARTS,
    },
)
EVENT = obj(
    {"id": COUNT, "at": NUMBER, "kind": TEXT, "message": TEXT},
    {"workload": TEXT, "cluster": TEXT, "plan": TEXT, "details": ANY_OBJECT},
)
REASON = obj({"reason": TEXT, "message": TEXT})
KEPT = obj(
    {"resource": TEXT, "rule": {"enum": ["keepFree", "idleFor", "idleAtMost"]}, "kept": NUMBER},
    {"keepFree": NUMBER, "idleFor": NUMBER, "idleAtMost": NUMBER, "mostUsedAt": TIME},
    "What a filler leaves free of a resource, by which field of its document, and what the fields come to.",
)
PLAN = obj(
    {
        "placements": many(
            obj({"workload": TEXT, "cluster": TEXT, "replicas": COUNT, "tier": TEXT, "policy": TEXT}, {"role": TEXT})
        ),
        "refusals": many(obj({"workload": TEXT, "replicas": COUNT, "reasons": mapping(REASON)}, {"role": TEXT})),
        "preemptions": many(obj({"workload": TEXT, "cluster": TEXT, "replicas": COUNT, "by": TEXT, "reason": TEXT})),
        "moves": many(obj({"workload": TEXT, "from": TEXT, "to": TEXT, "replicas": COUNT})),
        "reservations": many(obj({"workload": TEXT, "cluster": TEXT, "at_s": NUMBER, "replicas": COUNT})),
        "backfill": many(
            obj(
                {"workload": TEXT, "replicas": mapping(COUNT), "reasons": mapping(REASON)},
                {"keptFree": mapping(many(KEPT))},
            )
        ),
    }
)
PROBLEM = obj(
    {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "instance": TEXT},
    {"errors": many(obj({"file": TEXT, "line": COUNT, "column": COUNT, "field": TEXT, "message": TEXT, "cure": TEXT}))},
    "RFC 9457. `errors` says where and how each document is wrong.",
)
ROLES: Schema = {**many({"enum": ["reader", "submitter", "operator", "pilot"]})}
TOKEN = obj({"name": TEXT, "roles": ROLES, "queues": many(TEXT), "site": TEXT, "expiresAt": TIME})
NEW_TOKEN: Schema = {
    **obj(
        {"name": {**TEXT, "pattern": r"^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$"}, "roles": {**ROLES, "minItems": 1}},
        {"queues": many(TEXT), "site": {**TEXT, "description": "Of a pilot, which needs one."}, "expiresAt": NUMBER},
    ),
    "additionalProperties": False,
}
DOCUMENT = obj(
    {
        "apiVersion": {**TEXT, "description": "federator.dev/v1alpha1, or that of a native manifest."},
        "kind": TEXT,
        "metadata": obj({"name": TEXT}, {"labels": LABELS, "annotations": LABELS}),
    },
    {"spec": ANY_OBJECT},
    "One document; `federator schema KIND` prints the whole schema of its kind.",
)

LINE = {
    "used": AMOUNTS,
    "quota": {**AMOUNTS, "description": "What it may use without borrowing; empty: no quota."},
    "share": {**PART, "description": "The part of the federation that it uses, of its dominant resource."},
    "dominant": {**TEXT, "description": "The resource of which it uses the largest part."},
    "byWeight": {**PART, "description": "What its weight gives it of the federation, whoever asks."},
    "due": {**PART, "description": "The same where nobody gets more than it asks for or its quota allows."},
    "lately": {**PART, "description": "The part of the federation that it had lately, by its half-life."},
    "borrowed": {**PART, "description": "What it uses beyond its quota, as a part of what its cohort could lend."},
    "left": {**AMOUNTS, "description": "What its quotas let it use besides; what is not named has no limit."},
}
"""What queues and cohorts have and may have."""

PILOT = obj(
    {"name": TEXT, "cluster": TEXT, "state": {"enum": ["active", "draining", "suspect", "lost"]}, "leases": COUNT},
    {
        "message": {**TEXT, "description": "Why it is suspect, and when it is tried again; else empty."},
        "host": TEXT,
        "version": TEXT,
        "flavor": TEXT,
        "labels": LABELS,
        "runtimes": many(TEXT),
        "data": {**many(TEXT), "description": "Inputs of workloads that it has at hand."},
        "resources": AMOUNTS,
        "used": AMOUNTS,
        "registeredAt": TIME,
        "lastSeen": TIME,
        "endsAt": TIME,
        "leftSeconds": {"type": ["number", "null"]},
    },
)
GRANT = obj(
    {
        "lease": TEXT,
        "intent": TEXT,
        "workload": TEXT,
        "index": COUNT,
        "runtime": {"enum": ["process", "container"]},
        "image": TEXT,
        "command": many(TEXT),
        "args": many(TEXT),
        "env": LABELS,
        "workingDir": TEXT,
        "requests": AMOUNTS,
        "timeLimitSeconds": {"type": ["number", "null"], "description": "Stop the payload after so long."},
        "graceSeconds": {**NUMBER, "description": "From SIGTERM to SIGKILL."},
        "backfill": {"type": "boolean", "description": "Run it at the lowest priority; it is no reason to stay."},
    },
    text="One replica for the pilot to run.",
)
PILOT_MAIL = obj(
    {
        "grants": many(GRANT),
        "void": {**many(TEXT), "description": "Named leases that are void: end their payloads, forget their results."},
        "stop": many(obj({"lease": TEXT, "graceSeconds": NUMBER})),
        "logs": {**many(TEXT), "description": "Leases whose output somebody wants to see: send it with progress."},
        "leaseSeconds": {**NUMBER, "description": "How long a lease is good for after it was named."},
    }
)

SCHEMAS: dict[str, Schema] = {
    "Workload": WORKLOAD,
    "Cluster": CLUSTER,
    "Queue": obj(
        {"name": TEXT},
        {
            "weight": COUNT,
            "priority": {"type": "integer"},
            "cohort": TEXT,
            "source": TEXT,
            "workloads": mapping(COUNT),
            "budget": {**ANY_OBJECT, "description": "What it may spend in a period; absent: as much as it likes."},
            "spent": {**ANY_OBJECT, "description": "What it has spent in the period that runs."},
            **LINE,
        },
    ),
    "Cohort": obj({"name": TEXT}, {"parent": TEXT, "weight": COUNT, "source": TEXT, "queues": many(TEXT), **LINE}),
    "Limit": obj(
        {"name": TEXT},
        {
            "scope": {"enum": ["federation", "clusters", "federation, clusters"]},
            "limit": {"type": ["integer", "null"], "description": "How much there is in all; null: no end."},
            "used": {**COUNT, "description": "What replicas take that run, are on their way or are being removed."},
            "waiting": {**COUNT, "description": "What replicas would take that wait, for this or for something else."},
            "clusters": mapping(obj({"used": COUNT}, {"limit": {"type": ["integer", "null"]}})),
            "source": TEXT,
        },
    ),
    "Policy": obj(
        {"name": TEXT},
        {
            "order": {"type": "integer"},
            "source": TEXT,
            "document": ANY_OBJECT,
            "governs": COUNT,
            "shadow": {"type": "boolean", "description": "Whether it governs nothing yet."},
            "differs": {**COUNT, "description": "Replicas that it would treat differently, while it is in the shadow."},
            "message": TEXT,
        },
    ),
    "Backfill": obj(
        {"name": TEXT, "workload": TEXT},
        {
            "weight": COUNT,
            "tasks": COUNT,
            "running": COUNT,
            "pending": COUNT,
            "finished": COUNT,
            "setAside": {**COUNT, "description": "Tasks that failed too often and are not tried any more."},
            "placements": {**mapping(COUNT), "description": "Replicas by cluster."},
            **SPENT,
            "productionStart": STARTS,
            "clusters": many(
                obj(
                    {"cluster": TEXT, "replicas": COUNT},
                    {
                        "reason": {"type": ["string", "null"]},
                        "message": TEXT,
                        **SPENT,
                        "keptFree": many(KEPT),
                        "productionStart": STARTS,
                    },
                )
            ),
            "source": TEXT,
            "message": {**TEXT, "description": "Why there is no more of it, by cluster."},
            "document": ANY_OBJECT,
        },
    ),
    "Placement": obj(
        {"workload": TEXT, "cluster": TEXT, "replicas": COUNT},
        {"role": TEXT, "running": COUNT, "pending": COUNT, "tier": TEXT, "policy": TEXT, "intents": many({})},
    ),
    "Event": EVENT,
    "Pilot": PILOT,
    "PilotMail": PILOT_MAIL,
    "PilotRegistered": obj({"protocol": {"const": 1}, "cluster": TEXT, "leaseSeconds": NUMBER}),
    "PilotGone": obj({"result": {"const": "gone"}}),
    "PayloadCounted": obj({"lease": TEXT, "result": {"const": "counted"}}),
    **pilot_schemas(),
    **{
        f"{name}List": page_of(name)
        for name in (
            "Workload",
            "Cluster",
            "Queue",
            "Cohort",
            "Limit",
            "Policy",
            "Backfill",
            "Placement",
            "Pilot",
            "Event",
        )
    },
    "Explanation": {**ANY_OBJECT, "description": "The policy, and for each cluster room, share, result or reason."},
    "Plan": PLAN,
    "Snapshot": obj({"items": many(ANY_OBJECT)}),
    "Deleted": {**ANY_OBJECT, "description": "What was removed."},
    "Submitted": obj({"items": many(ref("Workload"))}),
    "Applied": obj(
        {"items": many(obj({"kind": TEXT, "name": TEXT, "result": {"enum": ["created", "changed", "unchanged"]}}))}
    ),
    "Token": TOKEN,
    "TokenList": page_of("Token"),
    "MadeToken": {
        **TOKEN,
        "properties": {**TOKEN["properties"], "token": TEXT},
        "required": [*TOKEN["required"], "token"],
    },
    "NewToken": NEW_TOKEN,
    "Health": obj({"status": {"const": "ok"}}),
    "Ready": obj({"ready": FLAG, "checks": many(obj({"name": TEXT, "ok": FLAG, "detail": TEXT}))}),
    "OpenApi": {**ANY_OBJECT, "description": "An OpenAPI 3.1 document."},
    "Problem": PROBLEM,
    "Document": DOCUMENT,
    "Documents": {"oneOf": [ref("Document"), {**many(ref("Document")), "minItems": 1}]},
}
