"""A plan with shortcuts is the plan without them, to the last number of its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine import plain as plain_module
from federator.engine import plain_turns
from federator.engine.answer import plan_document
from federator.engine.arrays import Array
from federator.engine.federation import Federation
from federator.engine.plain import Plain
from federator.engine.plain_answers import Entry
from federator.engine.plain_tables import SHORT, WANTED
from federator.engine.planner import plan
from federator.engine.resting import Resting
from federator.engine.rows import EACH
from federator.engine.shortcuts import Shortcuts
from federator.model.cluster import Binding, Health
from federator.model.plan import Holding, Plan, Snapshot, TierClock
from federator.model.policy import Bounds, Planning, Policy, Queue, Tier
from federator.model.reasons import by_reason, reasons_of
from federator.model.workload import Workload
from tests.engine.build import cluster, snapshot, workload
from tests.interpreted import interpreted
from tests.properties.snapshots import amounts, sites, snapshots

pytestmark = pytest.mark.thorough


def plain(federation: Snapshot) -> Plan:
    """The plan without any shortcut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shortcuts, "refusal", lambda self, turn: None)
        patch.setattr(Resting, "of", lambda self, workload: None)
        patch.setattr(Plain, "_entry", lambda self, workload: None)
        return plan(federation)


def crowded(federation: Snapshot, copies: int) -> Snapshot:
    """The same with each workload several times, at other moments: what is alike does not stand together."""
    more = [
        replace(one, name=f"{one.name}-{number}", submitted_at_s=one.submitted_at_s + 1000 * number)
        for number in range(1, copies)
        for one in federation.workloads
    ]
    return replace(federation, workloads=(*federation.workloads, *more))


def settled(federation: Snapshot) -> Snapshot:
    """The same after its plan has been carried out, as far as holdings tell."""
    made = plan(federation)
    held = {(h.workload, h.role, h.cluster): h for h in federation.holdings}
    wanted = {(p.workload, p.role, p.cluster): p.replicas for p in made.placements}
    kept = tuple(replace(h, replicas=wanted[key], unbound=wanted[key]) for key, h in held.items() if key in wanted)
    return replace(federation, holdings=kept)


def calm(federation: Snapshot) -> Snapshot:
    """The same with nothing in it that keeps turns from being plain, but in some of its workloads."""
    members = tuple(replace(one, limits=None, health=Health.UP) for one in federation.clusters)
    served = tuple(replace(one, gang=None) if len(one.roles) == 1 else one for one in federation.workloads)
    return replace(federation, clusters=members, workloads=served, holdings=(), planning=Planning())


def equal(federation: Snapshot) -> bool:
    """Whether the plan is the one without shortcuts, and counts the reasons that it words."""
    found, asked = plan(federation), plain(federation)
    assert [by_reason(one.reasons) for one in found.refusals] == [reasons_of(one.reasons) for one in found.refusals]
    return plan_document(found) == plan_document(asked) and found.full_tiers == asked.full_tiers


@given(snapshots(), st.integers(1, 4))
def test_shortcuts_change_nothing(federation: Snapshot, copies: int) -> None:
    for one in (crowded(federation, copies), settled(crowded(federation, copies)), calm(crowded(federation, copies))):
        assert equal(one)


@pytest.mark.parametrize("seed", range(6))
def test_many_plain_turns_together_change_nothing(seed: int) -> None:
    """Larger than what is drawn: hundreds of workloads of a few kinds, or all different, under tiers, fillTo, bounds,
    weights and quotas, on nodes that become unlike each other and too many for their blocks."""
    random = Random(seed)
    members = [
        cluster(
            f"c{at:02}",
            nodes=random.randrange(4, 20),
            cpu=random.randrange(4, 33),
            memory=random.choice((16, 64)),
            labels={"site": "ab"[at % 2]},
            binding=random.choice(list(Binding)),
        )
        for at in range(9)
    ]
    served = [
        replace(
            workload(
                f"w{at:03}",
                random.choice((1, 1, 2, 5, 40)),
                cpu=random.randrange(1, 7) + seed % 2 / 1000 * at,
                memory=at % 3,
            ),
            queue=random.choice(("free", "bound", "cramped")),
            submitted_at_s=float(random.randrange(100)),
            min_replicas=random.choice((1, 1, 1, 2)),
        )
        for at in range(300)
    ]
    tiers = (Tier("a", constraint=sites("a"), fill_to_ppm=800_000), Tier("b", constraint=sites("b")))
    rule = Policy("p", tiers=tiers, bounds={"c00": Bounds(1, 3), "c01": Bounds(0, None, random.choice((None, 5)))})
    lines = (Queue("bound", cohort="x", quota=amounts(90)), Queue("cramped", cohort="x", quota=amounts(20)))
    federation = Snapshot(1e4, tuple(members), tuple(served), policies=(rule,), queues=lines)
    made = plan(federation)
    assert made.refusals
    assert equal(federation)
    assert not made.full_tiers, "no tier waits for another"
    runs = tuple(Holding(p.workload, p.role, p.cluster, p.replicas, age_s=60.0) for p in made.placements)
    patient = replace(federation, policies=(replace(rule, tiers=(tiers[0], replace(tiers[1], open_after_s=500.0))),))
    clocks = tuple(TierClock(*key, random.choice((9e3, 9.9e3))) for key in sorted(plan(patient).full_tiers))
    assert clocks
    assert equal(replace(federation, holdings=runs)), "a day later"
    assert equal(replace(patient, holdings=runs, clocks=clocks)), "where a tier waits for the one before"
    assert equal(replace(patient, clocks=clocks)), "where nothing runs yet"


