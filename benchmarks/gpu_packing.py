"""How much of its GPUs a cluster can give away: ``python -m benchmarks.gpu_packing [--list NAME] [--seeds N]``.

The experiment of Weng et al., "Beware of Fragmentation" (USENIX ATC 2023), on the openb traces (``benchmarks/openb.py``
says where they come from): pods arrive one after the other and stay, none waits, until they have asked for 1.3 times
all GPUs. Measured is the share of GPUs that is given away when they have asked for 100% and for 130%: the mean over
those arrivals at which the demand rounds to that, then over the seeds (the first is 42). Nodes are in random order.

First the rules that are published, then the engine's own (``engine/fragments.py``), the habits of clusters that the
planner knows by their rules, and the planner itself, for which a share of a GPU is a whole one.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe
from benchmarks.openb import Trace
from federator.engine.arrays import Array
from federator.engine.compiled import compiled
from federator.engine.fragments import GradientDescent
from federator.engine.gpu_nodes import (
    CPU,
    GPU,
    GPUS,
    MEMORY,
    MODEL,
    MODELS,
    NO_GPU,
    PART,
    WHOLE,
    free_of_gpus,
    holds,
    take,
    tightest,
)
from federator.engine.planner import plan
from federator.model.cluster import Binding, Cluster, Flavor, NodeGroup
from federator.model.plan import Snapshot
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Role, Workload

PUBLISHED = {
    "default": {"Random": (86.30, 87.47), "BestFit": (92.86, 93.08), "FGD": (95.23, 95.39)},
    "multigpu50": {"Random": (math.nan, 90.27), "BestFit": (math.nan, 95.74), "FGD": (math.nan, 97.18)},
}
LOAD, FIRST_SEED = 1.3, 42
RESOURCE = "nvidia.com/gpu"
RANDOM, BEST_FIT, SPREAD, PACK, TIGHTEST, BALANCE = 0, 1, 2, 3, 4, 5
_SHARE = 2**20

Bind = Callable[[Array], Array]
"""The node of every arrival (below zero: none), on nodes that it may change."""


@compiled
def merit(nodes: Array, at: int, whole: Array, pods: Array, pod: int, rule: int) -> int:
    """How good a node is for a pod by a rule; the greatest wins, the first of such."""
    if rule == BEST_FIT:  # 100 less half of each share that stays free, of 128 cores and of 8 GPUs; rounded down
        cpu = nodes[at, CPU] - pods[pod, CPU]
        gpu = free_of_gpus(nodes, at) - pods[pod, GPUS] * pods[pod, PART]
        return int(100 + -(cpu + 16 * gpu) // 2560)
    used = 0
    for one in (CPU, MEMORY):
        used += (whole[at, one] - nodes[at, one]) * _SHARE // whole[at, one]
    if rule == PACK:
        return int(used)
    if rule == TIGHTEST:
        many = min(nodes[at, CPU] // max(1, pods[pod, CPU]), nodes[at, MEMORY] // max(1, pods[pod, MEMORY]))
        if pods[pod, GPUS] > 0:
            parts = 0
            for gpu in range(GPU, nodes.shape[1]):
                parts += max(0, nodes[at, gpu]) // pods[pod, PART]
            many = min(many, parts // pods[pod, GPUS])
        return int(used - many * 4 * _SHARE)
    highest = 0
    for one in (CPU, MEMORY):
        used += pods[pod, one] * _SHARE // whole[at, one]
        highest = max(highest, (whole[at, one] - nodes[at, one] + pods[pod, one]) * _SHARE // whole[at, one])
    return int(-highest * 4 * _SHARE - used) if rule == BALANCE else int(-used)


@compiled
def choose_gpu(nodes: Array, at: int, part: int, rule: int, draw: int) -> int:
    """The GPU of a pod that asks for one: the tightest; by chance under RANDOM."""
    fits = np.flatnonzero(nodes[at, GPU:] >= part)
    return int(GPU + fits[draw % len(fits)]) if rule == RANDOM else tightest(nodes, at, part)


@compiled
def bind_by(nodes: Array, pods: Array, arrivals: Array, rule: int, draws: Array) -> Array:
    """Bind pod after pod by a rule; ``draws`` are two numbers of chance for every arrival."""
    whole, bound = nodes.copy(), np.full(len(arrivals), -1)
    fits = np.empty(len(nodes), dtype=np.int64)
    for turn in range(len(arrivals)):
        pod, found, best, greatest = arrivals[turn], 0, -1, 0
        for at in range(len(nodes)):
            if holds(nodes, at, pods, pod):
                fits[found] = at
                found += 1
                if rule != RANDOM:
                    good = merit(nodes, at, whole, pods, pod, rule)
                    if best < 0 or good > greatest:
                        best, greatest = at, good
        if found > 0:
            best = fits[draws[turn, 0] % found] if rule == RANDOM else best
            one = pods[pod, GPUS] == 1
            gpu = choose_gpu(nodes, best, pods[pod, PART], rule, draws[turn, 1]) if one else NO_GPU
            take(nodes, best, pods, pod, gpu)
        bound[turn] = best
    return bound


def published_steps(mix: Array) -> Array:
    """The growths between which FGD's published score changes: int(100 x sigmoid(-growth in GPUs))."""
    gpus = [-math.log(score / (100 - score)) for score in range(99, 0, -1)]
    return np.array([math.floor(1000 * one * int(mix.sum())) for one in gpus], dtype=np.int64)


