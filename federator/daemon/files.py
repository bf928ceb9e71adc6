"""Clusters, policies, queues and settings of planning: from files and from the API, checked together, taken over whole.

What a file says wins over what was made through the API under the same name. A set with any error in it changes
nothing: the one before stays in force, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from federator.daemon.draft import Draft
from federator.daemon.settle import Rules
from federator.daemon.state import Member, State
from federator.documents import (
    Document,
    DocumentErrors,
    Documents,
    Problem,
    cluster_document,
    cohort_parents,
    placement_document,
    read_files,
    read_objects,
    read_text,
    to_cluster,
    to_cohort,
    to_filler,
    to_limit,
    to_planning,
    to_policy,
    to_queue,
    to_snapshot,
    to_spent,
    with_displacements,
    with_usage,
    workload_document,
    workload_spec,
)
from federator.engine.downtimes import as_announced
from federator.model.backfill import Filler
from federator.model.budget import Spent
from federator.model.limits import Limit
from federator.model.plan import Snapshot
from federator.model.policy import Cohort, Planning, Policy, Queue
from federator.model.records import StoredObject
from federator.ports import Clock, ClusterProvider, Store


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)
Stock = dict[tuple[str, str], StoredObject]
"""What was made through the API, by (kind, name)."""
LOG = structlog.get_logger(__name__)
LOOK_EVERY_S = 1.0
DEFAULTS = """
apiVersion: federator.dev/v1alpha1
kind: Cluster
metadata: {name: local}
spec: {provider: local}
"""
"""What there is where no file says anything: this machine."""
KEPT_KINDS = (
    "Cluster", "PlacementPolicy", "ReplicaSchedulingPreference", "Queue", "Cohort", "Limit", "Planning", "Backfill",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ObjectSet:
    """Everything that documents say, checked together, ready to be taken over."""

    clusters: tuple[Document, ...]
    policies: tuple[Policy, ...]
    queues: tuple[Queue, ...]
    cohorts: tuple[Cohort, ...]
    limits: tuple[Limit, ...]
    spent: tuple[Spent, ...]
    fillers: tuple[Filler, ...]
    planning: Planning
    workloads: tuple[Document, ...]
    """Workloads found among the files: handed in once, as by a user."""
    from_files: Mapping[tuple[str, str], tuple[Mapping[str, Any], str]]
    warnings: tuple[str, ...]


class Registry:
    """Keeps the state's objects as the documents say, and a provider for every cluster."""

    def __init__(
        self,
        state: State,
        store: Store,
        clock: Clock,
        paths: Callable[[], Sequence[Path]],
        make_provider: Callable[[Document], ClusterProvider],
        rules: Rules,
    ) -> None:
        self._state = state
        self._store = store
        self._clock = clock
        self._paths = paths
        self._make_provider = make_provider
        self.rules = rules
        self.added: Callable[[Member], None] = lambda member: None
        """Called with every new member, to begin watching it."""
        self.removed: Callable[[Member], Awaitable[None]] = _nothing
        """Called with every member that is let go."""
        self._specs: dict[str, Mapping[str, Any]] = {}
        self._seen: object = None
        self._replaced: list[Member] = []

    def _read(self, stored: Iterable[StoredObject]) -> Documents:
        """The files; they may name cohorts of what the API made, which is ``stored``."""
        paths = list(self._paths())
        cohorts = cohort_parents(kept.document for kept in stored)
        return read_files(paths, cohorts=cohorts) if paths else read_text(DEFAULTS, "<defaults>")

    async def load(self) -> ObjectSet:
        """Read the files and take them over, with what the API made. Raises DocumentErrors."""
        self._seen = fingerprint(self._paths())
        stored = tuple(self._state.objects.values())
        objects = self._combine(await asyncio.to_thread(self._read, stored), stored)
        self._adopt(objects)
        return objects

    async def watch(self, changed: Callable[[], None]) -> None:
        """Reload when the files change, until cancelled. ``changed`` is called after each look that found a change."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            now = await asyncio.to_thread(fingerprint, self._paths())
            if now != self._seen:
                self._seen = now
                await self.reload()
                changed()

    async def reload(self) -> None:
        """Take over the files as they are now; if anything in them is wrong, keep the old set and say so."""
        try:
            stored = tuple(self._state.objects.values())
            self._adopt(self._combine(await asyncio.to_thread(self._read, stored), stored))
        except (DocumentErrors, OSError) as error:
            self._state.file_problem = f"the files hold errors; the set before them stays in force: {error}"
            LOG.error("files not taken over", problem=str(error))
            return
        self._state.file_problem = ""
        LOG.info("files taken over", policies=len(self._state.policies), clusters=len(self._state.members))
        self._state.wake()

    async def apply(self, documents: Sequence[Document], owner: str) -> Sequence[Mapping[str, Any]]:
        """Make these objects be as written: all or none. Raises DocumentErrors."""
        results: list[Mapping[str, Any]] = []

        def edit(wanted: Stock, draft: Draft) -> None:
            for document in documents:
                key = (document.kind, document.name)
                old = wanted.get(key)
                result = "created" if old is None else "unchanged" if old.document == document.raw else "changed"
                results.append({"kind": document.kind, "name": document.name, "result": result})
                wanted[key] = StoredObject(document.kind, document.name, document.raw, owner, draft.at_s)
            draft.objects.extend(wanted[d.kind, d.name] for d in documents)

        await self._change(edit)
        return results

    async def delete(self, kind: str, name: str) -> None:
        """Remove an object made through the API. Raises DocumentErrors where another object needs it."""

        def edit(wanted: Stock, draft: Draft) -> None:
            wanted.pop((kind, name), None)
            draft.dropped_objects.append((kind, name))

        await self._change(edit)

    async def _change(self, edit: Callable[[Stock, Draft], None]) -> None:
        """Change what the API made, if the whole then holds together; one change after the other."""
        async with self._state.writing:
            draft = Draft(self._state, self._clock.now_s())
            wanted = dict(self._state.objects)
            edit(wanted, draft)
            stored = tuple(wanted.values())
            objects = self._combine(await asyncio.to_thread(self._read, stored), stored)
            await draft.commit(self._store)
            self._state.objects = wanted
            self._adopt(objects)
        self._state.wake()

    def _combine(self, files: Documents, stored: Iterable[StoredObject]) -> ObjectSet:
        """Everything together, checked against each other. Raises DocumentErrors."""
        from_files = {
            (d.kind, d.name): (d.raw, f"{d.source.file}:{d.source.line}") for d in files.all if d.kind in KEPT_KINDS
        }
        made = [kept.document for kept in stored if (kept.kind, kept.name) not in from_files]
        names = [d.name for d in files.clusters] + [m["metadata"]["name"] for m in made if m["kind"] == "Cluster"]
        api = read_objects(made, clusters=names, cohorts=cohort_parents(d.raw for d in files.all))
        planning = (*files.planning, *api.planning)
        return ObjectSet(
            clusters=(*files.clusters, *api.clusters),
            policies=tuple(
                replace(to_policy(d), source=f"{d.source.file}:{d.source.line}" if d in files.policies else "api")
                for d in (*files.policies, *api.policies)
            ),
            queues=tuple(to_queue(d) for d in (*files.queues, *api.queues)),
            cohorts=tuple(to_cohort(d) for d in (*files.cohorts, *api.cohorts)),
            spent=tuple(filter(None, map(to_spent, (*files.queues, *api.queues)))),
            fillers=tuple(map(_runnable_filler, (*files.backfills, *api.backfills))),
            limits=tuple(to_limit(d) for d in (*files.limits, *api.limits)),
            planning=to_planning(planning[0]) if planning else Planning(),
            workloads=files.workloads,
            from_files=from_files,
            warnings=tuple(str(w) for w in (*files.warnings, *api.warnings)),
        )

    def _adopt(self, objects: ObjectSet) -> None:
        state = self._state
        for warning in objects.warnings:
            LOG.warning("document", warning=warning)
        state.policies, state.queues, state.planning = objects.policies, objects.queues, objects.planning
        state.cohorts, state.limits, state.spent = objects.cohorts, objects.limits, objects.spent
        state.fillers = objects.fillers
        state.file_objects = dict(objects.from_files)
        for document in objects.clusters:
            self._adopt_cluster(document, f"{document.source.file}:{document.source.line}")
        for name in set(state.members) - {d.name for d in objects.clusters}:
            # Its work is moved away first; ``release`` lets it go when nothing of ours is left there.
            state.members[name].retired = True

    def _adopt_cluster(self, document: Document, source: str) -> None:
        state, name = self._state, document.name
        cluster = to_cluster(document)
        source = source if ("Cluster", name) in state.file_objects else "api"
        # What is announced concerns planning alone: whoever speaks to the cluster goes on.
        spec = {key: value for key, value in (document.raw.get("spec") or {}).items() if key != "downtimes"}
        old = state.members.get(name)
        if old is not None and self._specs.get(name) == spec:
            old.cluster, old.source, old.retired = replace(cluster), source, False
            return
        self._specs[name] = spec
        member = Member(
            cluster=cluster,
            provider=self._make_provider(document),
            source=source,
            away_since_s=self._clock.now_s(),
            intents=state.at[name],
        )
        state.members[name] = member
        if old is not None:
            self._replaced.append(old)
        self.added(member)

    async def release(self) -> None:
        """Let go of clusters that no document speaks of and that hold nothing of ours any more, and of old selves."""
        while self._replaced:
            await self.removed(self._replaced.pop())
        for name, member in list(self._state.members.items()):
            if member.retired and not member.intents:
                del self._state.members[name]
                self._specs.pop(name, None)
                await self.removed(member)

    def kept_documents(self) -> Sequence[Mapping[str, Any]]:
        """What files and the API say, except of clusters: those are as they are seen."""
        state = self._state
        kept = [raw for (kind, _), (raw, _) in sorted(state.file_objects.items()) if kind != "Cluster"]
        return [*kept, *(o.document for key, o in sorted(state.objects.items()) if key[0] != "Cluster")]


def _runnable_filler(document: Document) -> Filler:
    """The filler of a document that says what its replicas run. Raises DocumentErrors."""
    if not workload_spec(document.raw).runnable:
        source, field = document.source, "spec.workload"
        words = "it does not say what its replicas run", "give 'container' (an image and a command)"
        raise DocumentErrors([Problem(source.file, source.line, 1, field, *words)])
    return to_filler(document)


def imagine(now: Snapshot, objects: Sequence[Mapping[str, Any]]) -> Snapshot:
    """The federation as if these objects were there too. Raises DocumentErrors."""
    cohorts = {cohort.name: cohort.parent for cohort in now.cohorts}
    names = [cluster.name for cluster in now.clusters]
    extra = to_snapshot(read_objects(objects, clusters=names, cohorts=cohorts), at_s=now.at_s)
    # What would be handed in now stands behind what waits already.
    arriving = [replace(w, submitted_at_s=w.submitted_at_s or now.at_s) for w in extra.workloads]
    return replace(
        now,
        clusters=_over(now.clusters, [as_announced(one, now.at_s) for one in extra.clusters]),
        workloads=_over(now.workloads, arriving),
        policies=_over(now.policies, extra.policies),
        queues=_over(now.queues, extra.queues),
        cohorts=_over(now.cohorts, extra.cohorts),
        limits=_over(now.limits, extra.limits),
        fillers=_over(now.fillers, extra.fillers),
        spent=tuple({one.queue: one for one in (*now.spent, *extra.spent)}.values()),
        usage=tuple({one.queue: one for one in (*now.usage, *extra.usage)}.values()),
        holdings=(*now.holdings, *extra.holdings),
    )


def as_documents(now: Snapshot, kept: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The federation as ``federator plan`` reads it: what is, and the documents that are kept of it."""
    clusters, workloads = map(cluster_document, now.clusters), map(workload_document, now.workloads)
    kept = with_displacements(with_usage(kept, now.usage, now.spent), now.displacements)
    return [*clusters, *kept, *workloads, *map(placement_document, now.holdings)]


def _over(base: Sequence[N], extra: Sequence[N]) -> tuple[N, ...]:
    """The base, with what is named alike in ``extra`` in its place, and the rest of it added."""
    named = {item.name: item for item in (*base, *extra)}
    return tuple(named[name] for name in sorted(named))


async def _nothing(member: Member) -> None:
    return None


def fingerprint(paths: Sequence[Path]) -> object:
    """Changes whenever a file among (or below) these paths is written, made or removed."""
    found: list[tuple[str, int, int]] = []
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            try:
                status = file.stat()
            except OSError:
                found.append((str(file), 0, 0))  # gone between looking and asking
            else:
                found.append((str(file), status.st_mtime_ns, status.st_size))
    return tuple(found)
