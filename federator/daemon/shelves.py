"""What there is of each kind of object, by name and page by page. Nothing here changes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from difflib import get_close_matches
from functools import partial
from typing import Any, TypeVar

from federator.daemon import fillers, limit_views, queue_views, sites, views
from federator.daemon.service import Json, NotFound, Page
from federator.daemon.snapshots import Snapshots
from federator.daemon.state import Live, State
from federator.documents import workload_spec
from federator.model.plan import QueueShare
from federator.model.records import WorkloadRecord, WorkloadState
from federator.ports import Clock, Store

Shelf = Mapping[str, Callable[[], Json]]
"""The objects of a kind, each by its name with what shows it; those that are not asked for need not be shown."""
T = TypeVar("T")


def no_such(kind: str, name: str, names: Iterable[str]) -> NotFound:
    """What to raise where no object of a kind has that name; tells the nearest name."""
    near = get_close_matches(name, list(names), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return NotFound(f"there is no {kind} {name!r}{hint}")


class Shelves:
    """Finds and lists objects: the live ones from memory, workloads that have ended from the store."""

    def __init__(self, state: State, snapshots: Snapshots, store: Store, clock: Clock, planners: Executor) -> None:
        self._state, self._snapshots, self._store = state, snapshots, store
        self._clock, self._planners = clock, planners
        self._shelves: Mapping[str, Callable[[], Awaitable[Shelf]]] = {
            "clusters": self._clusters,
            "queues": self._queues,
            "cohorts": self._cohorts,
            "limits": self._limits,
            "policies": self._policies,
            "backfills": self._backfills,
            "pilots": self._pilots,
            "placements": self._placements,
        }

    async def get(self, kind: str, name: str) -> Json:
        """One object. Raises NotFound."""
        if kind == "workloads":
            live = self._state.workloads.get(name)
            if live and not live.record.deleted:
                return views.workload(self._state, live, whole=True)
            return _ended(await self.record(name))
        shelf = await self._shelves[kind]()
        if name not in shelf:
            raise no_such(kind.removesuffix("s"), name, shelf)
        return shelf[name]()

    async def page(self, kind: str, after: str, limit: int) -> Page:
        """Objects of a kind other than workloads, by name, from after that name on."""
        shelf = await self._shelves[kind]()
        names = sorted(name for name in shelf if name > after)
        return _page([shelf[name]() for name in names[:limit]], names, limit)

    async def workloads(self, after: str, limit: int, queue: str, state: str, labels: Mapping[str, str]) -> Page:
        """Live workloads from memory and ended ones from the store, merged by name; without their documents."""
        live = {
            name: one
            for name, one in self._state.workloads.items()
            if name > after and not one.record.deleted and _wanted(one, queue, state, labels)
        }
        ended: dict[str, WorkloadRecord] = {}
        if not state or WorkloadState(state).over:
            for record in await self._store.ended_workloads(after=after, limit=limit + 1, queue=queue):
                if record.name not in self._state.workloads and (not state or record.state == state):
                    ended[record.name] = record
        names = sorted({*live, *ended})
        items = []
        for name in names[:limit]:
            view = views.workload(self._state, live[name]) if name in live else _ended(ended[name])
            if _has(view["labels"], labels):
                items.append({key: value for key, value in view.items() if key != "document"})
        return _page(items, names, limit)

    async def record(self, name: str) -> WorkloadRecord:
        """A workload as it is recorded, live or ended. Raises NotFound."""
        live = self._state.workloads.get(name)
        record = live.record if live else await self._store.find_workload(name)
        if record is None or record.deleted:
            raise no_such("workload", name, self._state.workloads)
        return record

    async def _clusters(self) -> Shelf:
        now_s = self._clock.now_s()
        return {name: partial(views.cluster, self._state, one, now_s) for name, one in self._state.members.items()}

    async def _policies(self) -> Shelf:
        return {one.name: partial(views.policy, self._state, one.name) for one in self._state.policies}

    async def _backfills(self) -> Shelf:
        return {name: partial(fillers.view, self._state, name) for name in fillers.names(self._state)}

    async def _pilots(self) -> Shelf:
        return {name: partial(sites.pilot_row, site, name) for name, site in sites.pilots(self._state).items()}

    async def _placements(self) -> Shelf:
        return _all_shown({row["name"]: row for row in views.placements(self._state)})

    async def _queues(self) -> Shelf:
        made = self._state.plan
        shares: Mapping[str, QueueShare] = await self._beside(lambda: dict(made.queues))
        await self._snapshots.refresh(self._clock.now_s())
        return _all_shown(queue_views.queues(self._state, self._snapshots, shares))

    async def _cohorts(self) -> Shelf:
        made = self._state.plan
        return _all_shown(queue_views.cohorts(self._state, await self._beside(lambda: dict(made.cohorts))))

    async def _limits(self) -> Shelf:
        snapshot, made = self._state.snapshot, self._state.plan
        return _all_shown(await self._beside(lambda: limit_views.limits(self._state, snapshot, made)))

    async def _beside(self, sum_up: Callable[[], T]) -> T:
        """What takes long is summed up in the planner's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._planners, sum_up)


def _all_shown(rows: Mapping[str, Json]) -> Shelf:
    return {name: partial(rows.__getitem__, name) for name in rows}


def _page(items: Sequence[Json], names: Sequence[str], limit: int) -> Page:
    return Page(tuple(items), names[limit - 1] if len(names) > limit else "")


def _wanted(one: Live, queue: str, state: str, labels: Mapping[str, str]) -> bool:
    record = one.record
    right = (not queue or record.queue == queue) and (not state or record.state == state)
    return right and _has(one.spec.workload.labels, labels)


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())


def _ended(record: WorkloadRecord) -> dict[str, Any]:
    """A workload that is over and of which nothing is left at a cluster."""
    workload = workload_spec(record.document).workload
    return views.record(record) | {
        "labels": dict(workload.labels),
        "priority": workload.priority,
        "lifetime": str(workload.lifetime),
        "replicas": workload.replicas,
        "document": record.document,
    }