def rules(trace: Trace, arrivals: Array, draws: Array) -> dict[str, Bind]:
    """All rules by name, for one list of arrivals."""
    pods, mix, common = trace.shapes, trace.mix, trace.common
    every = np.arange(-8000, 8001, dtype=np.int64) * int(mix.sum())
    whole = pods.copy()
    whole[:, PART] = np.where(pods[:, GPUS] > 0, WHOLE, 0)

    def by(rule: int) -> Bind:
        return lambda nodes: bind_by(nodes, pods, arrivals, rule, draws)

    def descending(pods: Array, mix: Array, steps: Array | None = None) -> Bind:
        return lambda nodes: GradientDescent.over(nodes, pods, mix, steps).bind(arrivals)

    def planning(habit: Binding) -> Bind:
        return lambda nodes: planned(trace, nodes, arrivals, habit)

    return {
        "Random": by(RANDOM),
        "BestFit": by(BEST_FIT),
        "FGD": descending(pods, common, published_steps(common)),
        "engine: GradientDescent": descending(pods, mix),
        "engine: the same, not rounded": descending(pods, mix, every),
        "engine: the same, whole GPUs": descending(whole, mix),
        "habit: spread": by(SPREAD),
        "habit: balance": by(BALANCE),
        "habit: pack": by(PACK),
        "habit: fragmentationAware": by(TIGHTEST),
        **{f"planner, whole GPUs: {habit}": planning(habit) for habit in Binding},
    }


def planned(trace: Trace, nodes: Array, arrivals: Array, habit: Binding) -> Array:
    """What the planner makes of it: one cluster, every pod a workload, every share of a GPU a whole one."""
    kinds, counts = np.unique(nodes, axis=0, return_counts=True)
    flavors = tuple(
        _flavor(trace, f"f{at:02}", kind, count) for at, (kind, count) in enumerate(zip(kinds, counts, strict=True))
    )
    roles = [(_requests(*shape[:3]), _flavors(trace, shape[MODELS])) for shape in trace.shapes.tolist()]
    workloads = tuple(
        Workload(f"p{turn:05}", (Role("", 1, *roles[pod]),), submitted_at_s=float(turn))
        for turn, pod in enumerate(arrivals.tolist())
    )
    made = plan(Snapshot(clusters=(Cluster("openb", flavors=flavors, binding=habit),), workloads=workloads))
    bound = np.full(len(arrivals), -1)
    bound[[int(placement.workload[1:]) for placement in made.placements if placement.replicas]] = 0
    return bound


def _requests(cpu: int, memory: int, gpus: int) -> Resources:
    return Resources.of({"cpu": cpu, "memory": memory * 2**20, RESOURCE: gpus})


def _flavor(trace: Trace, name: str, kind: Array, count: int) -> Flavor:
    whole = _requests(int(kind[CPU]), int(kind[MEMORY]), int((kind[GPU:] != NO_GPU).sum()))
    labels = {"gpu": trace.models[int(kind[MODEL]).bit_length() - 1]}
    return Flavor(name, int(count), whole, (NodeGroup(whole, int(count)),), labels)


def _flavors(trace: Trace, models: int) -> Constraint:
    names = tuple(name for at, name in enumerate(trace.models) if models >> at & 1)
    return Constraint(Selector((Requirement("gpu", "In", names),))) if names else Constraint()


@dataclass(frozen=True)
class Result:
    """Of one seed: the share given away at a demand of 100% and 130%, in percent, and the seconds it took."""

    at_100: float
    at_130: float
    took_s: float


def measure(trace: Trace, seed: int, only: str) -> Iterable[tuple[str, Result]]:
    """Every rule whose name contains ``only`` on the arrivals of one seed."""
    random = Random(seed)
    arrivals = trace.arrivals(random, LOAD)
    order = random.sample(range(len(trace.nodes)), len(trace.nodes))
    draws = np.array([(random.getrandbits(40), random.getrandbits(40)) for _ in arrivals], dtype=np.int64)
    asked = trace.asked[arrivals]
    demand = np.round(np.cumsum(asked) / trace.capacity * 100)
    for name, bind in rules(trace, arrivals, draws).items():
        if only in name:
            start = time.process_time()
            bound = bind(trace.nodes[order])
            took = time.process_time() - start
            given = np.cumsum(np.where(bound >= 0, asked, 0)) / trace.capacity * 100
            yield name, Result(float(given[demand == 100].mean()), float(given[demand == 130].mean()), took)


def line(name: str, results: list[Result], published: tuple[float, float] | None) -> str:
    """Means and standard deviations over the seeds, beside what is published."""
    ends: list[str] = []
    for values, known in zip(
        ([one.at_100 for one in results], [one.at_130 for one in results]),
        published or (math.nan, math.nan),
        strict=True,
    ):
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        ends.append(f"{np.mean(values):6.2f} +- {deviation:4.2f} ({'' if math.isnan(known) else known:>5})")
    times: NDArray[np.float64] = np.array([one.took_s for one in results])
    return f"{name:40} {ends[0]}  {ends[1]}  {np.median(times):5.1f} s of cpu"


def main() -> None:
    """Print one line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", default="default", choices=sorted(PUBLISHED), help="the pod list")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="", help="the rules whose name contains this")
    arguments = parser.parse_args()
    trace = Trace.read(arguments.list)
    print(f"{describe()}; {len(trace.nodes)} nodes, {trace.capacity // 1000} GPUs, {len(trace.pods)} pods, "
          f"{arguments.seeds} seeds; given away, in %, at 100% and at 130%: mean, deviation, (published)")  # fmt: skip
    results: dict[str, list[Result]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
        for name, result in measure(trace, seed, arguments.only):
            results.setdefault(name, []).append(result)
    for name, found in results.items():
        print(line(name, found, PUBLISHED[arguments.list].get(name)), flush=True)


if __name__ == "__main__":
    main()
