"""Federations with fillers for property tests: some hold a lot, more than fits since production came."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from federator.model.backfill import Filler, QuietHours
from federator.model.cluster import Rise
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.resources import Resources
from federator.model.selectors import Constraint
from federator.model.workload import Role, Workload
from tests.properties.snapshots import NAMES, amounts, sites, snapshots

QUIET_NOW, QUIET_SOON = QuietHours(2 * 3600, 3 * 3600), QuietHours(3 * 3600, 4 * 3600)
"""Snapshots are of 2:46 in the night."""
RISES = (
    Rise(300.0, ((Resources(), 30), (amounts(2, 1), 4))),
    Rise(3600.0, ((Resources(), 10), (amounts(2, 1), 4), (amounts(5, 4), 6))),
)
"""Others come for two cores rarely within five minutes, often within an hour."""
KEEPS = ({}, {"*": {"*": 50_000}}, {"cern": {"cpu": 250_000}, "*": {"*": 0}})


@st.composite
def fillers(draw: st.DrawFn, name: str) -> Filler:
    """One filler, mostly without many limits."""
    role = Role(
        "",
        draw(st.sampled_from((0, 3, 1000, 1_000_000))),
        amounts(draw(st.sampled_from((1, 2, 3, 0.5))), draw(st.integers(0, 3))),
    )
    work = Workload(
        name,
        (role,),
        parallelism=draw(st.sampled_from((None, None, None, 4))),
        clusters=draw(st.sampled_from((Constraint(), Constraint(), sites("on-prem")))),
        needs=frozenset({"container", "backfill"}),
        backfill=True,
        duration_s=draw(st.sampled_from((None, 600.0, 10_800.0))),
        checkpoint_every_s=draw(st.sampled_from((None, 600.0))),
    )
    return Filler(
        work,
        weight=draw(st.sampled_from((1, 3))),
        keep_free=draw(st.sampled_from(KEEPS)),
        max_share=draw(st.sampled_from((1_000_000, 1_000_000, 400_000))),
        quiet_hours=draw(st.sampled_from(((), (), (), (QUIET_NOW,), (QUIET_SOON,)))),
        max_price=draw(st.sampled_from((None, None, 0))),
        max_carbon=draw(st.sampled_from((None, None, 50.0))),
        smallest_slice_s=draw(st.sampled_from((0.0, 3600.0))),
        stops_s=draw(st.sampled_from((None, None, 5.0))),
        most_lost=draw(st.sampled_from((20_000, 100_000, 1_000_000))),
    )


@st.composite
def backfilled(draw: st.DrawFn) -> Snapshot:
    """A federation with one to three fillers; most of its clusters can run them. Nobody has given way in it."""
    base = draw(snapshots())
    members = tuple(
        replace(
            one,
            abilities=one.abilities | {"backfill"} if draw(st.integers(0, 5)) else one.abilities,
            rises=draw(st.sampled_from(((), (), RISES))),
        )
        for one in base.clusters
    )
    made = tuple(draw(fillers(f"backfill-{at}")) for at in range(draw(st.integers(1, 3))))
    held = [
        Holding(one.name, "", name, draw(st.integers(1, 9)), unbound=draw(st.sampled_from((0, 1))))
        for one in made
        for name in NAMES[: len(members)]
        if draw(st.booleans())
    ]
    return replace(base, clusters=members, fillers=made, holdings=(*base.holdings, *held), displacements=())


def without_fillers(snapshot: Snapshot) -> Snapshot:
    """The same federation, and nobody fills it."""
    names = {filler.name for filler in snapshot.fillers}
    return replace(snapshot, fillers=(), holdings=tuple(h for h in snapshot.holdings if h.workload not in names))


def filled_out(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """The snapshot once the fillers are where the plan wants them."""
    names = {filler.name for filler in snapshot.fillers}
    held = [h for h in snapshot.holdings if h.workload not in names]
    held += [Holding(one.workload, "", at, count) for one in plan.backfill for at, count in one.replicas.items()]
    return replace(snapshot, holdings=tuple(held))
