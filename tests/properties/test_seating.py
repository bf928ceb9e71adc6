"""Waves that are seated by one call sit where they do one after the other."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine import seating
from federator.engine.binding import HABITS, bind, journal_for, journal_lines
from federator.engine.nodes import Nodes
from federator.engine.rows import EACH, NO_JOURNAL
from federator.engine.shapes import Shape
from tests.engine.build import amounts, cluster
from tests.interpreted import interpreted

BIND = seating.bind_everywhere


def town() -> Nodes:
    """Two clusters of many nodes and a small one."""
    members = [cluster("a", nodes=40, cpu=8), cluster("b", nodes=70, cpu=16), cluster("c", nodes=2, cpu=4)]
    return Nodes(members, ["cpu", "memory"])


def shapes(nodes: Nodes) -> list[Shape]:
    """Some that ask for cores, one that may not use everything, one that asks for nothing."""
    everywhere, order = np.ones(3, dtype=bool), np.zeros(3, dtype=np.int64)
    kinds = [(1, everywhere), (3, everywhere), (5, np.array([True, False, True])), (0, everywhere)]
    return [nodes.shape(amounts(cores), allowed, order) for cores, allowed in kinds]


def differs(random: Random, turns: int) -> bool:
    """Whether anything but for the calls differs from binding each turn by itself."""
    one, other = town(), town()
    kinds, habits = shapes(one), np.array([random.choice(sorted(HABITS.values())) for _ in range(3)])
    asked = [random.choice(kinds) for _ in range(turns)]
    replicas = np.array([[random.choice((0, 0, 1, 2, 9)) for _ in range(3)] for _ in asked], dtype=np.int64)
    expected, of = [], []
    for turn, (shape, wanted) in enumerate(zip(asked, replicas, strict=True)):
        journal = journal_for(one, shape, wanted)
        bind(one, shape, wanted, habits, journal)
        expected += journal_lines(journal).tolist()
        of += [turn] * len(journal_lines(journal))
    lines, whose = seating.seat(other, asked, replicas, habits)
    for nodes in (one, other):
        nodes.rows[:, EACH] = 0  # of whatever was counted last
    same = all(np.array_equal(mine, its) for mine, its in zip(one.dense(), other.dense(), strict=True))
    return (lines.tolist(), whose.tolist()) != (expected, of) or not same or not np.array_equal(one.sums, other.sums)


@given(st.randoms(use_true_random=False), st.integers(1, 60), st.sampled_from((1, 8)))
def test_seated_together_is_seated_one_by_one(random: Random, turns: int, roomy: int) -> None:
    """Also where the journal has place for one turn only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seating, "_ROOMY", roomy)
        assert not differs(random, turns)


@pytest.mark.parametrize("mistake", ["nothing is told", "one shape for all"])
def test_seating_that_forgets_is_found(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    interpreted(monkeypatch, seating)
    assert not differs(Random(1), 12)
    forgets = {
        "nothing is told": lambda *asked: BIND(*asked[:-1], NO_JOURNAL),
        "one shape for all": lambda *asked: BIND(*asked[:5], np.array([[0, 1000]]), *asked[6:]),
    }
    monkeypatch.setattr(seating, "bind_everywhere", forgets[mistake])
    assert differs(Random(1), 12)
