"""Lines of alike workloads that wait, and the turns of those that may start, on tables of the planner's that are kept.

A whole plan looks at all that runs, to find that it stays; among many jobs that takes long, and one is asked for at
every arrival and every end. Where nothing but room decides, as here, turns are taken only by the first of each line,
and of lines that were refused only where room has come. The turns are the planner's own (``engine/plain.py``), on its
own tables, in which only what is free is kept up. A property test tells stories both ways.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

import numpy as np

from federator.clusters.binder import Pool
from federator.engine.allowance import Allowance
from federator.engine.ground import Ground
from federator.engine.order import Place, place_in_line
from federator.engine.plain import Plain
from federator.engine.plain_answers import Entry, Found
from federator.engine.rows import COUNT, FREE, LENGTH, START
from federator.engine.single_turns import SingleTurns
from federator.engine.whole_cores import CORES, are_counted
from federator.model.cluster import Cluster
from federator.model.plan import Placement, Snapshot
from federator.model.policy import FULL_PPM
from federator.model.resources import Resources
from federator.model.whole_cores import CORE
from federator.model.workload import Role, Workload


class Waits(Protocol):
    """Whoever stands in line."""

    @property
    def workload(self) -> Workload:
        """What it asks for."""
        ...


Who = TypeVar("Who", bound=Waits)


@dataclass(slots=True, eq=False)
class Line(Generic[Who]):
    """Workloads that are alike in all that planning reads but for their place in the order of service."""

    entry: Entry
    """What the planner's turn of one of them is made of."""
    takes: int
    """The clusters that may take them, a bit each."""
    closer: bool
    """Whether more than the room on those counts: what is free elsewhere, for tiers that are filled to a part."""
    asked: tuple[tuple[int, int], ...]
    """What a replica asks for: the column that rows of nodes have of a resource, and how much of it."""
    waiting: list[tuple[Place, Who]] = field(default_factory=list)
    """A heap."""
    refused: bool = False
    """Whether the last that was asked was refused."""
    freed: int = 0
    """Clusters that may take them on which room may have come since."""


