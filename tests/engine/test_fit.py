"""``weightBy: fit``: work goes where what is free is like what it asks for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine.checks import violations
from federator.engine.federation import Federation
from federator.engine.fit import FITS, fit
from federator.engine.planner import plan
from federator.model.plan import Snapshot
from federator.model.policy import Policy, Tier
from federator.model.resources import Resources
from federator.model.workload import Gang, Role
from tests.engine.build import amounts, cluster, flavor, placed, snapshot, workload

BY_FIT = (Policy("p", tiers=(Tier("all", weight_by="fit"),)),)
NOTHING = np.zeros(2, dtype=np.int64)


def two(**more: object) -> Snapshot:
    """One cluster with much memory for its cores, one with little."""
    members = [cluster("lean", 4, 16, 16), cluster("rich", 4, 16, 128)]
    served = [workload("hungry", 8, 1, 8, submitted_at_s=1.0), workload("modest", 8, 1, 1, submitted_at_s=2.0)]
    return snapshot(members, served, policies=BY_FIT, **more)


def test_memory_goes_where_memory_is_and_cores_where_it_is_not() -> None:
    made = plan(two())
    assert violations(two(), made) == ()
    assert placed(made, "hungry") == {"rich": 8}
    assert placed(made, "modest")["lean"] >= 7


def test_by_room_it_would_not() -> None:
    """Else the test above would show nothing."""
    made = plan(Snapshot(clusters=two().clusters, workloads=two().workloads))
    assert placed(made, "modest") != placed(plan(two()), "modest")


def test_a_perfect_fit_on_an_empty_cluster_and_on_one_half_full() -> None:
    half = flavor("standard", 1, amounts(8, 64), free=((amounts(4, 32), 1),))
    federation = Federation(snapshot([cluster("a"), cluster("b", flavors=(half,))], [workload("w", 1, 1, 8)]))
    full, less = fit(federation, amounts(1, 8), NOTHING).tolist()
    assert full == FITS
    assert less == pytest.approx(FITS / 2, rel=0.01)


def test_what_the_workload_holds_counts_as_free() -> None:
    half = flavor("standard", 1, amounts(8, 64), free=((amounts(4, 32), 1),))
    federation = Federation(snapshot([cluster("a"), cluster("b", flavors=(half,))], [workload("w", 1, 1, 8)]))
    assert fit(federation, amounts(1, 8), np.array([0, 4]))[1] == FITS


def test_a_gang_goes_to_the_cluster_that_fits_it_best() -> None:
    members = [cluster("big", 8, 16, 16), cluster("rich", 4, 16, 128)]
    gang = workload("w", 8, 1, 8, gang=Gang())
    assert placed(plan(snapshot(members, [gang], policies=BY_FIT)), "w") == {"rich": 8}


def test_where_room_is_unknown_or_nothing_is_asked_for_it_still_divides() -> None:
    members = [cluster("a"), cluster("b", flavors=None)]
    for cpu in (0, 1):
        made = plan(snapshot(members, [workload("w", 4, cpu)], policies=BY_FIT))
        assert sum(placed(made, "w").values()) == 4


@given(
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 2**10), st.integers(0, 8)), min_size=2, max_size=2),
    st.tuples(st.integers(0, 64), st.integers(0, 512), st.integers(0, 8)),
)
def test_it_is_the_cosine_to_the_32nd_power_times_the_free_part(
    offers: list[tuple[int, int, int]], asked: tuple[int, int, int]
) -> None:
    """Against floats, on clusters that are empty: so the free part is all of it."""
    members = [
        cluster(name, flavors=(flavor("f", 1, amounts(cpu, memory, gpu=gpu)),))
        for name, (cpu, memory, gpu) in zip("ab", offers, strict=True)
    ]
    asks = amounts(asked[0], asked[1], gpu=asked[2])
    federation = Federation(snapshot(members, [workload("w", 1, *asked[:2]), workload("all", 1, 1, 1)]))
    names = federation.nodes.resources
    whole = [max(1, sum(member.allocatable[name] for member in members)) for name in names]
    wanted = np.array([asks[name] / total for name, total in zip(names, whole, strict=True)])
    for found, member in zip(fit(federation, asks, NOTHING).tolist(), members, strict=True):
        free = np.array([member.allocatable[name] / total for name, total in zip(names, whole, strict=True)])
        lengths = float(np.linalg.norm(free) * np.linalg.norm(wanted))
        expected = (float(free @ wanted) / lengths) ** 32 if lengths > 0 else 0.0
        assert found / FITS == pytest.approx(expected, abs=0.01)


@given(
    st.lists(st.tuples(st.integers(0, 64), st.integers(0, 512), st.integers(0, 8)), min_size=3, max_size=3),
    st.tuples(st.integers(0, 64), st.integers(0, 512), st.integers(0, 8)),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
    st.sampled_from((None, amounts(16, 100))),
)
def test_it_is_that_to_the_last_bit(
    offers: list[tuple[int, int, int]], asked: tuple[int, int, int], held: list[int], limits: Resources | None
) -> None:
    """Against whole numbers of any size, on clusters that are partly used."""
    members = [
        cluster(
            name,
            flavors=(flavor("f", 2, amounts(64, 512, gpu=8), free=((amounts(cpu, memory, gpu=gpu), 2),)),),
            limits=limits if name == "a" else None,
        )
        for name, (cpu, memory, gpu) in zip("abc", offers, strict=True)
    ]
    asks = amounts(asked[0], asked[1], gpu=asked[2])
    every = workload("all", 1, roles=(Role("", 1, amounts(1, 1, gpu=1)),))
    federation = Federation(snapshot(members, [every]))
    found = fit(federation, asks, np.array(held, dtype=np.int64)).tolist()
    names = federation.nodes.resources
    whole = {
        name: sum(2 * member.flavors[0].allocatable[name] for member in members if member.flavors) for name in names
    }
    for at, (member, (cpu, memory, gpu)) in enumerate(zip(members, offers, strict=True)):
        free = {name: 2 * amounts(cpu, memory, gpu=gpu)[name] + held[at] * asks[name] for name in names}
        for name in member.limits or ():
            free[name] = min(free[name], limits[name] + held[at] * asks[name])
        assert found[at] == expected_fit(free, asks, whole, {name: whole[name] // 3 for name in names})


def part(amount: int, whole: int) -> int:
    """In 2**-31 of the whole, of which both are cut to 31 bits."""
    cut = max(0, whole.bit_length() - 31)
    return ((amount >> cut) << 31) // max(1, whole >> cut)


def expected_fit(free: dict[str, int], asks: Resources, whole: dict[str, int], offered: dict[str, int]) -> int:
    """As the page says: the squared cosine, squared four times, times the free part; in 2**-15 at every step."""
    parts = {name: part(free[name], whole[name]) for name in whole}
    wanted = {name: (asks[name] << 62) // whole[name] for name in whole}
    here = {name: (parts[name] << 14) // max(1, *parts.values()) for name in whole}
    there = {name: (wanted[name] << 14) // max(1, *wanted.values()) for name in whole}
    product = sum(here[name] * there[name] for name in whole)
    lengths = [sum(one * one for one in of.values()) for of in (here, there)]
    alike = min((product << 15) // max(1, lengths[1]) * product // max(1, lengths[0]), FITS)
    for _ in range(4):
        alike = alike * alike >> 15
    empty = min((sum(parts.values()) << 15) // sum(part(offered[name], whole[name]) for name in whole), FITS)
    return alike * empty >> 15
