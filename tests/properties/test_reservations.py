"""Guarantee 8: what holds a reservation starts no later than it said, though others pass it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federator.engine.answer import plan_document
from federator.engine.checks import violations
from federator.engine.ends import Ends
from federator.engine.occupancy import Occupancy
from federator.engine.plain import Plain
from federator.engine.planner import _Planner, plan
from federator.engine.promises import Promises
from federator.engine.reserving import Reserving
from federator.model.cluster import Binding
from federator.model.plan import Plan, Snapshot
from federator.model.policy import Match, Planning, Policy, Queue, Tier
from federator.model.reasons import Reason
from federator.model.workload import Gang, Role, Workload
from tests.engine.build import amounts, cluster, workload
from tests.properties.simulated import Node, Site, World, broken_promises, line, sites
from tests.properties.snapshots import snapshots
from tests.properties.test_guarantees import shuffled, unrest
from tests.properties.test_shortcuts import crowded, plain

pytestmark = pytest.mark.thorough

modest = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

POLICIES = (
    (),
    (Policy("p", tiers=(Tier("first", ("a",)), Tier("rest", ("*",)))),),
    (Policy("p", tiers=(Tier("first", ("b",), weight_by="price"), Tier("rest", ("a", "c")))),),
)


@st.composite
def served(draw: st.DrawFn, at: int) -> Workload:
    """Narrow and wide work, together or one by one."""
    gang = draw(st.sampled_from((None, None, Gang(), Gang(), Gang("federation"))))
    cores, wide = draw(st.sampled_from((1, 2, 4, 8))), draw(st.integers(1, 5))
    roles = (Role("", wide, amounts(cores)),)
    if gang is not None and gang.scope == "cluster" and draw(st.booleans()):
        roles = (Role("launcher", 1, amounts(1)), Role("worker", wide, amounts(cores)))
    return Workload(
        f"w{at:02}",
        roles,
        duration_s=float(draw(st.sampled_from((10, 20, 50, 100, 300)))),
        gang=gang,
        min_replicas=1 if gang else draw(st.integers(1, wide)),
        submitted_at_s=float(draw(st.sampled_from((0, 0, 0, 5, 15, 60)))),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """One to three small sites, and more work than fits them."""
    members = [
        Site(
            name,
            draw(st.sampled_from((Binding.SPREAD, Binding.PACK))),
            [Node(8) for _ in range(draw(st.integers(1, 4)))],
        )
        for name in "abc"[: draw(st.integers(1, 3))]
    ]
    most = draw(st.sampled_from((1, 3, 10)))
    planning = Planning(backfilling=draw(st.sampled_from(("easy", "conservative"))), max_reservations=most)
    arrivals = [draw(served(at)) for at in range(draw(st.integers(3, 12)))]
    return World(members, arrivals, planning, draw(st.sampled_from(POLICIES)))


def checked(federation: Snapshot) -> Plan:
    """The plan, which must be legal."""
    made = plan(federation)
    assert violations(federation, made) == ()
    return made


@modest
@given(worlds())
def test_what_is_reserved_starts_no_later_than_was_said(world: World) -> None:
    """Guarantee 8, and every plan on the way is legal."""
    assert broken_promises(world, checked) == [], world.log


def crossing(backfilling: str = "easy") -> World:
    """Three nodes of 8 cores. ``first`` has one until 100 s, ``wide`` needs all three, ``long`` would run for 200 s on
    what is free, ``short`` for 80 s; small work keeps arriving."""
    stream = [replace(workload(f"x{at:02}", 1, 8, duration_s=90.0), submitted_at_s=10.0 * at) for at in range(1, 40)]
    served = line(
        workload("first", 1, 8, duration_s=100.0),
        workload("wide", 3, 8, duration_s=50.0, gang=Gang()),
        workload("long", 1, 8, duration_s=200.0),
        workload("short", 1, 8, duration_s=80.0),
    )
    return World(sites([8, 8, 8]), [*served, *stream], Planning(backfilling=backfilling))


def test_large_work_does_not_starve() -> None:
    """A stream of small work that overlaps: alone by order, the wide gang would wait for its end."""
    easy, none = crossing(), crossing("none")
    assert broken_promises(easy, checked) == []
    assert broken_promises(none, checked) == []
    assert (easy.said_s["wide"], easy.started_s["wide"]) == (100.0, 100.0)
    assert easy.started_s["short"] == 0.0
    assert easy.started_s["long"] >= 150.0
    assert none.started_s["wide"] > 1000.0, "the stream did not hold it up, so this test shows nothing"


def test_without_a_word_on_nodes_it_is_found_out_where_replicas_run() -> None:
    """Where one shape fills whole nodes there is only one way in which it can be."""
    world = replace(crossing(), tells=False)
    assert broken_promises(world, checked) == []
    assert world.started_s["wide"] == 100.0


def plan_with(patch: pytest.MonkeyPatch, what: object, name: str, value: object) -> tuple[list[str], list[str]]:
    """What the loop and the checks see of a planner with a mistake."""
    patch.setattr(what, name, value)
    seen: list[str] = []

    def watched(federation: Snapshot) -> Plan:
        made = plan(federation)
        seen.extend(violations(federation, made))
        return made

    return broken_promises(crossing(), watched), seen


def test_a_planner_that_lets_everything_pass_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, seen = plan_with(monkeypatch, Promises, "passing", lambda *_: None)
    assert broken[0].startswith("wide was to start at 100 s")
    assert any("a has no room in 100.0 s for what is reserved there" in sentence for sentence in seen)


def test_a_planner_that_promises_too_soon_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes everything to run half as long as it does."""
    lasts = Ends.lasts
    broken, seen = plan_with(monkeypatch, Ends, "lasts", lambda self, one: lasts(self, one) // 2)
    assert broken[0].startswith("wide was to start at 50 s")
    assert any("has no room in 50.0 s" in sentence for sentence in seen)


def test_a_planner_that_reserves_for_nobody_starves_large_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reserving, "consider", lambda *_: None)
    world = crossing()
    broken_promises(world, plan)
    assert world.started_s["wide"] > 1000.0


