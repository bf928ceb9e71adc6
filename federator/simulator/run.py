"""One run: the story told from its beginning to its end, with the real planner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from time import perf_counter

from federator.engine.assign import Holder, assign
from federator.engine.giving_way import remembered
from federator.engine.ground import Ground
from federator.engine.lifecycle import IntentEvent, next_intent_state
from federator.engine.order import Place, place_in_line
from federator.engine.planner import plan as make_plan
from federator.model.cluster import Health
from federator.model.indexset import IndexSet
from federator.model.intent import Intent
from federator.model.plan import Placement, Plan, Snapshot
from federator.model.policy import Rebalance
from federator.simulator.faults import Faults
from federator.simulator.lines import Lines, Starts, only_room_decides
from federator.simulator.looks import Looks
from federator.simulator.measures import Measures
from federator.simulator.needless import nothing_can_start, stays_as_it_is
from federator.simulator.pool import NotAPool, Pool, pool_of
from federator.simulator.settling import Settler
from federator.simulator.story import Arrival, Story
from federator.simulator.timeline import ARRIVAL, OTHER, Timeline
from federator.simulator.world import Live, World, restricted

Planner = Callable[[Snapshot], Plan]
Watch = Callable[[Snapshot, Plan], None]
MOST_AT_ONCE = 1000
"""So many plans at one moment mean that planning does not come to rest."""


class NeverAtRest(Exception):
    """Planning again and again at one moment, it goes on changing things."""


@dataclass(slots=True)
class Run:
    """What came of a story. ``plan_s`` are the seconds that each plan took; they alone differ from run to run."""

    story: Story
    measures: Measures
    ended_s: float
    running: int
    waiting: int
    plan_s: list[float] = field(default_factory=list)
    skipped: int = 0
    wall_s: float = 0.0


def simulate(
    story: Story,
    *,
    planner: Planner | None = None,
    skips: bool = True,
    lines: bool = False,
    watch: Watch | None = None,
) -> Run:
    """Tell the story, by the real planner where no other is given. ``skips``: whether plans are left out where nothing
    can start; ``lines``: whether those alone are planned that may start, where that is enough; ``watch`` sees every
    plan."""
    begun = perf_counter()
    run = _Teller(story, planner or partial(make_plan, ground=Ground()), skips, lines, watch).tell()
    run.wall_s = perf_counter() - begun
    return run


def simulate_quickly(story: Story, *, watch: Watch | None = None) -> Run:
    """The same, without the planner where the story is one of rigid jobs on one pool of cores: nothing to watch. Else
    with plans of those alone that may start, as far as that is enough; where ``Looks`` watch, between their looks."""
    begun, parts = perf_counter(), pool_of(story.federation)
    if parts is None or story.faults or story.standing or story.bandwidths:
        return simulate(story, lines=True, watch=watch)
    pool = Pool(story, *parts)
    try:
        ended_s = pool.tell()
    except NotAPool:
        return simulate(story, lines=True, watch=watch)
    run = Run(story, pool.measures, ended_s, pool.running, pool.waiting)
    run.wall_s = perf_counter() - begun
    return run


class _Teller:
    def __init__(self, story: Story, planner: Planner, skips: bool, lines: bool, watch: Watch | None) -> None:
        self._story, self._planner, self._watch = story, planner, watch
        self._skips = skips and stays_as_it_is(story.federation)
        self._place = place_in_line(story.federation)
        self._timeline = Timeline()
        self._world = World(story, self._timeline)
        self._settler = Settler(self._world)
        self._faults = Faults(self._world, self._settler, self._timeline, self._stir)
        looks = watch is None or isinstance(watch, Looks)
        self._lines = Lines(self._world) if lines and looks and only_room_decides(story) else None
        self._plan_s: list[float] = []
        self._skipped = 0
        self._stirred = False
        """Whether something happened that planning must see, besides arrivals and ends."""
        self._coming = True
        """Whether more arrives."""
        self._changed_s = self._period_s = 0.0
        """When anything changed last; the beginning of a budget's period at which planning looks again."""
        stays = [policy.stay for policy in story.federation.policies if policy.stay.rebalance is not Rebalance.NEVER]
        self._rests_s = {stay.min_stay_s for stay in stays}
        self._rests_s |= {stay.move_budget.period_s for stay in stays if stay.move_budget is not None}

    def tell(self) -> Run:
        """Let happen what happens, and plan after it, until the end."""
        for one in self._story.standing:
            self._world.stand(one)
        self._world.fill(0.0)
        if self._story.standing or self._story.federation.fillers:
            self._timeline.at(0.0, OTHER, self._wake)
        self._arrive_next(iter(self._story.arrivals()), 0.0)
        self._faults.note()
        timeline, lasts_s, now_s = self._timeline, self._story.lasts_s, 0.0
        while (next_s := timeline.next_s) is not None and (lasts_s is None or next_s <= lasts_s):
            if next_s > now_s:
                self._world.fold(next_s)
            now_s = next_s
            timeline.do_next()
            while not self._story.one_by_one and timeline.next_s == now_s:
                timeline.do_next()
            if self._settler.settle(now_s):
                self._changed_s = now_s
            self._plan_until_at_rest(now_s)
            self._await_period(now_s)
            if lasts_s is None and not self._coming and not any(self._world.production):
                break
        return self._end(now_s if lasts_s is None else lasts_s)

    def _end(self, now_s: float) -> Run:
        for member in self._world.members.values():
            member.site.stop_all(now_s)
        live = list(self._world.production)
        running = sum(one.told.started_s is not None and one.told.ended_s is None for one in live)
        waiting = sum(one.told.started_s is None and one.told.ended_s is None for one in live)
        return Run(self._story, self._world.measures, now_s, running, waiting, self._plan_s, self._skipped)

    # What happens

    def _arrive_next(self, coming: Iterator[Arrival], now_s: float) -> None:
        one = next(coming, None)
        self._coming = one is not None
        if one is not None:
            self._timeline.at(max(one.at_s, now_s), ARRIVAL, partial(self._arrive, one, coming))

    def _arrive(self, one: Arrival, coming: Iterator[Arrival], now_s: float) -> None:
        self._world.arrive(one.workload, one.run_s, now_s)
        self._changed_s = now_s
        self._arrive_next(coming, now_s)

    def _wake(self, now_s: float) -> None:
        self._stirred = True

    def _stir(self) -> None:
        self._stirred = True

    # Planning

    def _plan_until_at_rest(self, now_s: float) -> None:
        for _ in range(MOST_AT_ONCE):
            starts = self._starts(now_s) if self._lines is not None and not self._stirred else None
            if starts is not None:
                if not starts:
                    return
                self._give(starts, frozenset(), now_s)
                self._settler.settle(now_s)
                continue
            if self._skips and not self._stirred and nothing_can_start(self._world, now_s):
                self._skipped += 1
                return
            self._stirred = False
            seen = self._world.snapshot(now_s)
            begun = perf_counter()
            made = self._planner(seen)
            self._plan_s.append(perf_counter() - begun)
            if self._watch is not None:
                self._watch(seen, made)
            self._world.heads = made.heads
            self._world.displaced = tuple((now_s - one.age_s, one) for one in remembered(seen, made))
            self._keep_clocks(made, now_s)
            changed = self._carry_out(seen, made, now_s)
            if not self._settler.settle(now_s) and not changed:
                return
            self._changed_s = now_s
        raise NeverAtRest(f"planned {MOST_AT_ONCE} times at {now_s:g} s, and things still change")

    def _await_period(self, now_s: float) -> None:
        """Where work waits, look again when a budget begins anew."""
        if not self._world.spendings.needed or not self._world.waiting:
            return
        next_s = self._world.spendings.next_look_s(now_s, self._changed_s)
        if next_s is not None and next_s > self._period_s:
            self._period_s = next_s
            self._timeline.at(next_s, OTHER, self._wake)

    def _starts(self, now_s: float) -> Starts | None:
        """What those are given who alone may start; None where the planner has to be asked, or somebody looks."""
        assert self._lines is not None
        if isinstance(self._watch, Looks) and self._watch.due(now_s):
            self._world.look(now_s)
            if self._world.waiting:
                self._lines.begin_afresh()
                self._stirred = True
                return None
            self._watch(Snapshot(at_s=now_s), Plan())
        begun, asked = perf_counter(), self._lines.turns
        starts = self._lines.plan(now_s)
        if self._lines.turns > asked:
            self._plan_s.append(perf_counter() - begun)
        elif starts is not None:
            self._skipped += 1
        return starts

    def _keep_clocks(self, made: Plan, now_s: float) -> None:
        """Since when tiers have been full; and a look again when one that waits for that opens, or work may move."""
        world = self._world
        before, world.clocks = world.clocks, {key: world.clocks.get(key, now_s) for key in sorted(made.full_tiers)}
        new = [key for key in world.clocks if key not in before]
        for policy in self._story.federation.policies if new else ():
            for opens_s in {tier.open_after_s for tier in policy.tiers if tier.open_after_s}:
                if any(key[0] == policy.name for key in new):
                    self._timeline.at(now_s + opens_s, OTHER, self._wake)

    def _carry_out(self, seen: Snapshot, made: Plan, now_s: float) -> bool:
        """Make the intents match the plan; whether that changed anything."""
        world, lost = self._world, {n for n, m in self._world.members.items() if m.health is Health.LOST}
        new, left = self._give(self._changes(seen, made), lost, now_s)
        world.measures.moved(sum(move.replicas for move in made.moves if move.workload in left), now_s)
        world.measures.preempted(sum(one.replicas for one in made.preemptions), now_s)
        return bool(new or left)

    def _give(
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

    def _changes(self, seen: Snapshot, made: Plan) -> Iterator[tuple[Live, list[Placement]]]:
        """Workloads that are to have something else than they have, with all that they should have."""
        wanted: defaultdict[str, list[Placement]] = defaultdict(list)
        for placement in made.wanted:
            wanted[placement.workload].append(placement)
        held: defaultdict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        for one in seen.holdings:
            if one.replicas:
                held[one.workload][one.role, one.cluster] = one.replicas
        planned = {one.name for one in seen.workloads} | {one.name for one in seen.fillers}
        for name in dict.fromkeys(chain(wanted, held)):
            if name in planned and held.get(name, {}) != {
                (p.role, p.cluster): p.replicas for p in wanted.get(name, ())
            }:
                yield self._world.lives[name], wanted.get(name, [])

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
        for rest_s in sorted(self._rests_s) if new else ():
            self._timeline.at(now_s + rest_s, OTHER, self._wake)