def test_the_shortcuts_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would show nothing."""
    taken = dict.fromkeys(("of", "refusal", "_take"), 0)
    for kind, name in ((Resting, "of"), (Plain, "_take"), (Shortcuts, "refusal")):
        original = getattr(kind, name)

        def counted(self: object, *asked: object, name: str = name, original: object = original) -> object:
            found = original(self, *asked)  # type: ignore[operator]
            taken[name] += found[0] if name == "_take" else found is not None
            return found

        monkeypatch.setattr(kind, name, counted)
    crowd = snapshot(
        [cluster("a", cpu=4)],
        [workload("running", 4), *(workload(f"new-{n}", 2) for n in range(7))],
        held={("running", "a"): 4},
    )
    monkeypatch.setattr("federator.engine.plain._AT_ONCE", 2)
    refusals = plan(crowd).refusals
    assert len(refusals) == 5, "two of seven fit"
    assert len({id(one.reasons) for one in refusals}) == 3, "once two were refused, the others repeat the next"
    assert taken == {"of": 1, "refusal": 0, "_take": 7}
    plan(replace(crowd, clusters=(replace(crowd.clusters[0], limits=amounts(40, 40)),)))
    assert taken["refusal"] == 4, "beside a quota of a cluster nothing is plain"


def in_turn() -> list[Workload]:
    """Of two alike the first finds less room than it wants, and the second even less."""
    in_order = [workload("first", 6), workload("big-0", 1, cpu=3), workload("small", 1), workload("big-1", 1, cpu=3)]
    return [replace(one, submitted_at_s=float(at)) for at, one in enumerate(in_order)]


@pytest.mark.parametrize("mistake", ["room was taken", "quotas"])
def test_plain_turns_that_forget_something_are_found(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    if mistake == "quotas":
        original = Plain._turns

        def greedy(self: Plain, entries: Sequence[Entry]) -> object:
            turns, _ = original(self, entries)
            turns[:, WANTED], turns[:, SHORT] = [entry.wanted for entry in entries], 0
            return turns, {}

        monkeypatch.setattr(Plain, "_turns", greedy)
        federation = snapshot([cluster("a", cpu=9)], [workload("w", 3)])
        federation = replace(federation, queues=(Queue("default", quota=amounts(2)),))
    else:
        always = property(lambda self: True, lambda self, value: None)
        monkeypatch.setattr(Plain, "_busy", always, raising=False)
        changes = property(lambda self: 0, lambda self, value: None)
        monkeypatch.setattr(Federation, "changes", changes, raising=False)
        monkeypatch.setattr("federator.engine.plain._AT_ONCE", 1)
        federation = snapshot([cluster("a", cpu=8)], in_turn())
    assert not equal(federation)


def test_plain_turns_that_take_room_for_wanting_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: once one found no room anywhere, nobody is said to, whatever it asks for."""
    asked = [workload("first", 1, cpu=5), workload("large", 1, cpu=4), workload("small", 1, cpu=1)]
    federation = snapshot([cluster("a", cpu=8)], [replace(one, submitted_at_s=at) for at, one in enumerate(asked)])
    interpreted(monkeypatch, plain_module, plain_turns)
    assert equal(federation)
    monkeypatch.setattr(plain_turns, "is_beyond", lambda *_: True)
    assert not equal(federation)


def test_plain_turns_that_bind_by_what_was_counted_for_another_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: every node is taken to hold one replica, as if another shape had been counted last."""
    asked = [workload("first", 4, cpu=2), workload("large", 1, cpu=8)]
    members = [cluster("a", nodes=2, cpu=8, binding=Binding.PACK)]
    federation = snapshot(members, [replace(one, submitted_at_s=at) for at, one in enumerate(asked)])
    interpreted(monkeypatch, plain_module, plain_turns)
    assert equal(federation)
    bound = plain_turns.bind_counted

    def stale(rows: Array, *rest: object) -> object:
        rows[:, EACH] = 1
        return bound(rows, *rest)

    monkeypatch.setattr(plain_turns, "bind_counted", stale)
    assert not equal(federation)


def test_a_shortcut_that_forgets_that_room_was_taken_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: an answer is kept although others have taken room since."""

    def stale(self: Shortcuts, turn: object) -> object:
        kept = self._refused.get(self._kind(turn))  # type: ignore[arg-type]
        if kept is not None:
            self._refused[self._kind(turn)] = self._federation.changes, kept[1]  # type: ignore[arg-type]
        return original(self, turn)  # type: ignore[arg-type]

    original = Shortcuts.refusal
    monkeypatch.setattr(Shortcuts, "refusal", stale)
    federation = snapshot([replace(cluster("a", cpu=8), limits=amounts(40, 40))], in_turn())
    assert plan_document(plan(federation)) != plan_document(plain(federation))
