"""Plans of those alone that may start, in a world in which others wait too: these get whole plans.

Lines (``lines.py``) are told of what has come to wait, and of the clusters that had something to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from federator.engine.order import FOUND
from federator.model.cluster import Cluster, Health
from federator.model.plan import Placement
from federator.simulator.lines import Lines
from federator.simulator.needless import stays_as_it_is
from federator.simulator.story import Story
from federator.simulator.world import Live, World

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


class Starters:
    """Those of one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.begun_to_wait = []
        self._lines: Lines[Live] = Lines(
            world.story.federation, {name: member.site.pool for name, member in world.members.items()}
        )
        self._others: set[str] = set()
        """Workloads that take no plain turns."""
        self._afresh = True
        """Whether the planner itself was asked last, so that lines and tables are to be made anew."""

    @property
    def turns(self) -> int:
        """How many turns have been taken."""
        return self._lines.turns

    def plan(self, now_s: float) -> Starts | None:
        """Who starts where, in the order of service; None where the planner itself has to be asked."""
        world, waiting = self._world, self._world.waiting
        world.look(now_s)
        coming: Sequence[Live]
        coming, world.begun_to_wait = world.begun_to_wait or (), []
        if self._afresh or not self._lines.know(live.workload for live in coming):
            coming = list(waiting.values())
            self._lay_out(coming, now_s)
        for live in coming:
            if not self._stands_in_line(live):
                self._others.add(live.workload.name)
        self._others &= waiting.keys()
        starts = [] if self._others else self._serve()
        self._afresh = bool(self._others)
        return None if self._others and not starts else starts

    def begin_afresh(self) -> None:
        """The planner is asked for a whole plan, so that who waits will not be as it was."""
        self._afresh = True

    def _lay_out(self, waiting: Iterable[Live], now_s: float) -> None:
        self._lines.know(live.workload for live in waiting)
        self._lines.lay_out(member.shown(now_s) for member in self._world.members.values())
        self._others.clear()
        self._world.heard.clear()

    def _stands_in_line(self, live: Live) -> bool:
        part = live.part
        plain = part is not None and part.workload is live.workload and not part.held and not live.service
        return plain and self._lines.stand(live)

    def _serve(self) -> Starts:
        heard, self._world.heard = self._world.heard, {}
        starts = self._lines.serve(heard)
        for live, placed in starts:
            if sum(one.replicas for one in placed) < live.workload.replicas:
                self._others.add(live.workload.name)
        return starts
