"""How much of a contended federation a plan puts to use: ``python -m benchmarks.quality [--seed N] [--quick]``.

The federation is described in ``benchmarks/contended.py``. A replica is worth the mean of its shares of all there is of
each resource, so the value of a plan is the share of the federation that it uses, all resources counted alike. The
bound is that of a linear program (OR-tools' PDLP) under the same eligibility, bounds, quotas and demand, without nodes,
with replicas that may be cut and nobody first; ``--quick`` takes all there is instead, which is a little more.

First what the planner makes of it, with clusters of one node each, as the bound has them, and node by node, for members
that spread replicas or balance nodes; first come, first served, and where nobody is first (``order: fit``). Then rules
tried by themselves, without nodes, in the order of service: what a cluster is worth to a shape at its turn, and whether
the best is filled first or all by proportion.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.contended import REPLICAS, SHAPES, Contended, upper_bound
from benchmarks.machine import describe
from federator.engine.planner import plan
from federator.model.cluster import Binding

Numbers = NDArray[np.float64]
Weigh = Callable[[Numbers, Numbers, Numbers], Numbers]
"""The weights of clusters for what a replica asks for, from what is free and the room there; in shares of all."""


def alike(power: int) -> Weigh:
    """The cosine between what is free and what is asked for, to this power."""

    def weigh(asked: Numbers, free: Numbers, room: Numbers) -> Numbers:
        lengths = np.linalg.norm(free, axis=1) * np.linalg.norm(asked) + 1e-15
        found: Numbers = (free @ asked / lengths) ** power
        return found

    return weigh


def prices(steepness: float, whole: Numbers) -> Weigh:
    """The inverse of a price that grows exponentially with the use of each resource of a cluster."""

    def weigh(asked: Numbers, free: Numbers, room: Numbers) -> Numbers:
        used = 1 - free / np.maximum(whole, 1e-15)
        found: Numbers = 1 / (np.exp(steepness * used) @ asked)
        return found

    return weigh


def tries(whole: Numbers) -> dict[str, tuple[Weigh, bool]]:
    """What was tried: the weights, and whether the heaviest cluster is filled first."""
    size = whole.sum(axis=1)
    fits = alike(32)
    return {
        "preference, first to last": (lambda asked, free, room: -np.arange(len(room), dtype=float), True),
        "the most room first": (lambda asked, free, room: room, True),
        "the least room first": (lambda asked, free, room: -room, True),
        "the lowest price first": (prices(30, whole), True),
        "the most alike first": (alike(1), True),
        "by room": (lambda asked, free, room: room, False),
        "by price and room": (lambda asked, free, room: room * prices(30, whole)(asked, free, room), False),
        "by likeness^8 and room": (lambda asked, free, room: room * alike(8)(asked, free, room), False),
        "by likeness^32 and room": (lambda asked, free, room: room * fits(asked, free, room), False),
        "by likeness^32, room, empty": (
            lambda asked, free, room: room * fits(asked, free, room) * free.sum(axis=1) / size,
            False,
        ),
        "by likeness^128, room, empty": (
            lambda asked, free, room: room * alike(128)(asked, free, room) * free.sum(axis=1) / size,
            False,
        ),
    }


def fill(federation: Contended, weigh: Weigh, first: bool) -> float:
    """The value of placing shape after shape by a rule."""
    whole = federation.offered.sum(axis=0)
    free, placed = federation.offered / whole, np.zeros(SHAPES)
    for at, asked in enumerate(federation.asked / whole):
        needs = asked > 0
        room = np.floor((free[:, needs] / asked[needs]).min(axis=1) + 1e-9) * federation.may[at]
        caps = np.minimum(room, federation.most[at])
        weights = weigh(asked, free, room)
        found = caps if caps.sum() <= REPLICAS else in_turn(weights, caps) if first else by_proportion(weights, caps)
        free -= found[:, None] * asked
        placed[at] = found.sum()
    return federation.value(placed)


def in_turn(weights: Numbers, caps: Numbers) -> Numbers:
    """The heaviest is filled first."""
    order = np.argsort(-weights, kind="stable")
    found = np.zeros_like(caps)
    found[order] = np.clip(REPLICAS - (np.cumsum(caps[order]) - caps[order]), 0, caps[order])
    return found


def by_proportion(weights: Numbers, caps: Numbers) -> Numbers:
    """By weight, rounded, up to the caps; at most as many as are wanted."""
    weights = np.where(caps > 0, np.maximum(weights, 1e-12), 0)
    low, high = 0.0, REPLICAS / weights[caps > 0].min()
    for _ in range(100):
        middle = (low + high) / 2
        enough = np.minimum(np.floor(weights * middle + 0.5), caps).sum() > REPLICAS
        low, high = (low, middle) if enough else (middle, high)
    return np.minimum(np.floor(weights * low + 0.5), caps)


def main() -> None:
    """Print one line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="no linear program: all there is, as the bound")
    arguments = parser.parse_args()
    federation = Contended.made(arguments.seed)
    start = time.perf_counter()
    bound = 1.0 if arguments.quick else upper_bound(federation)
    print(f"{describe()}; seed {arguments.seed}; bound {bound:.4f} in {time.perf_counter() - start:.0f} s")
    plan(federation.snapshot)  # compiles, or loads what was compiled before
    clusters = {
        "one node": federation.without_nodes(),
        "spread": federation.bound_by(Binding.SPREAD),
        "balance": federation.bound_by(Binding.BALANCE),
    }
    rules = (("room", "fifo"), ("fit", "fifo"), ("foresight", "fifo"), ("foresight", "fit"))
    for (rule, order), (binding, members) in product(rules, clusters.items()):
        snapshot = members.weighed_by(rule).ordered(order).snapshot
        start, busy = time.perf_counter(), time.process_time()
        made = plan(snapshot)
        took, busy = time.perf_counter() - start, time.process_time() - busy
        share = federation.value_of(made) / bound
        pairs = f"{len(made.placements)} placements"
        print(f"weightBy {rule:9} order {order:4} {binding:8} {share:7.2%}  {took:.2f} s (cpu {busy:.2f} s), {pairs}")
    for name, (weigh, first) in tries(federation.offered / federation.offered.sum(axis=0)).items():
        print(f"rule: {name:26} {fill(federation, weigh, first) / bound:7.2%}", flush=True)


if __name__ == "__main__":
    main()
