"""A plan on kept ground is the plan made without it, to the last number of its reasons and explanations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.engine.answer import explanation_document, plan_document
from federator.engine.federation import Federation
from federator.engine.ground import Ground
from federator.engine.planner import plan
from federator.model.cluster import Cluster, NodeGroup
from federator.model.plan import Snapshot
from federator.model.resources import Resources
from tests.engine.build import cluster, snapshot, workload
from tests.properties.crowded import crowded
from tests.properties.snapshots import carried_out, snapshots


def used(one: Cluster, share: int) -> Cluster:
    """The cluster with so many eighths of what was free on its nodes, and of what its quota left, still so."""
    one = replace(one, limits=None if one.limits is None else _part(one.limits, share))
    flavors = tuple(
        replace(flavor, nodes=tuple(NodeGroup(_part(group.free, share), group.count) for group in flavor.nodes))
        for flavor in one.flavors or ()
    )
    return one if one.flavors is None else replace(one, flavors=flavors)


def _part(amounts: Resources, share: int) -> Resources:
    return Resources.of({name: amounts[name] * share // 8 for name in amounts})


def without(federation: Snapshot, name: str) -> Snapshot:
    """The federation after a workload has ended."""
    return replace(
        federation,
        workloads=tuple(one for one in federation.workloads if one.name != name),
        holdings=tuple(one for one in federation.holdings if one.workload != name),
        exclusions=tuple(one for one in federation.exclusions if one.workload != name),
        displacements=(),
    )


@st.composite
def stories(draw: st.DrawFn, federations: st.SearchStrategy[Snapshot]) -> list[Snapshot]:
    """One federation at several moments: what is free changes, work starts and ends, now and then so do clusters,
    policies and what clusters refuse; and again it is as it was."""
    now, other = draw(federations), draw(federations)
    strangers = {one.name: one for one in other.clusters}
    told = [now]
    for _ in range(draw(st.integers(1, 3))):
        what = draw(st.sampled_from(("time", "use", "use", "cluster", "end", "start", "refusals", "policies", "back")))
        if what == "use":
            now = replace(now, clusters=tuple(used(one, draw(st.integers(2, 8))) for one in now.clusters))
        elif what == "cluster":
            changed = tuple(strangers.get(one.name, one) if draw(st.booleans()) else one for one in now.clusters)
            now = replace(now, clusters=changed)
        elif what == "end" and now.workloads:
            now = without(now, draw(st.sampled_from(now.workloads)).name)
        elif what == "start":
            now = carried_out(now, plan(now))
        elif what == "refusals":
            now = replace(now, exclusions=tuple(replace(one, detail="no such image") for one in now.exclusions))
        elif what == "policies":
            now = replace(now, policies=other.policies, clocks=())
        elif what == "back":
            now = told[0]
        now = replace(now, at_s=now.at_s + 60.0)
        told.append(now)
    return told


def answer(federation: Snapshot, ground: Ground | None = None) -> Any:
    """All that a plan says, with everything explained."""
    made = plan(federation, explain=[one.name for one in federation.workloads], ground=ground)
    explained = {name: explanation_document(one) for name, one in made.explanations.items()}
    return plan_document(made), sorted(made.full_tiers), explained


def unlike(story: Sequence[Snapshot]) -> list[int]:
    """At which moments the plan on kept ground differs."""
    ground = Ground()
    return [at for at, moment in enumerate(story) if answer(moment, ground) != answer(moment)]


@given(stories(snapshots()))
@settings(max_examples=10)
def test_kept_ground_changes_nothing(story: list[Snapshot]) -> None:
    assert not unlike(story)


@pytest.mark.thorough
@given(stories(snapshots()))
@settings(max_examples=100)
def test_kept_ground_changes_nothing_in_many_federations(story: list[Snapshot]) -> None:
    assert not unlike(story)


@pytest.mark.thorough
@given(stories(crowded()))
@settings(max_examples=50)
def test_kept_ground_changes_nothing_where_work_gives_way(story: list[Snapshot]) -> None:
    assert not unlike(story)


def busy() -> list[Snapshot]:
    """Two clusters on which room comes free, and one of which is cordoned then."""
    room = snapshot([cluster("a", cpu=4), cluster("b", cpu=4)], [workload("w", 9)])
    full = replace(room, clusters=tuple(used(one, 4) for one in room.clusters))
    return [full, room, replace(room, clusters=(replace(room.clusters[0], cordoned=True), room.clusters[1]))]


def test_ground_is_kept_while_only_what_is_free_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would show nothing."""
    laid_out: list[Snapshot] = []
    original = Federation.__init__

    def counted(self: Federation, moment: Snapshot) -> None:
        laid_out.append(moment)
        original(self, moment)

    monkeypatch.setattr(Federation, "__init__", counted)
    full, room, cordoned = busy()
    ground = Ground()
    for moment in (full, room, full, cordoned, cordoned):
        plan(moment, ground=ground)
    assert laid_out == [full, cordoned]


@pytest.mark.parametrize(
    ("place", "mistake"),
    [
        ("federator.engine.ground._face", lambda one: one.name),
        ("federator.engine.nodes.Nodes.again", lambda self, clusters: self),
    ],
)
def test_the_planted_mistake_of_ground_that_is_kept_too_long_is_found(
    place: str, mistake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is laid out is believed for a cluster that has changed; what was free is believed to be so still."""
    assert not unlike(busy())
    monkeypatch.setattr(place, mistake)
    assert unlike(busy())
