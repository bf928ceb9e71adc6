"""A plan with shortcuts is the plan without them, to the last number of its reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine.answer import plan_document
from federator.engine.planner import plan
from federator.engine.resting import Resting
from federator.engine.shortcuts import Shortcuts
from federator.model.plan import Plan, Snapshot
from tests.engine.build import cluster, snapshot, workload
from tests.properties.snapshots import snapshots

pytestmark = pytest.mark.thorough


def plain(federation: Snapshot) -> Plan:
    """The plan without any shortcut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shortcuts, "refusal", lambda self, turn: None)
        patch.setattr(Resting, "of", lambda self, workload: None)
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


@given(snapshots(), st.integers(1, 4))
def test_shortcuts_change_nothing(federation: Snapshot, copies: int) -> None:
    for one in (crowded(federation, copies), settled(crowded(federation, copies))):
        assert plan_document(plan(one)) == plan_document(plain(one))
        assert plan(one).full_tiers == plain(one).full_tiers


def test_the_shortcuts_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would show nothing."""
    taken = {"refusal": 0, "of": 0}
    for kind, name in ((Shortcuts, "refusal"), (Resting, "of")):
        original = getattr(kind, name)

        def counted(self: object, asked: object, name: str = name, original: object = original) -> object:
            found = original(self, asked)  # type: ignore[operator]
            taken[name] += found is not None
            return found

        monkeypatch.setattr(kind, name, counted)
    crowd = snapshot(
        [cluster("a", cpu=4)],
        [workload("running", 4), *(workload(f"new-{n}", 2) for n in range(5))],
        held={("running", "a"): 4},
    )
    made = plan(crowd)
    assert len(made.refusals) == 3, "two of five fit"
    assert taken == {"refusal": 2, "of": 1}


def test_a_shortcut_that_forgets_that_room_was_taken_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: an answer is kept although others have taken room since."""

    def stale(self: Shortcuts, turn: object) -> object:
        kept = self._refused.get(self._kind(turn))  # type: ignore[arg-type]
        if kept is not None:
            self._refused[self._kind(turn)] = self._federation.changes, kept[1]  # type: ignore[arg-type]
        return original(self, turn)  # type: ignore[arg-type]

    original = Shortcuts.refusal
    monkeypatch.setattr(Shortcuts, "refusal", stale)
    in_order = [workload("first", 6), workload("big-0", 1, cpu=3), workload("small", 1), workload("big-1", 1, cpu=3)]
    arriving = [replace(one, submitted_at_s=float(at)) for at, one in enumerate(in_order)]
    federation = snapshot([cluster("a", cpu=8)], arriving)
    assert plan_document(plan(federation)) != plan_document(plain(federation))
