"""How long one plan takes: ``python -m benchmarks.plan [--case NAME] ``.

Federations are made from a seed: 200 clusters, 2,000 workloads of 200 replicas each, 3 resources. Medians of seven runs
(three of the largest) in one process, each from a fresh snapshot value; reading documents is not counted. Beside it,
seconds of processor time for the plan that follows on the same ground, after a change of 1% (the aim is 0.025 s).
Garbage is sought as in the daemon (``daemon/garbage.py``): among young values only.
"""

from __future__ import annotations

import argparse
import cProfile
import platform
import pstats
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from federator.daemon import garbage
from federator.engine.ground import Ground
from federator.engine.planner import plan
from federator.model.backfill import Filler
from federator.model.cluster import Cluster, Flavor, NodeGroup
from federator.model.plan import Holding, Snapshot
from federator.model.policy import Bounds, Match, Planning, Policy, Queue, Tier
from federator.model.resources import Resources
from federator.model.workload import Role, Workload

SEED = 7
CLUSTERS = 200
WORKLOADS = 2000
REPLICAS = 200
DIFFERENT = 400_000
RUNS = 7
LIMIT_S = 1.0
LIMITS_S = {"regional": 0.25, "regional-quotas": 0.25, "all-different": 10.0}
"""What is aimed at; ``LIMIT_S`` where nothing is said."""
GPU = "nvidia.com/gpu"
SITES = ("on-prem", "grid", "cloud", "hpc")


