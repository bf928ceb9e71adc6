"""Carrying out a plan in simulated time: intents are made, changed and handed to clusters, by the engine's rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from federator.engine.assign import Holder, assign
from federator.engine.differences import differences
from federator.engine.lifecycle import IntentEvent, next_intent_state
from federator.engine.order import Place, place_in_line
from federator.model.cluster import Health
from federator.model.indexset import IndexSet
from federator.model.intent import Intent
from federator.model.plan import Placement, Plan, Snapshot
from federator.model.policy import Rebalance
from federator.simulator.settling import Settler
from federator.simulator.timeline import OTHER
from federator.simulator.world import Live, World, restricted


class Hands:
    """Those of one run. ``wake`` has planning look again at a moment that is noted."""

    def __init__(self, world: World, settler: Settler, wake: Callable[[float], None]) -> None:
        self._world, self._settler, self._wake = world, settler, wake
        self._place = place_in_line(world.story.federation)
        policies = world.story.federation.policies
        stays = [policy.stay for policy in policies if policy.stay.rebalance is not Rebalance.NEVER]
        rests_s = {stay.min_stay_s for stay in stays}
        rests_s |= {stay.move_budget.period_s for stay in stays if stay.move_budget is not None}
        self._rests_s = sorted(rests_s)
        """So long after something was sent, what runs may be moved."""

    def carry_out(self, seen: Snapshot, made: Plan, now_s: float) -> bool:
        """Make the intents match the plan; whether that changed anything."""
        self._world.filled = {one.workload: one for one in made.backfill}
        world, lost = self._world, {n for n, m in self._world.members.items() if m.health is Health.LOST}
        changes = ((world.lives[name], should) for name, should in differences(seen, made))
        new, left = self.give(changes, lost, now_s)
        world.measures.moved(sum(move.replicas for move in made.moves if move.workload in left), now_s)
        world.measures.preempted(sum(one.replicas for one in made.preemptions), now_s)
        return bool(new or left)

    def give(
        self, changes: Iterable[tuple[Live, list[Placement]]], lost: Collection[str], now_s: float
    ) -> tuple[list[tuple[Live, Intent]], set[str]]:
        """Have workloads run as they should; what is new (and was sent), and of which workloads something leaves."""
        new: list[tuple[Live, Intent]] = []
        left: set[str] = set()
        for live, placements in changes:
            for role in live.workload.roles:
                wanted = live.wanted(role.name, role.replicas, now_s)
                holder = Holder(
                    live.workload.name, live.uid, role.name, live.workload.lifetime, 1, wanted,
                    tuple(i for i in live.intents.values() if i.role == role.name),
                    self._pending(live), live.workload.gang is not None,
                    live.workload.checkpoint_every_s if live.workload.backfill else None,
                )  # fmt: skip
                of_role = [one for one in placements if one.role == role.name]
                made = assign(holder, of_role, lost=lost, at_s=now_s, plan_id="", next_wave=live.waves)
                live.waves += len(made.new)
                new.extend((live, intent) for intent in made.new)
                for intent in made.changed:
                    left.add(live.workload.name)
                    self._settler.change(live, intent, now_s)
        if new:
            self._send(new, now_s)
        return new, left

    def _pending(self, live: Live) -> IndexSet:
        pending = IndexSet()
        for intent in live.intents.values():
            job = self._world.members[intent.cluster].site.jobs.get(intent.id)
            pending |= intent.live if job is None else job.unbound
        return pending

    def _send(self, new: list[tuple[Live, Intent]], now_s: float) -> None:
        """Hand new intents to their clusters, in the order of service; of one workload the larger replicas first."""
        roles = {id(live): {role.name: role for role in live.workload.roles} for live, _ in new}

        def turn(one: tuple[Live, Intent]) -> tuple[Place, tuple[tuple[str, int], ...], str]:
            live, intent = one
            heft = tuple((name, -amount) for name, amount in roles[id(live)][intent.role].requests.items_)
            return self._place(live.workload), heft, intent.id

        for live, intent in sorted(new, key=turn):
            member, role = self._world.members[intent.cluster], roles[id(live)][intent.role]
            state = next_intent_state(intent.id, intent.state, IntentEvent.ACCEPTED)
            live.intents[intent.id] = replace(intent, state=state, sent_s=now_s)
            member.intents[intent.id] = live
            self._world.changed(live)
            flavors = restricted(live.workload, role, member.site.cluster)
            member.site.submit(intent.id, live.workload, role, intent.indices, live.run_s, flavors, now_s)
        for rest_s in self._rests_s if new else ():
            self._world.timeline.at(now_s + rest_s, OTHER, self._wake)
