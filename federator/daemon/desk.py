"""What people ask of the daemon, answered: the implementation of ``Service``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor

from federator.daemon import sites, views
from federator.daemon.dispatcher import Dispatcher, needs_action
from federator.daemon.draft import Draft
from federator.daemon.files import Registry, as_documents, imagine
from federator.daemon.intake import Arrival, take_in
from federator.daemon.removal import begin_removal
from federator.daemon.service import Conflict, Json, Page, Permit
from federator.daemon.shelves import Shelves, no_such
from federator.daemon.snapshots import Snapshots
from federator.daemon.state import State
from federator.documents import Document, DocumentErrors, Problem, read_objects
from federator.engine.answer import explanation_document, filler_explanation, plan_document
from federator.engine.planner import plan
from federator.model.intent import WHOLE
from federator.model.pilots import Mail, Pilot
from federator.ports import Clock, NoLogs, PilotSite, Store

KINDS = {
    "clusters": "Cluster",
    "queues": "Queue",
    "cohorts": "Cohort",
    "limits": "Limit",
    "policies": "PlacementPolicy",
    "backfills": "Backfill",
}


class Desk:
    """Answers from the state; writes through drafts, under the same lock as the cycle."""

    def __init__(
        self,
        state: State,
        snapshots: Snapshots,
        store: Store,
        dispatcher: Dispatcher,
        registry: Registry,
        clock: Clock,
        planners: Executor,
    ) -> None:
        self._state = state
        self._snapshots = snapshots
        self._store = store
        self._dispatcher = dispatcher
        self._registry = registry
        self._clock = clock
        self._planners = planners
        self._shelves = Shelves(state, snapshots, store, clock, planners)

    def ready(self) -> Json:
        """See Service."""
        problem = self._state.file_problem
        checks = [
            {
                "name": "cycle",
                "ok": self._state.cycles > 0 and not self._state.cycle_problem,
                "detail": self._state.cycle_problem or f"{self._state.cycles} cycles have run",
            },
            {"name": "store", "ok": not self._state.store_problem, "detail": self._state.store_problem},
            {"name": "files", "ok": not problem, "detail": problem},
        ]
        # A bad file keeps the set before it in force: that is told, but the daemon serves.
        return {"ready": all(check["ok"] for check in checks if check["name"] != "files"), "checks": checks}

    async def submit(self, objects: Sequence[Json], *, owner: str, permit: Permit) -> Sequence[Json]:
        """See Service."""
        documents = read_objects(objects, clusters=sorted(self._state.members))
        others = [d for d in documents.all if not d.is_workload]
        if others:
            raise DocumentErrors(
                Problem(d.source.file, d.source.line, 1, "kind", f"a {d.kind} is no workload", "use 'federator apply'")
                for d in others
            )
        return await self._take_in(documents.workloads, Arrival(owner, permit, change=False))

    async def apply(self, objects: Sequence[Json], *, owner: str, permit: Permit) -> Sequence[Json]:
        """See Service."""
        documents = read_objects(objects, clusters=sorted(self._state.members), cohorts=self._state.cohort_parents)
        others = [d for d in documents.all if not d.is_workload]
        for document in others:
            permit("*")
            self._not_from_file(document.kind, document.name)
        results: list[Json] = []
        arrival = Arrival(owner, permit, change=True)
        async with self._state.writing:
            # What cannot be taken in must be known before anything is changed: all or none.
            trial = Draft(self._state, self._clock.now_s())
            await take_in(self._state, self._store, trial, documents.workloads, arrival)
        if others:
            results.extend(await self._registry.apply(others, owner))
        taken = await self._take_in(documents.workloads, arrival)
        results.extend({"kind": "Workload", "name": w["name"], "result": w["result"]} for w in taken)
        return results

    async def _take_in(self, documents: Sequence[Document], arrival: Arrival) -> Sequence[Json]:
        async with self._state.writing:
            draft = Draft(self._state, self._clock.now_s())
            results = await take_in(self._state, self._store, draft, documents, arrival)
            await draft.commit(self._store)
        self._state.wake()
        return [{**(await self.get("workloads", name)), "result": result} for name, result in results.items()]

    async def cancel(self, name: str, *, permit: Permit) -> Json:
        """See Service."""
        permit(self.queue_of(name) if name in self._state.workloads else (await self._shelves.record(name)).queue)
        await self._withdraw(name, delete=False)
        return await self.get("workloads", name)

    async def delete(self, kind: str, name: str, *, permit: Permit) -> Json:
        """See Service."""
        if kind == "workloads":
            record = await self._shelves.record(name)
            permit(record.queue)
            await self._withdraw(name, delete=True)
            return {"kind": "Workload", "name": name, "result": "deleted"}
        permit("*")
        await self.get(kind, name)
        document_kind = self._stored_kind(KINDS.get(kind, kind), name)
        self._not_from_file(document_kind, name)
        await self._registry.delete(document_kind, name)
        return {"kind": document_kind, "name": name, "result": "deleted"}

    def _stored_kind(self, kind: str, name: str) -> str:
        """A policy may have come as a ReplicaSchedulingPreference."""
        other = "ReplicaSchedulingPreference"
        here = {*self._state.file_objects, *self._state.objects}
        return other if kind == "PlacementPolicy" and (kind, name) not in here and (other, name) in here else kind

    async def _withdraw(self, name: str, *, delete: bool) -> None:
        async with self._state.writing:
            draft = Draft(self._state, self._clock.now_s(), self._state.plan_id)
            live = self._state.workloads.get(name)
            if live is None:
                if delete:
                    draft.drop_workload(name)
            else:
                begin_removal(self._state, draft, self._registry.rules, live, delete=delete)
            await draft.commit(self._store)
        for intent in draft.intents.values():
            if intent is not None and needs_action(intent):
                self._dispatcher.kick(intent.cluster, intent.id)
        self._state.wake()

    async def get(self, kind: str, name: str) -> Json:
        """See Service."""
        return await self._shelves.get(kind, name)

    async def register_pilot(self, pilot: Pilot) -> Mail:
        """See Service."""
        return await sites.register(self._state, pilot)

    def site_of_pilot(self, pilot: str, cluster: str) -> PilotSite:
        """See Service."""
        return sites.site_of(self._state, pilot, cluster)

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
        """See Service."""
        if kind == "workloads":
            return await self._shelves.workloads(after, limit, queue, state, labels or {})
        return await self._shelves.page(kind, after, limit)

    async def explain(self, name: str) -> Json:
        """See Service."""
        live = self._state.workloads.get(name)
        if live is None:
            record = await self._shelves.record(name)
            return {"workload": name, "state": str(record.state), "message": record.message, "clusters": []}
        picture = await self._snapshots.take(self._clock.now_s())
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._planners, lambda: plan(picture.snapshot(), explain=(name,)))
        explanation = made.explanations.get(name)
        filled = next((one for one in made.backfill if one.workload == name), None)
        answer = explanation_document(explanation) if explanation else {"workload": name, "clusters": []}
        if filled is not None:
            answer = filler_explanation(filled)
        notes = views.notes(self._state, live)
        return {**answer, "state": str(live.record.state), "message": live.record.message, "notes": notes}

    async def history(self, name: str, *, after: int = 0, limit: int = 500) -> Sequence[Json]:
        """See Service."""
        found = await self._store.history(name, after=after, limit=limit)
        if not found and name not in self._state.workloads:
            await self._shelves.record(name)
        return [views.entry(item) for item in found]

    async def events(self, *, after: int = 0, limit: int = 500) -> Sequence[Json]:
        """See Service."""
        return [views.entry(item) for item in await self._store.events(after=after, limit=limit)]

    async def last_event(self) -> int:
        """See Service."""
        return self._state.last_event

    async def wait_events(self, after: int) -> None:
        """See Service."""
        while self._state.last_event <= after:
            await self._state.next_event()

    async def logs(
        self, name: str, *, role: str = "", index: int = 0, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """See Service."""
        live = self._state.workloads.get(name)
        if live is None:
            record = await self._shelves.record(name)
            raise NoLogs(f"workload {name} is {record.state}; its logs were kept at the cluster and are gone")
        found = [
            i for i in self._state.intents_of(live) if index in i.indices and (i.role in (role, WHOLE) or not role)
        ]
        if not found:
            replicas = dict(live.roles()).get(role or next(iter(dict(live.roles()))), 0)
            if index >= replicas and not live.service:
                raise NoLogs(f"workload {name} has {replicas} replicas: 0 to {replicas - 1}")
            raise NoLogs(f"replica {index} of workload {name} is at no cluster: it waits for a place")
        member = self._state.members[found[-1].cluster]
        async for piece in member.provider.logs(found[-1].id, index, follow=follow, tail_lines=tail_lines):
            yield piece

    async def set_cordon(self, cluster: str, cordoned: bool) -> Json:
        """See Service."""
        return await self._mark(cluster, "cordoned", self._state.cordoned, cordoned)

    async def set_drain(self, cluster: str, draining: bool, deadline_s: float | None = None) -> Json:
        """See Service."""
        by_s = {name: at_s for name, at_s in self._state.drain_by_s.items() if name != cluster}
        if draining and deadline_s is not None:
            by_s[cluster] = self._clock.now_s() + deadline_s
        return await self._mark(cluster, "draining", self._state.draining, draining, by_s)

    async def _mark(
        self, cluster: str, key: str, marked: set[str], on: bool, by_s: dict[str, float] | None = None
    ) -> Json:
        if cluster not in self._state.members:
            raise no_such("cluster", cluster, self._state.members)
        async with self._state.writing:
            wanted = marked | {cluster} if on else marked - {cluster}
            draft = Draft(self._state, self._clock.now_s())
            draft.values[key] = sorted(wanted)
            if by_s is not None:
                draft.values["drainBy"] = by_s
            await draft.commit(self._store)
            marked.clear()
            marked.update(wanted)
            if by_s is not None:
                self._state.drain_by_s = by_s
        self._state.wake()
        return await self.get("clusters", cluster)

    async def plan(self, objects: Sequence[Json]) -> Json:
        """See Service."""
        picture = await self._snapshots.take(self._clock.now_s())
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._planners, lambda: plan(imagine(picture.snapshot(), objects)))
        return plan_document(made)

    async def snapshot(self) -> Sequence[Json]:
        """See Service."""
        picture = await self._snapshots.take(self._clock.now_s())
        kept = self._registry.kept_documents()
        return await asyncio.get_running_loop().run_in_executor(
            self._planners, lambda: as_documents(picture.snapshot(), kept)
        )

    def queue_of(self, name: str) -> str:
        """See Service."""
        live = self._state.workloads.get(name)
        if live is None:
            raise no_such("workload", name, self._state.workloads)
        return live.record.queue

    def _not_from_file(self, kind: str, name: str) -> None:
        owned = self._state.file_objects.get((kind, name))
        if owned:
            raise Conflict(f"{kind} {name!r} is owned by {owned[1]}; change it there")
