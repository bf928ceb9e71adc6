"""Fragments of GPUs, and binding so that they grow least: cases with known answers, and the same in plain Python."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.engine import fragments as engine
from federator.engine.arrays import Array
from federator.engine.fragments import NOWHERE, GradientDescent, fragments
from federator.engine.gpu_nodes import GPU, node
from tests.interpreted import interpreted

pytestmark = pytest.mark.thorough

WIDTH = 3
A, B = 1, 2
"""Models of GPUs."""


def table(*rows: list[int]) -> Array:
    return np.array(rows, dtype=np.int64)


def pod(cpu: int, gpus: int = 0, part: int = 0, models: int = 0) -> list[int]:
    return [cpu, 0, gpus, part, models]


def bound(nodes: Array, pods: Array, mix: list[int], arrivals: list[int]) -> list[int]:
    """The nodes of some pods, one after the other."""
    descent = GradientDescent.over(nodes, pods, np.array(mix, dtype=np.int64))
    found: list[int] = descent.bind(np.array(arrivals, dtype=np.int64)).tolist()
    return found


def test_what_a_pod_cannot_use_is_a_fragment_of_it() -> None:
    """Free are 1000, 300 and 0. Half a GPU cannot use the 300; a core more than there is, nothing; cpu work, nothing;
    another model, nothing; two halves of different GPUs do not fit."""
    nodes = table(node(4, 0, [1000, 300, 0], A, WIDTH))
    pods = table(pod(4, 1, 500), pod(5, 1, 100), pod(1), pod(1, 1, 100, B), pod(1, 2, 500), pod(1, 1, 100))
    single = [fragments(nodes, 0, pods, np.eye(len(pods), dtype=np.int64)[at]) for at in range(len(pods))]
    assert single == [300, 1300, 1300, 1300, 1300, 0]
    assert fragments(nodes, 0, pods, np.array([1, 2, 0, 0, 0, 3])) == 300 + 2 * 1300


def test_a_part_joins_another_part_and_leaves_a_gpu_whole() -> None:
    nodes = table(node(8, 0, [1000, 1000], A, WIDTH), node(8, 0, [1000, 400], A, WIDTH))
    assert bound(nodes, table(pod(1, 1, 400), pod(1, 1, 1000)), [1, 1], [0]) == [1]
    assert nodes[1, GPU:].tolist() == [1000, 0, -1]


def test_work_that_takes_any_model_leaves_the_one_that_others_need() -> None:
    nodes = table(node(8, 0, [1000], A, WIDTH), node(8, 0, [1000], B, WIDTH))
    pods = table(pod(1, 1, 1000), pod(1, 1, 1000, A))
    assert bound(nodes, pods, [1, 1], [0, 0, 0]) == [1, 0, NOWHERE]


def test_cpu_work_leaves_the_cores_that_gpus_need() -> None:
    """The GPUs of the second node are taken, so its cores serve nobody else."""
    nodes = table(node(8, 0, [1000, 1000], A, WIDTH), node(8, 0, [0, 0], A, WIDTH))
    assert bound(nodes, table(pod(5), pod(4, 1, 1000)), [1, 1], [0, 1, 1, 1]) == [1, 0, 0, NOWHERE]


def test_several_gpus_are_whole_ones_of_one_node() -> None:
    nodes = table(node(8, 0, [1000, 900, 1000], A, WIDTH), node(8, 0, [1000], A, WIDTH))
    assert bound(nodes, table(pod(1, 2, 1000)), [1], [0, 0]) == [0, NOWHERE]
    assert nodes[0, GPU:].tolist() == [0, 900, 0]


@dataclass
class Plain:
    """A node, and the rules as they are written down."""

    cpu: int
    gpus: list[int]
    model: int

    def holds(self, asked: list[int]) -> bool:
        cpu, _, gpus, part, models = asked
        if self.cpu < cpu:
            return False
        return gpus == 0 or ((models == 0 or bool(models & self.model)) and sum(g >= part for g in self.gpus) >= gpus)

    def fragments(self, pods: list[list[int]], mix: list[int]) -> int:
        found = 0
        for asked, count in zip(pods, mix, strict=True):
            usable = asked[2] > 0 and self.holds(asked)
            found += count * sum(g for g in self.gpus if not usable or g < asked[3])
        return found

    def ways(self, asked: list[int]) -> list[Plain]:
        """The node as it would be, for every choice of its GPUs: all for one, the tightest for several."""
        gpus, part = asked[2], asked[3]
        fits = [at for at, free in enumerate(self.gpus) if free >= part]
        choices = [[at] for at in fits] if gpus == 1 else [sorted(fits, key=lambda at: self.gpus[at])[:gpus]]
        return [
            Plain(self.cpu - asked[0], [g - part * (at in choice) for at, g in enumerate(self.gpus)], self.model)
            for choice in choices
        ]


def one_by_one(nodes: list[Plain], pods: list[list[int]], mix: list[int], arrivals: list[int]) -> list[int]:
    """Every pod tries every GPU of every node; growths are compared in tenths of a GPU, rounded up."""
    chosen = []
    for turn in arrivals:
        best: tuple[int, int] | None = None
        way = nodes[0]
        for at, one in enumerate(nodes):
            if not one.holds(pods[turn]):
                continue
            growths = [after.fragments(pods, mix) - one.fragments(pods, mix) for after in one.ways(pods[turn])]
            rank = (-(-min(growths) // (100 * sum(mix))), at)
            if best is None or rank < best:
                best, way = rank, one.ways(pods[turn])[growths.index(min(growths))]
        chosen.append(NOWHERE if best is None else best[1])
        if best is not None:
            nodes[best[1]] = way
    return chosen


parts = st.sampled_from((1000, 700, 300))
asked = st.one_of(
    st.builds(pod, st.integers(1, 4)),
    st.builds(pod, st.integers(0, 4), st.just(1), parts, st.sampled_from((0, 0, A, B))),
    st.builds(pod, st.integers(0, 4), st.just(2), st.just(1000), st.sampled_from((0, A))),
)
free = st.tuples(
    st.integers(0, 8), st.lists(st.sampled_from((1000, 1000, 600, 300, 0)), max_size=WIDTH), st.sampled_from((A, B))
)


@settings(max_examples=60, deadline=None)
@given(st.lists(free, min_size=1, max_size=4), st.lists(asked, min_size=1, max_size=4), st.data())
def test_binding_is_one_by_one(
    rows: list[tuple[int, list[int], int]], pods: list[list[int]], data: st.DataObject
) -> None:
    """What is kept between pods changes nothing."""
    compare(rows, pods, data.draw(st.lists(st.integers(0, len(pods) - 1), max_size=12)))


def compare(rows: list[tuple[int, list[int], int]], pods: list[list[int]], arrivals: list[int]) -> None:
    nodes = table(*(node(cpu, 0, gpus, model, WIDTH) for cpu, gpus, model in rows))
    plain = [Plain(cpu, list(gpus), model) for cpu, gpus, model in rows]
    mix = [1 + at for at in range(len(pods))]
    assert bound(nodes, table(*pods), mix, arrivals) == one_by_one(plain, pods, mix, arrivals)
    for row, one in zip(nodes.tolist(), plain, strict=True):
        assert row[0] == one.cpu
        assert sorted(g for g in row[GPU:] if g >= 0) == sorted(one.gpus)


def test_growths_that_are_kept_too_long_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: a node that has changed is not looked at anew."""
    case = [(2, [1000], A), (9, [1000, 1000], A)], [pod(1, 1, 1000), pod(1, 1, 300)], [1, 1, 0, 0, 1]
    compare(*case)
    interpreted(monkeypatch, engine)
    right = engine.least_growth

    def stale(
        nodes: Array, pods: Array, mix: Array, steps: Array, one: int, growths: Array, gpus: Array, known: Array
    ) -> int:
        known[one] |= growths[one] != 0
        return right(nodes, pods, mix, steps, one, growths, gpus, known)

    monkeypatch.setattr(engine, "least_growth", stale)
    with pytest.raises(AssertionError):
        compare(*case)