def test_a_reservation_that_should_not_be_is_seen() -> None:
    federation = crossing().snapshot()
    made = plan(federation)
    (one,) = made.reservations
    assert one.replicas == 3
    for change, words in (
        ({"replicas": 2}, "wide: 2 replicas are reserved, 3 start at once"),
        ({"at_s": 99.0}, "a has no room in 99.0 s for what is reserved there"),
        ({"workload": "short"}, "short has a reservation, and nothing of it waits"),
    ):
        sentences = violations(federation, replace(made, reservations=(replace(one, **change),)))  # type: ignore[arg-type]
        assert any(words in sentence for sentence in sentences), sentences
    off = replace(federation, planning=Planning())
    assert "1 workloads have reservations, 0 may" in violations(off, made)


def test_a_false_claim_that_something_is_reserved_is_seen() -> None:
    federation = crossing().snapshot()
    made = plan(federation)
    assert any(v.reason is Reason.RESERVED_FOR_ANOTHER for r in made.refusals for v in r.reasons.values())
    sentences = violations(federation, replace(made, reservations=()))
    assert "long is kept out of a, where nothing is reserved before it ends" in sentences


@modest
@given(snapshots(), st.sampled_from(("easy", "conservative")))
def test_where_nothing_is_reserved_the_plan_is_that_without_backfilling(federation: Snapshot, backfilling: str) -> None:
    plainly = replace(federation, planning=Planning())
    made = plan(replace(federation, planning=Planning(backfilling=backfilling)))
    if not made.reservations:
        assert plan_document(made) == plan_document(plan(plainly))


def spares_all(policy: Policy) -> Policy:
    """The same policy, for which nothing gives way."""
    return replace(policy, preempt="never")


@modest
@given(snapshots())
def test_without_backfilling_nothing_of_it_runs(federation: Snapshot) -> None:
    """The plan is made though every door to reservations is walled up; where nobody has displaced anybody."""
    federation = replace(federation, displacements=(), policies=tuple(map(spares_all, federation.policies)))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked without backfilling")

    with pytest.MonkeyPatch.context() as patch:
        for what, name in (
            (Reserving, "__init__"),
            (Promises, "__init__"),
            (Occupancy, "__init__"),
        ):
            patch.setattr(what, name, never)
        walled = plan(federation)
    assert walled == plan(federation)
    assert walled.reservations == ()


