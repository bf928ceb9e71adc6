"""What goes wrong in a run, when: clusters fall silent, have downtimes, slow down, lose nodes, let replicas crash or
cut them off, report late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from federator.model.cluster import Health
from federator.simulator.settling import Settler
from federator.simulator.story import Fault, NodesDown
from federator.simulator.timeline import OTHER, Timeline
from federator.simulator.world import Member, World


class Faults:
    """Lets the faults of a story happen. ``stir`` is called when planning must look again."""

    def __init__(self, world: World, settler: Settler, timeline: Timeline, stir: Callable[[], None]) -> None:
        self._world, self._settler, self._timeline, self._stir = world, settler, timeline, stir

    def note(self) -> None:
        """Note in the timeline when each begins."""
        for at, fault in enumerate(self._world.story.faults):
            if (downtime := fault.downtime) is not None:
                for at_s in (downtime.drained_from_s, downtime.from_s, downtime.to_s):
                    self._timeline.at(max(0.0, at_s), OTHER, lambda now_s: self._stir())
                continue
            random = Random(f"{self._world.story.seed}/fault/{at}/{fault.cluster}")
            self._timeline.at(fault.at_s, OTHER, partial(self._begin, fault, random))

    def _begin(self, fault: Fault, random: Random, now_s: float) -> None:
        member = self._world.members[fault.cluster]
        self._stir()
        if fault.nodes is not None and fault.nodes.every_s is None:
            names = self._up(member, fault.nodes)
            for name in sorted(random.sample(names, min(fault.nodes.count, len(names)))):
                self._lose(member, name, fault.ends_s, now_s)
            return
        if fault.nodes is not None:
            self._next_node(fault, fault.nodes, random, now_s)
            return
        if fault.slower is not None:
            member.site.slow_down(fault.slower, now_s)
        elif fault.crashing is not None:
            member.site.luck.crashing = fault.crashing
        elif fault.cut is not None:
            member.site.luck.cut = fault.cut
        elif fault.lag_s is not None:
            member.shown(now_s)
            member.lag_s = fault.lag_s
            self._look_again(member, now_s)
        else:
            self._silence(fault, member, now_s)
        if fault.ends_s is not None:
            self._timeline.at(fault.ends_s, OTHER, partial(self._end, fault))

    def _end(self, fault: Fault, now_s: float) -> None:
        member = self._world.members[fault.cluster]
        self._stir()
        if fault.slower is not None:
            member.site.slow_down(1.0, now_s)
        elif fault.crashing is not None:
            member.site.luck.crashing = 0.0
        elif fault.cut is not None:
            member.site.luck.cut = None
        elif fault.lag_s is not None:
            member.lag_s = 0.0
        else:
            member.health = Health.UP
            self._settler.back(member, now_s)

    # Silence

    def _silence(self, fault: Fault, member: Member, now_s: float) -> None:
        member.shown(now_s)
        member.health, member.away_since_s = Health.AWAY, now_s
        grace_s = self._world.story.federation.planning.outage_grace_s
        self._timeline.at(now_s + grace_s, OTHER, partial(self._lost, fault, now_s))

    def _lost(self, fault: Fault, since_s: float, now_s: float) -> None:
        member = self._world.members[fault.cluster]
        if member.health is Health.AWAY and member.away_since_s == since_s:
            member.health = Health.LOST
            self._stir()

    # Nodes

    def _next_node(self, fault: Fault, nodes: NodesDown, random: Random, now_s: float) -> None:
        """Note when the next node breaks: each of them, on its own, once in ``every_s``."""
        count = len(list(self._of_flavor(self._world.members[fault.cluster], nodes)))
        if count and nodes.every_s:
            at_s = round(now_s + random.expovariate(count / nodes.every_s), 3)
            if fault.ends_s is None or at_s < fault.ends_s:
                self._timeline.at(at_s, OTHER, partial(self._break, fault, nodes, random))

    def _break(self, fault: Fault, nodes: NodesDown, random: Random, now_s: float) -> None:
        member = self._world.members[fault.cluster]
        name = random.choice(list(self._of_flavor(member, nodes)))
        if not member.site.pool.nodes[name].down:  # a broken node cannot break
            self._lose(member, name, now_s + nodes.repair_s, now_s)
        self._next_node(fault, nodes, random, now_s)

    def _lose(self, member: Member, name: str, until_s: float | None, now_s: float) -> None:
        self._stir()
        member.site.lose_node(name, now_s)
        measures, flavor = self._world.measures, member.site.pool.nodes[name].flavor.name
        measures.nodes_lost += 1
        measures.grown(member.site.cluster, flavor, now_s, -1)
        if until_s is not None:
            self._timeline.at(until_s, OTHER, partial(self._mend, member, name))

    def _mend(self, member: Member, name: str, now_s: float) -> None:
        self._stir()
        member.site.mend_node(name, now_s)
        flavor = member.site.pool.nodes[name].flavor.name
        self._world.measures.grown(member.site.cluster, flavor, now_s)

    def _up(self, member: Member, nodes: NodesDown) -> list[str]:
        return [name for name in self._of_flavor(member, nodes) if not member.site.pool.nodes[name].down]

    @staticmethod
    def _of_flavor(member: Member, nodes: NodesDown) -> Iterator[str]:
        known = member.site.pool.nodes.items()
        return (name for name, node in known if nodes.flavor in ("", node.flavor.name))

    # Late reports

    def _look_again(self, member: Member, now_s: float) -> None:
        """As long as reports are late, planning looks when the next comes."""
        if member.lag_s:
            self._stir()
            self._timeline.at(now_s + member.lag_s, OTHER, partial(self._look_again, member))
