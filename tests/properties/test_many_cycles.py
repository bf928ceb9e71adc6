"""Many plans, each made of what the one before left, while work comes and ends and the federation changes.

After every change planning goes on until it rests. What must hold is counted from the definitions (``Judge``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from federator.engine.checks import violations
from federator.engine.planner import plan
from federator.model.plan import Plan, Snapshot
from federator.model.policy import Planning, Policy, Queue, Rebalance, Stay, Tier
from federator.model.workload import Gang, Workload
from tests.engine.build import workload
from tests.properties.town import Node, Planner, Site, Town

SITES = ("a", "b", "c")
QUEUES = ("atlas", "cms", "lhcb")
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
"""All but explaining, which traces every line."""
REST = 12
"""So many plans at one moment are enough to come to rest."""


@dataclass
class Judge:
    """Watches the plans of one moment, from one change to the rest after it."""

    town: Town
    planner: Planner
    checked: bool = True
    """Whether each plan must also be legal."""

    def settle(self) -> list[str]:
        """Plan and carry out until nothing changes; what was wrong."""
        town, found = self.town, list[str]()
        before = town.running()
        given_way, fresh = Counter[str](), Counter[tuple[str, str]]()
        last = None
        for _ in range(REST):
            seen = town.snapshot()
            made = self.planner(seen)
            found += violations(seen, made) if self.checked else ()
            held = {(h.workload, h.cluster): h.replicas for h in seen.holdings}
            for move in made.moves:
                if move.replicas > held.get((move.workload, move.source), 0) - fresh[move.workload, move.source]:
                    found.append(f"{move} takes replicas that have just come")
                fresh[move.workload, move.target] += move.replicas
            for one in made.preemptions:
                given_way[one.workload] += one.replicas
            town.carry_out(seen, made)
            if last is not None and list(last.placements) == list(made.placements):
                break
            last = made
        else:
            found.append(f"no rest after {REST} plans")
        found += [f"{name} gave way twice" for name, count in given_way.items() if count > before[name]]
        return found + self._passed_over(before) + self._idle()

    def _passed_over(self, before: Counter[str]) -> list[str]:
        """Those that wait though one behind them, which asks for as much and for as long, has started."""
        town, running = self.town, self.town.running()
        if town.planning.order != "fifo" or town.displaced:
            return []
        order = sorted(town.present.values(), key=lambda one: (-one.priority, one.submitted_at_s, one.name))
        found, ahead = [], list[Workload]()
        for one in order:
            grew = running[one.name] > before[one.name]
            found += [f"{one.name} passed {other.name}" for other in ahead if grew and _takes_no_more(other, one)]
            if running[one.name] < town.left(one) and one.gang is None and one.min_replicas == 1:
                ahead.append(one)
        return found

    def _idle(self) -> list[str]:
        """Those that wait though they would fit in what is free."""
        town, running = self.town, self.town.running()
        if town.planning.backfilling != "none":
            return []  # room may be kept for another
        found = []
        for one in town.present.values():
            missing, cores = town.left(one) - running[one.name], one.roles[0].requests["cpu"] // 1000
            fits = [sum(node.free // cores for node in site.nodes) for site in town.sites.values() if not site.cordoned]
            started = one.name in town.started_s
            needed = missing if one.gang is not None else 1 if started else min(one.min_replicas, missing)
            most = max(fits, default=0) if one.gang is not None else sum(fits)
            if missing and most >= needed and not (one.gang is not None and running[one.name]):
                found.append(f"{one.name} waits, and {most} of it would fit")
        return found


def _takes_no_more(one: Workload, other: Workload) -> bool:
    cores = [each.roles[0].requests["cpu"] for each in (one, other)]
    return cores[0] <= cores[1] and (one.duration_s or 0) <= (other.duration_s or 0)


class Days(RuleBasedStateMachine):
    """What may happen, one after the other."""

    planner: Planner = staticmethod(plan)
    checked = True

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @initialize(
        order=st.sampled_from(("fifo", "fifo", "fair", "fit")),
        backfilling=st.sampled_from(("none", "none", "easy")),
        preempt=st.sampled_from(("never", "lowerPriority")),
        rebalance=st.sampled_from(Rebalance),
        sizes=st.tuples(*[st.tuples(st.integers(1, 3), st.integers(2, 5)) for _ in SITES]),
    )
    def found(self, order: str, backfilling: str, preempt: str, rebalance: Rebalance, sizes: Any) -> None:
        """The federation at the beginning."""
        sites = {
            name: Site(name, [Node(cores) for _ in range(nodes)])
            for name, (nodes, cores) in zip(SITES, sizes, strict=True)
        }
        tiers = (Tier("near", ("a", "b")), Tier("far", ("c",)))
        policy = Policy("p", tiers=tiers, preempt=preempt, stay=Stay(rebalance, min_stay_s=0.0))
        planning = Planning(order=order, backfilling=backfilling)
        self.town = Town(sites, {name: Queue(name) for name in QUEUES}, planning, (policy,))

    @rule(
        queue=st.sampled_from(QUEUES),
        replicas=st.integers(1, 8),
        cores=st.sampled_from((1, 1, 2)),
        priority=st.sampled_from((0, 0, 0, 1, 2)),
        together=st.integers(0, 3),
        lasts_s=st.sampled_from((60.0, 100.0, 700.0)),
    )
    def arrive(self, queue: str, replicas: int, cores: int, priority: int, together: int, lasts_s: float) -> None:
        """A workload is handed in; one in four starts together, one in four with two replicas at least."""
        self.count += 1
        name = f"w{self.count:03}"
        self.town.present[name] = workload(
            name, replicas, cores, queue=queue, priority=priority, duration_s=lasts_s,
            gang=Gang() if together == 0 else None, min_replicas=min(2, replicas) if together == 1 else 1,
            submitted_at_s=self.town.now_s + self.count / 1000,
        )  # fmt: skip
        self.settle()

    @rule(seconds=st.sampled_from((10.0, 50.0, 100.0)))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.town.pass_time(seconds)
        self.settle()

    @rule(site=st.sampled_from(SITES), at=st.integers(0, 2))
    def node(self, site: str, at: int) -> None:
        """A node is lost or comes back."""
        self.town.lose(site, at % len(self.town.sites[site].nodes))
        self.settle()

    @rule(queue=st.sampled_from(QUEUES), weight=st.sampled_from((0, 1, 2, 5)))
    def weigh(self, queue: str, weight: int) -> None:
        """A queue gets another weight."""
        self.town.queues[queue] = replace(self.town.queues[queue], weight=weight)
        self.settle()

    @rule(site=st.sampled_from(SITES))
    def cordon(self, site: str) -> None:
        """A cluster is cordoned, or no more."""
        self.town.sites[site].cordoned = not self.town.sites[site].cordoned
        self.settle()

    def settle(self) -> None:
        """Plan until it rests, and judge."""
        assert Judge(self.town, type(self).planner, self.checked).settle() == []

    def teardown(self) -> None:
        """Nothing more comes and all is there again: whatever could ever start is served, and soon enough.

        While anything waits something runs, so the longest that it may take is all run times one after the other.
        """
        if not hasattr(self, "town"):
            return
        town = self.town
        for site in town.sites.values():
            site.cordoned = False
            for node in site.nodes:
                node.lost = False
        could = {one.name for one in town.present.values() if self._could(one)}
        latest_s = town.now_s + sum((one.duration_s or 0) * town.left(one) for one in town.present.values())
        self.settle()
        while (next_s := town.next_end_s()) is not None and town.now_s <= latest_s:
            town.pass_time(next_s)
            self.settle()
        assert not could & town.present.keys(), f"never served: {sorted(could & town.present.keys())}"

    def _could(self, one: Workload) -> bool:
        cores = one.roles[0].requests["cpu"] // 1000
        fits = [sum(node.cores // cores for node in site.nodes) for site in self.town.sites.values()]
        least = self.town.left(one) if one.gang is not None else one.min_replicas
        return least <= (max(fits) if one.gang is not None else sum(fits))


def days(
    planner: Planner, examples: int, steps: int, phases: Sequence[Phase] = PHASES, *, checked: bool = True
) -> None:
    """Live through so many stories, with this planner."""
    machine = type("DaysOfOne", (Days,), {"planner": staticmethod(planner), "checked": checked})
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=phases,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)


def test_through_many_cycles_it_comes_to_rest_and_passes_nobody_over() -> None:
    """Guarantee 7, and that nobody starves, whatever happens."""
    days(plan, 6, 10)


@pytest.mark.thorough
def test_so_it_is_through_long_stories() -> None:
    days(plan, 20, 30)


def serves_the_latest_first(seen: Snapshot) -> Plan:
    return plan(
        replace(seen, workloads=tuple(replace(one, submitted_at_s=-one.submitted_at_s) for one in seen.workloads))
    )


def leaves_a_cluster_idle(seen: Snapshot) -> Plan:
    return plan(replace(seen, clusters=(replace(seen.clusters[0], cordoned=True), *seen.clusters[1:])))


def forgets_what_has_moved(seen: Snapshot) -> Plan:
    """And thinks that the tier which holds most should come last."""
    held = Counter[str]()
    for one in seen.holdings:
        held["far" if one.cluster == "c" else "near"] += one.replicas
    tiers = sorted(seen.policies[0].tiers, key=lambda tier: held[tier.name])
    holdings = tuple(replace(one, moved=0) for one in seen.holdings)
    return plan(replace(seen, policies=(replace(seen.policies[0], tiers=tuple(tiers)),), holdings=holdings))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (serves_the_latest_first, "passed"),
        (leaves_a_cluster_idle, "of it would fit"),
        (forgets_what_has_moved, "have just come|no rest"),
    ],
)
def test_a_planner_with_a_mistake_is_seen(mistake: Planner, words: str) -> None:
    """By what is said of many plans, not by the checker of each."""
    with pytest.raises(AssertionError, match=words):
        days(mistake, 100, 12, phases=[Phase.generate], checked=False)


Parts = dict[str, tuple[float, float]]
"""By queue, the cores that it used in the mean, and those that its weight gives it."""
CORES = 9


def parts(weights: Sequence[Mapping[str, int]], half_life_s: float, planner: Planner) -> list[Parts]:
    """What three queues use that all have enough to do, for each of these weights, which last 3,000 s.

    Their replicas last 60, 100 and 140 s. Means are those of the last 2,000 s.
    """
    queues = {name: Queue(name, half_life_s=half_life_s) for name in QUEUES}
    town = Town({"a": Site("a", [Node(3) for _ in range(3)])}, queues, Planning(order="fair"), (Policy("p"),))
    for name, lasts_s in zip(QUEUES, (60.0, 100.0, 140.0), strict=True):
        town.present[name] = workload(name, 10_000, queue=name, duration_s=lasts_s)
    found = []
    for now in weights:
        town.queues = {name: replace(queues[name], weight=now[name]) for name in QUEUES}
        had, begun_s = Counter[str](), town.now_s
        assert Judge(town, planner).settle() == []
        while town.now_s < begun_s + 3000 and (next_s := town.next_end_s()) is not None:
            if town.now_s >= begun_s + 1000:
                had.update({name: int(count * next_s) for name, count in town.running().items()})
            town.pass_time(next_s)
            assert Judge(town, planner).settle() == []
        due = {name: CORES * now[name] / sum(now.values()) for name in QUEUES}
        found.append({name: (CORES * had[name] / had.total(), due[name]) for name in QUEUES})
    return found


def astray(found: Sequence[Parts]) -> float:
    """By how many cores a queue is off what its weight gives it, at most."""
    return max(abs(used - due) for one in found for used, due in one.values())


weighted = st.fixed_dictionaries({name: st.integers(1, 5) for name in QUEUES})
short, long = st.sampled_from((100.0, 300.0)), st.sampled_from((2000.0, 86400.0))
"""Half-lives by which what was had under other weights is forgotten after 1,000 s, or is not."""


@settings(max_examples=2, phases=PHASES, deadline=None)
@given(st.lists(weighted, min_size=2, max_size=2), short)
def test_queues_come_to_what_their_weights_give_them(weights: list[dict[str, int]], half_life_s: float) -> None:
    """To within one replica in the mean, as soon as what they had under other weights is forgotten."""
    assert astray(parts(weights, half_life_s, plan)) < 1


@pytest.mark.thorough
@settings(max_examples=8, phases=PHASES, deadline=None)
@given(st.lists(weighted, min_size=3, max_size=3), short)
def test_so_they_do_again_and_again(weights: list[dict[str, int]], half_life_s: float) -> None:
    assert astray(parts(weights, half_life_s, plan)) < 1


@pytest.mark.thorough
@settings(max_examples=8, phases=PHASES, deadline=None)
@given(st.lists(weighted, min_size=2, max_size=2), long)
def test_who_has_had_much_keeps_half_of_what_its_weight_gives(
    weights: list[dict[str, int]], half_life_s: float
) -> None:
    """While it is remembered: and who has had little gets half more at most, to within one replica in the mean."""
    for one in parts(weights, half_life_s, plan):
        for used, due in one.values():
            assert due / 2 - 1 <= used <= due * 3 / 2 + 1


def test_a_planner_that_forgets_weights_is_seen() -> None:
    def forgets(seen: Snapshot) -> Plan:
        return plan(replace(seen, queues=tuple(replace(one, weight=1) for one in seen.queues)))

    assert astray(parts([dict(zip(QUEUES, (1, 1, 4), strict=True))], 2000.0, forgets)) > 1