def clusters(random: Random, nodes: int, count: int = CLUSTERS) -> tuple[Cluster, ...]:
    """Three flavors each, a third of all nodes in use in four different ways, on every other cluster some GPUs."""
    made = []
    for at in range(count):
        flavors = []
        for kind, (cpu, memory, gpu) in enumerate(((64, 256, 0), (128, 512, 0), (48, 384, 4 if at % 2 else 0))):
            whole = Resources.of({"cpu": cpu * 1000, "memory": memory * 2**30, GPU: gpu})
            used = [Resources.of({key: whole[key] * share // 16 for key in whole}) for share in (0, 2, 5, 9)]
            counts = [nodes // 12 * 2, nodes // 12, nodes // 12 // 2, nodes // 12 // 2]
            groups = tuple(NodeGroup(whole - taken, count) for taken, count in zip(used, counts, strict=True) if count)
            flavors.append(Flavor(f"f{kind}", sum(g.count for g in groups), whole, groups))
        labels = {"site": SITES[at % 4], "region": f"r{random.randrange(10)}"}
        made.append(Cluster(f"c{at:03}", labels=labels, flavors=tuple(flavors), price={"cpu": 10_000.0 + at}))
    return tuple(made)


def regional(count: int = CLUSTERS) -> tuple[Policy, ...]:
    """Every queue fills its own tenth of the clusters first, to 90%, then those of the next region, and so on."""
    names, size = [f"c{at:03}" for at in range(count)], count // 10
    regions = [Tier(f"r{at}", tuple(names[at * size :][:size]), fill_to_ppm=900_000) for at in range(10)]
    rounds = [tuple(regions[at:] + regions[:at]) for at in range(10)]
    return tuple(Policy(f"from-{at}", at, Match(queues=(f"q{at}",)), tiers=tiers) for at, tiers in enumerate(rounds))


def all_different() -> Snapshot:
    """400,000 workloads of one or two replicas, no two of which ask for the same; ten queues fill region after
    region."""
    random = Random(SEED)
    served = tuple(
        Workload(
            f"w{at:06}",
            (Role("", 1 + at % 8 // 7, Resources.of({"cpu": 500 + at % 4000, "memory": (4 * 1024 + at) * 2**18})),),
            queue=f"q{at % 10}",
            submitted_at_s=float(random.randrange(10**6)),
        )
        for at in range(DIFFERENT)
    )
    return Snapshot(at_s=2e6, clusters=clusters(random, 192), workloads=served, policies=regional())


def policies() -> tuple[Policy, ...]:
    """One queue in four each: by room over all; two tiers; weights; ten small tiers with bounds."""
    ten = tuple(Tier(f"t{at}", clusters=(f"c{at:02}*",), fill_to_ppm=900_000) for at in range(10))
    two = (Tier("home", ("c00*", "c01*"), fill_to_ppm=950_000), Tier("rest", ("c*",), weight_by="price"))
    weights = {f"c{at:03}": Bounds(0, 50, at + 1) for at in range(CLUSTERS)}
    return (
        Policy("tiers", 1, Match(queues=("q1",)), tiers=two),
        Policy("weights", 2, Match(queues=("q2",)), bounds=weights),
        Policy("ten", 3, Match(queues=("q3",)), tiers=ten, bounds={"*": Bounds(0, 40)}),
    )


def workloads(
    random: Random, queues: int, shapes: int, count: int = WORKLOADS, replicas: int = REPLICAS
) -> tuple[Workload, ...]:
    """Alike in nothing that matters but, where ``shapes`` says so, in what they ask for."""
    known = [
        Resources.of(
            {
                "cpu": random.choice((1, 2, 4)) * 1000 + (at if shapes > 100 else 0),
                "memory": random.randrange(1, 16) * 2**29,
                GPU: 1 if at % 10 == 9 else 0,
            }
        )
        for at in range(shapes)
    ]
    return tuple(
        Workload(
            f"w{at:05}",
            (Role("", replicas, random.choice(known)),),
            queue=f"q{at % queues}",
            submitted_at_s=float(random.randrange(10**6)),
        )
        for at in range(count)
    )


def case(queues: int, shapes: int, nodes: int) -> Snapshot:
    """One federation; ten queues fill region after region."""
    random = Random(SEED)
    return Snapshot(
        at_s=2e6,
        clusters=clusters(random, nodes),
        workloads=workloads(random, queues, shapes),
        policies=regional() if queues == 10 else policies(),
    )


def with_quotas(snapshot: Snapshot) -> Snapshot:
    """The same federation with the queues in two cohorts, in which some borrow and some are held back."""
    amounts = ({"cpu": 10**8, "memory": 2**50}, {"cpu": 5 * 10**7, "memory": 2**49, GPU: 3000})
    lines = [Queue(f"q{at}", cohort="ab"[at % 2], quota=Resources.of(amounts[at % 4 // 2])) for at in range(10)]
    return replace(snapshot, queues=tuple(lines))


CASES: Mapping[str, tuple[str, Callable[[], Snapshot]]] = {
    "regional": ("ten tiers of 20 clusters, 40 shapes", lambda: case(10, 40, 96)),
    "regional-quotas": ("the same with quotas in two cohorts", lambda: with_quotas(case(10, 40, 96))),
    "regional-different": ("the same with 2,000 shapes", lambda: case(10, 2000, 96)),
    "mixed": ("four policies, 40 shapes, room for all", lambda: case(4, 40, 96)),
    "mixed-different": ("four policies, 2,000 shapes, room for all", lambda: case(4, 2000, 96)),
    "by-room": ("one tier of all clusters, 40 shapes, room for all", lambda: case(1, 40, 96)),
    "full": ("four policies, 40 shapes, room for a third", lambda: case(4, 40, 24)),
    "regional-easy": ("regional with a reservation", lambda: easy(case(10, 40, 96))),
    "running-easy": ("running with a reservation", lambda: easy(running(case(4, 40, 96)))),
    "all-different": ("400,000 workloads of one or two replicas, no two alike, ten tiers", all_different),
    "running": ("mixed, all of it running already", lambda: running(case(4, 40, 96))),
    "regional-filled": ("regional with three fillers on all clusters", lambda: filled(case(10, 40, 96))),
    "running-filled": ("running with three fillers on all clusters", lambda: filled(running(case(4, 40, 96)))),
}


def running(snapshot: Snapshot) -> Snapshot:
    """The same federation with its plan carried out (the nodes as they were, so that the room is the same)."""
    made = plan(snapshot)
    held = tuple(Holding(p.workload, p.role, p.cluster, p.replicas, age_s=3600.0) for p in made.placements)
    return replace(snapshot, holdings=held)


def easy(snapshot: Snapshot) -> Snapshot:
    """The same federation with ``backfilling: easy``."""
    return replace(snapshot, planning=Planning(backfilling="easy"))


def filled(snapshot: Snapshot) -> Snapshot:
    """The same federation with three fillers that hold some of every cluster already."""
    fillers, held = [], list(snapshot.holdings)
    for at, memory in enumerate((1, 2, 4)):
        role = Role("", 1_000_000, Resources.of({"cpu": 1000, "memory": memory * 2**30}))
        work = Workload(f"backfill-{at}", (role,), needs=frozenset({"backfill"}), backfill=True)
        fillers.append(Filler(work, weight=at + 1, keep_free={"*": {"*": 50_000}}, max_share=600_000))
        held += [Holding(work.name, "", cluster.name, 50, age_s=3600.0) for cluster in snapshot.clusters]
    return replace(snapshot, fillers=tuple(fillers), holdings=tuple(held))


def machine() -> str:
    """What it ran on."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{model}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def later(snapshot: Snapshot) -> Snapshot:
    """The federation a little later: a hundredth of its workloads want one replica more, and of a hundredth of its
    clusters half of what was free on their nodes is taken."""
    grown = {one.name for one in snapshot.workloads[::100]}
    served = tuple(
        replace(one, roles=tuple(replace(role, replicas=role.replicas + 1) for role in one.roles))
        if one.name in grown
        else one
        for one in snapshot.workloads
    )
    members = [fuller(one) if at % 100 == 50 else one for at, one in enumerate(snapshot.clusters)]
    return replace(snapshot, at_s=snapshot.at_s + 1, workloads=served, clusters=tuple(members))


def fuller(cluster: Cluster) -> Cluster:
    """The cluster with half as much free on every node."""
    half = [
        replace(flavor, nodes=tuple(NodeGroup(_halved(group.free), group.count) for group in flavor.nodes))
        for flavor in cluster.flavors or ()
    ]
    return replace(cluster, flavors=tuple(half))


def _halved(amounts: Resources) -> Resources:
    return Resources.of({name: amounts[name] // 2 for name in amounts})


def measure(name: str) -> None:
    """Print one line for a case."""
    words, make = CASES[name]
    times, cpu, again = [], [], []
    plan(make())  # compiles, or loads what was compiled before
    for _ in range(RUNS if name != "all-different" else 3):
        snapshot, ground = make(), Ground()
        start, busy = time.perf_counter(), time.process_time()
        made = plan(snapshot, ground=ground)
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
        changed = later(snapshot)
        busy = time.process_time()
        plan(changed, ground=ground)
        again.append(time.process_time() - busy)
    placed = sum(placement.replicas for placement in made.placements)
    refused = sum(refusal.replicas for refusal in made.refusals)
    median, spread = (
        statistics.median(times),
        f"least {min(times):.3f}, most {max(times):.3f}; cpu {statistics.median(cpu):.3f}, "
        f"after a change of 1% {statistics.median(again):.3f}",
    )
    sizes = f"{len(made.placements):,} placements of {placed:,} replicas, {refused:,} refused"
    print(f"{name:18} {median:7.3f} s  (limit {LIMITS_S.get(name, LIMIT_S):g} s; {spread})  {sizes}; {words}")


def profile(name: str) -> None:
    """Where the time goes, by function's own time."""
    snapshot = CASES[name][1]()
    profiler = cProfile.Profile()
    profiler.runcall(plan, snapshot)
    pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(10)


def main() -> None:
    """Measure all cases, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="only this case (may be repeated)")
    chosen = parser.parse_args().case or list(CASES)
    garbage.only_young()
    print(f"{machine()}; {CLUSTERS} clusters, {WORKLOADS:,} workloads of {REPLICAS} replicas, 3 resources; seed {SEED}")
    for name in chosen:
        measure(name)
    print(f"memory at its peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    profile(chosen[0])


if __name__ == "__main__":
    main()
