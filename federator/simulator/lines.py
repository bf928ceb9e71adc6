"""Plans of those alone that may start: what waits stands in lines of alike workloads, and the planner's tables are kept
from one plan to the next.

A whole plan looks at all that runs, to find that it stays; among many jobs that takes long, and one is asked for at
every arrival and every end. Where nothing but room decides, as here, turns are taken only by the first of each line,
and of lines that were refused only where room has come. The turns are the planner's own (``engine/plain.py``), on its
own tables, in which only what is free is kept up. A property test tells stories both ways.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.ground import Ground
from federator.engine.order import FOUND, Place, place_in_line
from federator.engine.plain import Plain
from federator.engine.plain_answers import Entry, Found
from federator.engine.rows import COUNT, FREE, LENGTH, START
from federator.model.cluster import Cluster, Health
from federator.model.plan import Placement
from federator.model.policy import FULL_PPM
from federator.model.resources import Resources
from federator.model.workload import Role, Workload
from federator.simulator.needless import stays_as_it_is
from federator.simulator.story import Story
from federator.simulator.world import Live, World

MOST_REFUSALS = 2000
"""After so many refusals the planner's turns begin anew, so that the reasons they keep are forgotten."""
Starts = list[tuple[Live, list[Placement]]]


def only_room_decides(story: Story) -> bool:
    """Whether what runs matters to what waits by the room that it takes alone."""
    seen = story.federation
    others = (seen.cohorts, seen.limits, seen.spent, seen.fillers, seen.exclusions, seen.heads, seen.displacements)
    bounded = any(q.quota is not None or q.cluster_quota or q.budget is not None for q in seen.queues)
    planning = seen.planning
    return (
        not (story.faults or story.standing or bounded or any(others))
        and stays_as_it_is(seen)
        and (planning.backfilling, planning.blocked_head) == ("none", "pass")
        and planning.order not in FOUND
        and all(map(_is_plain, seen.clusters))
    )


def _is_plain(cluster: Cluster) -> bool:
    """Whether its nodes are known, none may be added, and nobody but the run uses them."""
    if cluster.health is not Health.UP or cluster.draining or cluster.limits is not None or cluster.unschedulable:
        return False
    return cluster.flavors is not None and all(
        flavor.max_count <= flavor.count and all(group.free == flavor.allocatable for group in flavor.nodes)
        for flavor in cluster.flavors
    )


@dataclass(slots=True, eq=False)
class Line:
    """Workloads that are alike in all that planning reads but for their place in the order of service."""

    takes: int
    """The clusters that may take them, a bit each."""
    requests: Resources
    closer: bool
    """Whether more than the room on those counts: what is free elsewhere, for tiers that are filled to a part."""
    waiting: list[tuple[Place, Live]] = field(default_factory=list)
    """A heap."""
    freed: int = 0
    """Clusters that may take them on which something has come free since one was refused."""