class Lines(Generic[Who]):
    """The lines of one run, and the tables. To be laid out before anybody stands in line."""

    def __init__(self, federation: Snapshot, pools: Mapping[str, Pool]) -> None:
        """``pools`` are the nodes of every cluster."""
        self._seen, self._pools = federation, pools
        self._place = place_in_line(federation)
        self._ground = Ground()
        self._at = {name: at for at, name in enumerate(sorted(pools))}
        self._names: set[str] = set()
        """The resources that anybody has asked for."""
        self._lines: dict[Hashable, Line[Who] | None] = {}
        """By likeness; None: such take no plain turns."""
        self._refused: dict[Line[Who], None] = {}
        """Those of which one was refused."""
        self._rows: dict[int, list[list[int]]] = {}
        """By cluster what is free on its nodes (rows of the planner's), until anybody takes room."""
        self._coming: dict[Line[Who], None] = {}
        """Those of which somebody is to be asked."""
        self.turns = 0
        """How many have been taken."""

    def know(self, workloads: Iterable[Workload]) -> bool:
        """Whether the tables have all resources that these ask for; else they are to be laid out anew, with those."""
        requests = [role.requests for workload in workloads for role in workload.roles]
        asked = {name for one in requests for name, _ in one.items_}
        if are_counted(self._seen.clusters, requests):
            asked.add(CORES)
        known = asked <= self._names
        self._names |= asked
        return known

    def lay_out(self, clusters: Iterable[Cluster]) -> None:
        """Make the tables anew, with nobody in line, from the clusters with what is free on them now."""
        each = 1 if CORES in self._names else CORE  # a part of a core has whole ones counted
        everything = Workload("", (Role("", 1, Resources.of(dict.fromkeys(self._names - {CORES}, each))),))
        shown = tuple(sorted(clusters, key=lambda one: one.name))
        whole = replace(self._seen, clusters=shown, workloads=(everything,))
        self._federation, _, families = self._ground.stand(whole)
        for kept in (self._lines, self._refused, self._coming):
            kept.clear()
        grace_s = self._seen.planning.outage_grace_s
        allowance, nothing = Allowance(whole, self._federation), Found([], [], set())
        self._plain = Plain(self._federation, families, allowance, {}, grace_s, (), nothing)
        self._turns = SingleTurns(self._federation, families, grace_s)

    # Lines

    def stand(self, who: Who) -> bool:
        """Stand in line; False: it takes no plain turns."""
        line = self._line(who.workload)
        if line is None:
            return False
        heappush(line.waiting, (self._place(who.workload), who))
        if not line.refused or line.freed:
            self._coming[line] = None
        return True

    def standing(self) -> list[Who]:
        """All that stand in line."""
        return [who for line in self._lines.values() if line is not None for _, who in line.waiting]

    def _line(self, workload: Workload) -> Line[Who] | None:
        role = workload.roles[0]
        if len(workload.roles) > 1 or workload.gang is not None or workload.inputs or role.limits.items_:
            return None
        key = (
            id(self._federation.governing.rule(workload)), workload.clusters, workload.needs, workload.min_replicas,
            role.replicas, role.requests, role.flavors, role.tolerations,
        )  # fmt: skip
        if key not in self._lines:
            self._lines[key] = self._new_line(workload)
        return self._lines[key]

    def _new_line(self, workload: Workload) -> Line[Who] | None:
        _, entries = next(self._plain.stretches((workload,)))
        if not entries:
            return None
        rule = entries[0].rule
        takes, *_ = self._federation.feasibility.outline(workload, workload.roles[0], rule)
        closer = any(tier.fill_to_ppm < FULL_PPM for tier in rule.tiers)
        at = range(len(takes)) if closer else np.flatnonzero(takes).tolist()
        columns = self._federation.nodes.at
        requests = self._federation.nodes.asked(entries[0].requests)
        asked = tuple((FREE + columns[name], amount) for name, amount in requests.items_)
        return Line(entries[0], sum(1 << one for one in at), closer, asked)

    # Turns

    def serve(self, heard: Iterable[str]) -> list[tuple[Who, list[Placement]]]:
        """Let the first of every line that may start have its turn: who starts where, in the order of service.
        ``heard`` are the clusters on whose nodes something may have changed."""
        self._tell_of_room(heard)
        asked = [(line.waiting[0], line) for line in self._coming if line.waiting]
        self._coming.clear()
        heapify(asked)
        starts: list[tuple[Who, list[Placement]]] = []
        while asked:
            (_, who), line = heappop(asked)
            placed = [] if line.refused and not self._room_has_come(line) else self._turn(line, who)
            if not placed:
                line.refused, line.freed = True, 0
                self._refused[line] = None
                continue
            self._rows.clear()
            starts.append((who, placed))
            heappop(line.waiting)
            if line.waiting:
                heappush(asked, (line.waiting[0], line))
        return starts

    def _tell_of_room(self, heard: Iterable[str]) -> None:
        """Have the tables be as nodes are, and lines that were refused know where room may have come for them."""
        self._rows.clear()
        for at in self._renewed(heard):
            for line in self._refused:
                if line.takes >> at & 1 and (line.closer or _fits(line.asked, self._rows_of(at))):
                    line.freed |= 1 << at
                    self._coming[line] = None

    def _renewed(self, heard: Iterable[str]) -> Iterator[int]:
        """The clusters on which not the same is free as the tables say, from now on as it is."""
        for name in heard:
            at = self._at[name]
            if self._federation.nodes.renew(at, self._pools[name].free_nodes()):
                self._federation.changes += 1  # what was refused before may find room
                yield at

    def _room_has_come(self, line: Line[Who]) -> bool:
        """Whether a replica may fit on any cluster on which something has come free."""
        freed = (at for at in range(line.freed.bit_length()) if line.freed >> at & 1)
        return any(line.closer or _fits(line.asked, self._rows_of(at)) for at in freed)

    def _rows_of(self, at: int) -> list[list[int]]:
        rows = self._rows.get(at)
        if rows is None:
            nodes = self._federation.nodes
            blocks = nodes.blocks[nodes.first_lots[at] : nodes.first_lots[at + 1]].tolist()
            rows = self._rows[at] = [
                row for block in blocks for row in nodes.rows[block[START] : block[START] + block[LENGTH]].tolist()
            ]
        return rows

    def _turn(self, line: Line[Who], who: Who) -> list[Placement]:
        """The planner's answer for one workload; its room is taken."""
        self.turns += 1
        rule, names = line.entry.rule, self._federation.names
        tiers = [*(tier.name for tier in rule.tiers), ""]  # the last is picked by NO_TIER, which is -1
        return [
            Placement(
                who.workload.name,
                who.workload.roles[0].name,
                names[at],
                replicas,
                tiers[rule.tier[at]],
                rule.policy.name,
            )
            for at, replicas in self._turns.take(line.entry)
        ]


def _fits(asked: Iterable[tuple[int, int]], rows: Iterable[Sequence[int]]) -> bool:
    """Whether a replica fits on a node of these rows, whatever else keeps it off that."""
    return any(row[COUNT] > 0 and all(row[column] >= amount for column, amount in asked) for row in rows)