@modest
@given(worlds())
def test_planning_again_comes_to_rest(world: World) -> None:
    """Guarantee 7, some way into the loop."""
    for _ in range(2):
        world.end_what_ends()
        world.carry_out(plan(world.snapshot()))
        world.now_s = world.next_s() or world.now_s
    world.end_what_ends()
    assert unrest(world.snapshot(), plan) is None


@modest
@given(worlds(), st.integers(1, 3))
def test_shortcuts_change_nothing_beside_reservations(world: World, copies: int) -> None:
    federation = crowded(world.snapshot(), copies)
    assert plan_document(plan(federation)) == plan_document(plain(federation))


def busy(seed: int) -> Snapshot:
    """Larger than what is drawn: hundreds of plain workloads that run for a short or a long time, some for all of a
    site, on three sites of which each has a tier."""
    random = Random(seed)
    members = [
        cluster(name, nodes=random.randrange(4, 10), cpu=8, binding=random.choice(list(Binding))) for name in "abc"
    ]
    names = [("a", "b"), ("b", "c"), ("c",)]
    rules = [Policy(f"p{at}", at, Match(queues=(f"q{at}",)), tiers=(Tier("t", names[at]),)) for at in range(3)]
    many = [
        replace(
            workload(f"w{at:03}", random.choice((1, 1, 2, 5)), cpu=random.choice((1, 2, 4, 7))),
            queue=f"q{random.randrange(3)}",
            submitted_at_s=float(at),
            duration_s=random.choice((10.0, 60.0, 300.0, 3000.0, None)),
            min_replicas=random.choice((1, 1, 2)),
        )
        for at in range(150)
    ]
    kind = ("easy", "conservative")[seed % 2]
    lines = (Queue("q0", cohort="x", quota=amounts(60)), Queue("q1", cohort="x", quota=amounts(30)))
    return Snapshot(
        1e4,
        tuple(members),
        tuple(many),
        policies=tuple(rules),
        queues=lines if seed % 3 else (),
        planning=Planning(backfilling=kind, max_reservations=1 + seed % 4),
    )


@pytest.mark.parametrize("seed", range(8))
def test_plain_turns_beside_reservations_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is reserved, and after: those that nothing reserved is in the way of."""
    federation, taken = busy(seed), [0, 0]
    original = Plain._take

    def counted(self: Plain, *asked: object) -> object:
        found = original(self, *asked)  # type: ignore[arg-type]
        promises = self._federation.promises
        taken[bool(promises and promises.reserved)] += found[0]
        return found

    monkeypatch.setattr(Plain, "_take", counted)
    made = plan(federation)
    assert made.reservations
    assert min(taken) > 0, "none was plain before, or none after"
    assert plan_document(made) == plan_document(plain(federation))


@pytest.mark.parametrize("mistake", ["_until_in_the_way", "_note", "asks_of_refusals"])
def test_plain_turns_that_forget_reservations_are_found(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    """The planted mistakes: all pass what is reserved, nobody knows when they end, nothing is reserved for them."""
    kind = _Planner if mistake == "asks_of_refusals" else Plain
    original = plan_document(plan(busy(5)))
    forgets = {"_until_in_the_way": lambda _, some: some, "_note": lambda *_: None, "asks_of_refusals": lambda _: False}
    monkeypatch.setattr(kind, mistake, forgets[mistake])
    assert plan_document(plan(busy(5))) != original


@modest
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_lists_changes_nothing_that_is_reserved(world: World, random: Random) -> None:
    """Guarantee 3, some way into the loop, so that much runs."""
    for _ in range(3):
        world.end_what_ends()
        world.carry_out(plan(world.snapshot()))
        world.now_s = world.next_s() or world.now_s
    world.end_what_ends()
    federation = world.snapshot()
    assert plan_document(plan(shuffled(federation, random))) == plan_document(plan(federation))