class Lines:
    """The lines of one run, and the tables."""

    def __init__(self, world: World) -> None:
        self._world, self._seen = world, world.story.federation
        world.begun_to_wait = []
        self._place = place_in_line(self._seen)
        self._ground = Ground()
        self._at = {name: at for at, name in enumerate(sorted(world.members))}
        self._names: set[str] = set()
        """The resources that anybody has asked for."""
        self._lines: dict[Hashable, Line | None] = {}
        """By likeness; None: such take no plain turns."""
        self._refused: dict[Line, None] = {}
        self._coming: dict[Line, None] = {}
        """Those in which somebody stands who has had no turn."""
        self._others: set[str] = set()
        """Workloads that take no plain turns."""
        self.turns = 0
        """How many have been taken."""
        self._afresh = True
        """Whether the planner itself was asked last, so that lines and tables are to be made anew."""

    def plan(self, now_s: float) -> Starts | None:
        """Who starts where, in the order of service; None where the planner itself has to be asked."""
        waiting = self._world.waiting
        self._world.look(now_s)
        coming: Sequence[Live]
        coming, self._world.begun_to_wait = self._world.begun_to_wait or (), []
        if self._afresh or not self._known(coming):
            coming = list(waiting.values())
            self._known(coming)
            self._lay_out(now_s)
        for live in coming:
            self._stand_in_line(live)
        self._others &= waiting.keys()
        starts = [] if self._others else self._serve()
        self._afresh = bool(self._others)
        return None if self._others and not starts else starts

    def begin_afresh(self) -> None:
        """The planner is asked for a whole plan, so that who waits will not be as it was."""
        self._afresh = True

    def _known(self, coming: Iterable[Live]) -> bool:
        """Whether the tables have all resources that these ask for."""
        asked = {name for live in coming for role in live.workload.roles for name, _ in role.requests.items_}
        known = asked <= self._names
        self._names |= asked
        return known

    def _lay_out(self, now_s: float) -> None:
        """Make the tables anew, with nobody in line."""
        everything = Workload("", (Role("", 1, Resources.of(dict.fromkeys(self._names, 1))),))
        shown = tuple(member.shown(now_s) for member in map(self._world.members.__getitem__, self._at))
        self._whole = replace(self._seen, clusters=shown, workloads=(everything,))
        self._federation, _, self._families = self._ground.stand(self._whole)
        for kept in (self._lines, self._refused, self._coming, self._others, self._world.heard):
            kept.clear()
        self._begin_turns()

    def _begin_turns(self) -> None:
        self._found = Found([], [], set())
        self._refusals, grace_s = 0, self._seen.planning.outage_grace_s
        allowance = Allowance(self._whole, self._federation)
        self._plain = Plain(self._federation, self._families, allowance, {}, grace_s, (), self._found, None)

    def _entry(self, workload: Workload) -> Entry | None:
        _, entries = next(self._plain.stretches((workload,)))
        return entries[0] if entries else None

    # Lines

    def _stand_in_line(self, live: Live) -> None:
        line, part = None, live.part
        if part is not None and part.workload is live.workload and not part.held and not live.service:
            line = self._line(live.workload)
        if line is None:
            self._others.add(live.workload.name)
        else:
            heappush(line.waiting, (self._place(live.workload), live))
            self._coming[line] = None

    def _line(self, workload: Workload) -> Line | None:
        role = workload.roles[0]
        if len(workload.roles) > 1 or workload.gang is not None or workload.inputs or role.limits.items_:
            return None
        key = (
            id(self._federation.governing.rule(workload)), workload.queue, workload.clusters, workload.needs,
            workload.min_replicas, role.replicas, role.requests, role.flavors, role.tolerations,
        )  # fmt: skip
        if key not in self._lines:
            self._lines[key] = self._new_line(workload)
        return self._lines[key]

    def _new_line(self, workload: Workload) -> Line | None:
        entry, role = self._entry(workload), workload.roles[0]
        if entry is None:
            return None
        takes, *_ = self._federation.feasibility.outline(workload, role, entry.rule)
        closer = any(tier.fill_to_ppm < FULL_PPM for tier in entry.rule.tiers)
        at = range(len(takes)) if closer else np.flatnonzero(takes).tolist()
        return Line(sum(1 << one for one in at), role.requests, closer)

    # Turns

    def _serve(self) -> Starts:
        """Let the first of every line that may start have its turn, in the order of service."""
        freed = sum(1 << at for at in self._renewed())
        for line in self._refused if freed else ():
            line.freed |= freed & line.takes
            if line.freed and line.waiting:
                self._coming[line] = None
        asked = [(line.waiting[0], line) for line in self._coming if line.freed or line not in self._refused]
        self._coming.clear()
        heapify(asked)
        starts: Starts = []
        while asked:
            (_, live), line = heappop(asked)
            may_start = line not in self._refused or self._room_has_come(line)
            entry = self._entry(live.workload) if may_start else None
            if may_start and entry is None:  # of more families than the planner lays out
                self._others.add(live.workload.name)
                break
            placed = self._turn(entry) if entry is not None else []
            if not placed:
                self._refused[line], line.freed = None, 0
                continue
            starts.append((live, placed))
            heappop(line.waiting)
            if sum(one.replicas for one in placed) < live.workload.replicas:
                self._others.add(live.workload.name)
            if line.waiting:
                heappush(asked, (line.waiting[0], line))
        return starts

    def _renewed(self) -> Iterator[int]:
        """The clusters on which not the same is free as the tables say, from now on as it is."""
        heard, self._world.heard = self._world.heard, {}
        for name in heard:
            at, site = self._at[name], self._world.members[name].site
            if self._federation.nodes.renew(at, site.pool.free_nodes()):
                self._federation.changes += 1  # what was refused before may find room
                yield at

    def _room_has_come(self, line: Line) -> bool:
        """Whether a replica may fit on any cluster on which something has come free."""
        if line.closer:
            return True
        nodes = self._federation.nodes
        columns = [FREE + nodes.at[name] for name, _ in line.requests.items_]
        amounts = [amount for _, amount in line.requests.items_]
        for at in (at for at in range(line.freed.bit_length()) if line.freed >> at & 1):
            for start, length in nodes.blocks[nodes.first_lots[at] : nodes.first_lots[at + 1], [START, LENGTH]]:
                rows = nodes.rows[start : start + length]
                if ((rows[:, columns] >= amounts).all(axis=1) & (rows[:, COUNT] > 0)).any():
                    return True
        return False

    def _turn(self, entry: Entry) -> list[Placement]:
        """The planner's answer for one workload; its room is taken."""
        found = self._found
        self._plain.serve((entry,))
        self.turns += 1
        placed = [one for column in found.placements for one in column]
        if found.refusals:
            self._refusals += 1
        for kept in (found.placements, found.refusals, found.full_tiers):
            kept.clear()
        if self._refusals >= MOST_REFUSALS:
            self._begin_turns()
        return placed
