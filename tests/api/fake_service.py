"""A federation in memory that answers as ``daemon.service.Service`` promises, for tests of those who speak to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from federator.clock import SystemClock
from federator.clusters.pilots import PilotsProvider, PilotsSettings
from federator.daemon.service import Conflict, Json, NotFound, Page, Permit
from federator.model.pilots import Mail, Pilot
from federator.model.records import AuditEntry, Token
from federator.ports import NoLogs, PilotSite, UnknownPilot
from tests.fake_lines import FakeLines

PLURALS = {
    "Cluster": "clusters",
    "Queue": "queues",
    "Cohort": "cohorts",
    "Limit": "limits",
    "PlacementPolicy": "policies",
    "ReplicaSchedulingPreference": "policies",
    "Backfill": "backfills",
}
NOTHING_PLANNED = {"placements": [], "refusals": [], "preemptions": [], "moves": [], "reservations": []}


def line(source: str) -> dict[str, Any]:
    """What queues and cohorts both have."""
    shares = {"share": 0.125, "byWeight": 0.5, "due": 0.25, "lately": 0.375, "borrowed": 0.0, "dominant": "cpu"}
    amounts = {"used": {"cpu": 1.0}, "quota": {"cpu": 4.0}, "left": {"cpu": 3.0}}
    return {"source": source, **amounts, **shares}


def filler() -> dict[str, Any]:
    """A filler on one cluster."""
    spent = {"usefulCpuSeconds": 7200.0, "lostCpuSeconds": 72.0, "evictions": {"Preempted": 3}}
    starts = {"backfill": {"medianSeconds": 3.1, "of": 200}, "free": {"medianSeconds": 1.1, "of": 57}}
    kept = {
        "resource": "cpu", "rule": "idleAtMost", "kept": 2.0, "keepFree": 0.0, "idleFor": 12.0, "idleAtMost": 2.0,
        "mostUsedAt": 1000.0,
    }  # fmt: skip
    cern = {"cluster": "cern", "replicas": 4, "reason": "KeptFree", "message": "2 cpu is free", **spent}
    return {
        "name": "lhc", "workload": "backfill-lhc", "weight": 1, "tasks": 100, "running": 4, "pending": 0, "finished": 2,
        "setAside": 0, "placements": {"cern": 4}, **spent, "productionStart": starts,
        "clusters": [{**cern, "keptFree": [kept], "productionStart": starts}], "source": "api",
        "message": "KeptFree: cern", "document": {},
    }  # fmt: skip


class FakeService:
    """Two clusters, one of them from a file, no workloads. Public attributes are the tests' levers."""

    def __init__(self) -> None:
        self.is_ready = True
        self.fails_with: Exception | None = None
        """Raised by every method that reads or writes objects."""
        self.delay_s = 0.0
        self.submissions = 0
        self.output: list[bytes] = [b"line 1\n", b"line 2\n"]
        self.keeps_writing = False
        self.log_error: Exception | None = None
        self.followers = 0
        self.let_go = asyncio.Event()
        self.listening = asyncio.Event()
        """Set when a reader of logs has gone."""
        self.history_: list[dict[str, Any]] = []
        self.objects: dict[str, dict[str, dict[str, Any]]] = {
            "workloads": {},
            "clusters": {"cern": cluster("cern", "file:clusters.yaml:1"), "exoscale": cluster("exoscale", "api")},
            "queues": {
                "atlas": {"name": "atlas", "weight": 2, "priority": 0, "cohort": "lhc", "workloads": {}, **line("api")}
            },
            "cohorts": {"lhc": {"name": "lhc", "parent": "", "weight": 1, "queues": ["atlas"], **line("api")}},
            "limits": {
                "matlab": {
                    "name": "matlab",
                    "scope": "federation, clusters",
                    "limit": 20,
                    "used": 8,
                    "waiting": 4,
                    "clusters": {"cern": {"limit": 5, "used": 5}, "desy": {"limit": None, "used": 3}},
                    "source": "api",
                }
            },
            "policies": {},
            "backfills": {"lhc": filler()},
            "placements": {},
            "pilots": {},
        }
        self.site = PilotsProvider("grid", PilotsSettings(), store=FakeLines(), clock=SystemClock(), count=self.count)
        """The only cluster that pilots pull from."""
        self.leases: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    def count(self, outcome: str) -> None:
        self.leases[outcome] += 1

    async def happen(self, kind: str, message: str, workload: str = "") -> None:
        """Add an entry to the history."""
        entry = {"id": len(self.history_) + 1, "at": 1000.0, "kind": kind, "message": message, "workload": workload}
        async with self._changed:
            self.history_.append(entry)
            self._changed.notify_all()

    def ready(self) -> Json:
        return {"ready": self.is_ready, "checks": [{"name": "store", "ok": self.is_ready, "detail": ""}]}

    async def submit(self, objects: Sequence[Json], *, owner: str, permit: Permit) -> Sequence[Json]:
        await self._maybe_fail()
        results = []
        for document in objects:
            name = str(document["metadata"]["name"])
            queue = str((document.get("spec") or {}).get("queue", "default"))
            permit(queue)
            known = self.objects["workloads"].get(name)
            if known and known["document"] != document:
                raise Conflict(f"another workload is called {name}; take another name")
            results.append((name, queue, document, known))
        self.submissions += 1
        for name, queue, document, known in results:
            if known is None:
                self.objects["workloads"][name] = workload(name, queue, owner, document)
                await self.happen("Submitted", "handed in", name)
        return [
            {**self.objects["workloads"][name], "result": "unchanged" if known else "created"}
            for name, _, _, known in results
        ]

    async def apply(self, objects: Sequence[Json], *, owner: str, permit: Permit) -> Sequence[Json]:
        await self._maybe_fail()
        results = []
        for document in objects:
            kind, name = str(document["kind"]), str(document["metadata"]["name"])
            permit("*")
            table = self.objects[PLURALS.get(kind, "workloads")]
            if table.get(name, {}).get("source", "").startswith("file:"):
                raise Conflict(f"{kind} {name} belongs to {table[name]['source']}; change it there")
            results.append({"kind": kind, "name": name, "result": "changed" if name in table else "created"})
            table[name] = {"name": name, "source": "api", "document": dict(document), "order": 0, "governs": 0}
        return results

    async def cancel(self, name: str, *, permit: Permit) -> Json:
        found = await self._find("workloads", name)
        permit(found["queue"])
        found["state"] = "cancelled"
        await self.happen("Cancelled", "cancelled", name)
        return found

    async def delete(self, kind: str, name: str, *, permit: Permit) -> Json:
        found = await self._find(kind, name)
        permit(found["queue"] if kind == "workloads" else "*")
        if found.get("source", "").startswith("file:"):
            raise Conflict(f"{name} belongs to {found['source']}; remove it there")
        return self.objects[kind].pop(name)

    async def get(self, kind: str, name: str) -> Json:
        return await self._find(kind, name)

    async def list(
        self,
        kind: str,
        *,
        after: str = "",
        limit: int = 100,
        queue: str = "",
        state: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Page:
        await self._maybe_fail()
        found = [
            {key: value for key, value in one.items() if key != "document"}
            for name, one in sorted(self.objects[kind].items())
            if name > after
            and (not queue or one["queue"] == queue)
            and (not state or one["state"] == state)
            and (labels or {}).items() <= one.get("labels", {}).items()
        ]
        rest = found[limit - 1]["name"] if len(found) > limit else ""
        return Page(tuple(found[:limit]), rest)

    async def explain(self, name: str) -> Json:
        await self._find("workloads", name)
        verdict = {"reason": "NoRoom", "message": "a replica needs 4 cpu; 1 cpu is free in all"}
        return {
            "workload": name,
            "policy": "fill-cern-before-cloud",
            "source": "policies/fill.yaml:1",
            "position": 1,
            "queue": "atlas",
            "queuePosition": 2,
            "queueShare": {"share": 0.125, "due": 0.25, "lately": 0.0001},
            "clusters": [
                {
                    "cluster": "cern",
                    "role": "",
                    "tier": "cern",
                    "room": 6,
                    "weight": 100,
                    "min": 2,
                    "max": 6,
                    "running": 0,
                    "share": 6.0,
                    "replicas": 6,
                },
                {
                    "cluster": "exoscale",
                    "role": "",
                    "tier": "cloud",
                    "room": 0,
                    "weight": 20,
                    "min": 0,
                    "max": 3,
                    "running": 0,
                    "share": None,
                    "replicas": 0,
                    **verdict,
                },
            ],
            "cures": ["free 3 cpu on exoscale"],
            "notes": [{"cluster": "cern", "index": 3, "reason": "ImagePullBackOff", "message": "no such image"}],
        }

    async def history(self, name: str, *, after: int = 0, limit: int = 500) -> Sequence[Json]:
        await self._find("workloads", name)
        return [one for one in self.history_ if one["workload"] == name and one["id"] > after][:limit]

    async def events(self, *, after: int = 0, limit: int = 500) -> Sequence[Json]:
        return [one for one in self.history_ if one["id"] > after][:limit]

    async def last_event(self) -> int:
        return len(self.history_)

    async def wait_events(self, after: int) -> None:
        self.listening.set()
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.history_) > after)

    async def logs(
        self, name: str, *, role: str = "", index: int = 0, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        found = await self._find("workloads", name)
        if index >= found["replicas"]:
            raise NoLogs(f"replica {index} of {name} has not started")
        self.followers += 1
        try:
            for piece in self.output[-tail_lines:] if tail_lines else self.output:
                yield piece
            if self.log_error:
                raise self.log_error
            while follow and self.keeps_writing:
                await asyncio.sleep(0.01)
                yield b"more\n"
        finally:
            self.followers -= 1
            self.let_go.set()

    async def set_cordon(self, cluster: str, cordoned: bool) -> Json:
        found = await self._find("clusters", cluster)
        found["cordoned"] = cordoned
        return found

    async def set_drain(self, cluster: str, draining: bool, deadline_s: float | None = None) -> Json:
        found = await self._find("clusters", cluster)
        found["drainBy"] = None if deadline_s is None else 1000.0 + deadline_s
        found["draining"] = found["cordoned"] = draining
        return found

    async def plan(self, objects: Sequence[Json]) -> Json:
        await self._maybe_fail()
        places = [
            {"workload": one["metadata"]["name"], "cluster": "cern", "replicas": 1, "tier": "cern", "policy": "default"}
            for one in objects
        ]
        return {**NOTHING_PLANNED, "placements": places}

    async def snapshot(self) -> Sequence[Json]:
        return [
            {
                "apiVersion": "federator.dev/v1alpha1",
                "kind": "Cluster",
                "metadata": {"name": name},
                "spec": {"provider": "fake"},
            }
            for name in self.objects["clusters"]
        ]

    async def register_pilot(self, pilot: Pilot) -> Mail:
        await self._maybe_fail()
        return await self.site.register(pilot)

    def site_of_pilot(self, pilot: str, cluster: str) -> PilotSite:
        if cluster != self.site.name:
            raise UnknownPilot(f"no cluster of pilots is called {cluster!r}")
        return self.site

    def queue_of(self, name: str) -> str:
        return str(self.objects["workloads"][name]["queue"])

    async def _maybe_fail(self) -> None:
        await asyncio.sleep(self.delay_s)
        if self.fails_with:
            raise self.fails_with

    async def _find(self, kind: str, name: str) -> dict[str, Any]:
        await self._maybe_fail()
        if name not in self.objects[kind]:
            raise NotFound(f"no {kind} called {name!r}; there are: {', '.join(self.objects[kind]) or 'none'}")
        return self.objects[kind][name]


class FakeKept:
    """Remembered answers, tokens and the audit trail, in memory."""

    def __init__(self) -> None:
        self.answers: dict[str, Mapping[str, Any]] = {}
        self.trail: list[AuditEntry] = []
        self.tokens_: dict[str, Token] = {}

    async def recall(self, key: str) -> Mapping[str, Any] | None:
        return self.answers.get(key)

    async def remember(self, key: str, answer: Mapping[str, Any], at_s: float) -> None:
        self.answers[key] = answer

    async def tokens(self) -> list[Token]:
        return list(self.tokens_.values())

    async def put_token(self, token: Token) -> None:
        self.tokens_[token.name] = token

    async def drop_token(self, name: str) -> bool:
        return self.tokens_.pop(name, None) is not None

    async def audit(self, entry: AuditEntry) -> None:
        self.trail.append(entry)


def cluster(name: str, source: str) -> dict[str, Any]:
    """A cluster that is up and half used."""
    return {
        "name": name, "provider": "fake", "labels": {}, "health": "up", "message": "", "version": "", "cordoned": False,
        "draining": False, "drainBy": None, "downtime": None, "source": source,
        "capacity": {"cpu": 8.0, "memory": 2**30},
        "used": {"production": {"cpu": 3.0}, "foreign": {"cpu": 1.0}}, "free": {"cpu": 4.0, "memory": 2**30},
        "flavors": [], "running": 3, "pending": 0, "lastSeen": 1000.0,
        "productionStart": {"free": {"medianSeconds": 1.1, "of": 57}},
    }  # fmt: skip


def workload(name: str, queue: str, owner: str, document: Json) -> dict[str, Any]:
    """A workload that waits."""
    replicas = (document.get("spec") or {}).get("replicas", 1)
    return {
        "name": name, "uid": f"uid-{name}", "queue": queue, "owner": owner,
        "labels": document["metadata"].get("labels", {}), "priority": 0, "lifetime": "batch", "state": "waiting",
        "replicas": replicas if isinstance(replicas, int) and replicas > 0 else 1, "running": 0, "pending": 0,
        "finished": 0, "failed": 0, "waiting": 1, "placements": {}, "policy": "default",
        "message": "no room anywhere", "generation": 1, "submittedAt": 1000.0, "startedAt": None, "endedAt": None,
        "document": dict(document),
    }  # fmt: skip
