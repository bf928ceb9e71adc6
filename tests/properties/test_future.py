"""The nodes as they will be, asked about in any order, are those that are counted afresh each time."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine import future as future_module
from federator.engine.arrays import Array
from federator.engine.future import Future
from federator.engine.nodes import Nodes
from federator.engine.occupancy import AMOUNTS, BEGIN, COUNTED, END, TOGETHER
from tests.engine.build import cluster

NODES = Nodes([cluster("a", nodes=5, cpu=8), cluster("b", nodes=7, cpu=4)], ["cpu", "memory"])
MANY, MOMENTS = 12, 6


def entries(random: Random, many: int) -> Array:
    """Some on neighbouring nodes, by their ends, many of them at the same moment."""
    made = np.zeros((many, AMOUNTS + 2), dtype=np.int64)
    for line in made:
        line[BEGIN] = random.randrange(MANY)
        line[COUNTED] = random.randrange(1, MANY - int(line[BEGIN]) + 1)
        line[END], line[TOGETHER] = random.randrange(1, MOMENTS), random.randrange(4)
        line[AMOUNTS:] = random.randrange(1, 5), random.randrange(5)
    return made[np.argsort(made[:, END], kind="stable")]


def afresh(some: Array, at: int) -> list[list[int]]:
    """What is free then on each node: one entry and one node after the other."""
    dense, _ = NODES.dense()
    free = [row[4:].tolist() for row in dense for _ in range(row[0])]
    for line in some.tolist():
        for node in range(line[BEGIN], line[BEGIN] + line[COUNTED]) if line[END] <= at else ():
            free[node] = [now + more for now, more in zip(free[node], line[AMOUNTS:], strict=True)]
    return free


def by_node(future: Future, at: int) -> list[list[int]]:
    """The same as the future tells it."""
    counts = future.dense[:, 0]
    found: list[list[int]] = np.repeat(future.free(at), counts, axis=0).tolist()
    return found


def differs(random: Random, many: int) -> bool:
    """Whether any of some questions, asked in any order, is answered otherwise than afresh."""
    some = entries(random, many)
    whole = Future(NODES, some)
    for _ in range(8):
        at = random.randrange(MOMENTS)
        if by_node(whole, at) != afresh(some, at):
            return True
        for step in whole.steps(at):
            late, changed = whole.counting(at, step), some.copy()
            changed[step : whole.ended(at), END] = at + 1
            for moment in random.sample((at - 1, at, at + 1), 3):
                if by_node(late, moment) != afresh(changed, moment):
                    return True
                if not np.array_equal(late.freed(moment), Future(NODES, changed).freed(moment)):
                    return True
    return False


@given(st.randoms(use_true_random=False), st.integers(0, 30))
def test_what_will_be_free_is_what_was_freed_one_by_one(random: Random, many: int) -> None:
    assert not differs(random, many)


@pytest.mark.parametrize("mistake", ["nothing is taken back", "all are gone"])
def test_a_future_that_forgets_is_found(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    if mistake == "all are gone":
        monkeypatch.setattr(Future, "counting", lambda self, at, ended: self)
    else:
        back = future_module._Given.back
        monkeypatch.setattr(future_module._Given, "back", lambda self, ended: back(self, max(ended, self._ended)))
    assert any(differs(Random(seed), 20) for seed in range(5))
