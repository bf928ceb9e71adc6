"""One run: the story told from its beginning to its end, with the real planner."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

from federator.engine.giving_way import remembered
from federator.engine.ground import Ground
from federator.engine.planner import plan as make_plan
from federator.model.plan import Plan, Snapshot
from federator.simulator.faults import Faults
from federator.simulator.grid import Grid, NotSingle
from federator.simulator.hands import Hands
from federator.simulator.looks import Looks
from federator.simulator.measures import Measures
from federator.simulator.needless import nothing_can_start, stays_as_it_is
from federator.simulator.pool import NotAPool, Pool, pool_of
from federator.simulator.settling import Settler
from federator.simulator.starters import Starters, Starts, only_room_decides
from federator.simulator.story import Arrival, Story
from federator.simulator.timeline import ARRIVAL, OTHER, Timeline
from federator.simulator.world import World

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
    """The same, by a shortcut where there is one: without the planner for rigid jobs on one pool of cores; without
    intents where only room decides about jobs of one replica and nobody watches. Else with plans of those alone that
    may start, as far as that is enough. Where ``Looks`` watch, the first and the last between their looks."""
    if story.faults or story.standing or story.bandwidths:
        return simulate(story, lines=True, watch=watch)
    begun, parts = perf_counter(), pool_of(story.federation)
    looks = watch if isinstance(watch, Looks) else None
    run: Run | None = None
    if parts is not None:
        run = _told_by(story, Pool(story, *parts, looks))
        if run is None and looks is not None:
            looks.begin_anew()
    elif watch is None and only_room_decides(story):
        run = _told_by(story, Grid(story))
    if run is None:
        return simulate(story, lines=True, watch=watch)
    run.wall_s = perf_counter() - begun
    return run


def _told_by(story: Story, shortcut: Pool | Grid) -> Run | None:
    """What a shortcut tells; None: the story is not one for it."""
    try:
        with _no_garbage_sought():
            ended_s = shortcut.tell()
    except (NotAPool, NotSingle):
        return None
    return Run(story, shortcut.measures, ended_s, shortcut.running, shortcut.waiting, shortcut.plan_s, shortcut.skipped)


@contextmanager
def _no_garbage_sought() -> Iterator[None]:
    """Shortcuts make few cycles, and what they keep they keep to the end: to look through it again and again finds
    nothing, and takes a fifth of the time."""
    sought = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if sought:
            gc.enable()


class _Teller:
    def __init__(self, story: Story, planner: Planner, skips: bool, lines: bool, watch: Watch | None) -> None:
        self._story, self._planner, self._watch = story, planner, watch
        self._skips = skips and stays_as_it_is(story.federation) and not any(one.downtime for one in story.faults)
        self._timeline = Timeline()
        self._world = World(story, self._timeline)
        self._settler = Settler(self._world)
        self._hands = Hands(self._world, self._settler, self._wake)
        self._faults = Faults(self._world, self._settler, self._timeline, self._stir)
        looks = watch is None or isinstance(watch, Looks)
        self._lines = Starters(self._world) if lines and looks and only_room_decides(story) else None
        self._plan_s: list[float] = []
        self._skipped = 0
        self._stirred = False
        """Whether something happened that planning must see, besides arrivals and ends."""
        self._coming = True
        """Whether more arrives."""
        self._changed_s = self._period_s = 0.0
        """When anything changed last; the beginning of a budget's period at which planning looks again."""

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
                self._hands.give(starts, frozenset(), now_s)
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
            changed = self._hands.carry_out(seen, made, now_s)
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
