"""A fake cluster that gives whole cores binds as the planner counts."""

from __future__ import annotations

from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.clock import VirtualClock
from federator.daemon.providers import Surroundings, make_provider
from federator.documents import read_files
from federator.engine.planner import plan
from federator.model.cluster import Binding, Cluster
from tests.clusters.fake.test_faults import fake, flavor, order
from tests.contracts.harness import free_cpu, observe
from tests.engine.build import placed, snapshot, workload
from tests.fake_lines import FakeLines


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from((0, 1, 250, 500, 1000, 1500, 2001)),
    st.integers(1, 3),
    st.sampled_from((1000, 4000, 4500)),
    st.sampled_from(Binding),
    st.booleans(),
)
async def test_as_many_are_bound_as_are_planned(cpu: int, nodes: int, size: int, binding: Binding, whole: bool) -> None:
    there = flavor(nodes, size)
    cluster = Cluster("pretended", flavors=(there,), binding=binding, whole_cores=whole)
    work = workload("w", 20_000, cpu=cpu / 1000)
    planned = sum(placed(plan(snapshot([cluster], [work])), "w").values())
    provider = fake(VirtualClock(), flavors=(there,), binding=binding, whole_cores=whole)
    one = order(range(20_000), cpu=cpu)
    await provider.submit(one)
    observation = await observe(provider)
    assert observation.intents[one.intent.id].bound == planned
    more = workload("more", 9, cpu=cpu / 1000)
    assert observation.flavors is not None
    seen = Cluster("pretended", flavors=observation.flavors, binding=binding, whole_cores=whole)
    room = sum(placed(plan(snapshot([seen], [more])), "more").values())
    assert room == (0 if cpu or whole else 9), "what is shown as free has no room for another, if it needs any"


async def test_what_ends_gives_its_cores_back() -> None:
    clock = VirtualClock()
    provider = fake(clock, whole_cores=True)
    one = order(range(10), cpu=500)
    await provider.submit(one)
    observation = await observe(provider)
    assert (observation.intents[one.intent.id].bound, free_cpu(observation)) == (8, 0)
    await clock.advance(10)
    observation = await observe(provider)
    assert (len(observation.intents[one.intent.id].succeeded), free_cpu(observation)) == (8, 6000)
    await clock.advance(10)
    assert free_cpu(await observe(provider)) == 8000


async def test_as_many_nodes_boot_as_whole_cores_need() -> None:
    clock = VirtualClock()
    provider = fake(
        clock, whole_cores=True, flavors=(flavor(1, 2000, max_count=9, boot_time_s=60.0),), run_time_s=1000.0
    )
    one = order(range(10), cpu=500)
    await provider.submit(one)
    await clock.advance(60)
    observation = await observe(provider)
    assert observation.flavors is not None
    assert (observation.intents[one.intent.id].bound, observation.flavors[0].count) == (10, 5)


async def test_a_document_says_so(tmp_path: Path) -> None:
    allocatable = {"cpu": 4, "memory": "16Gi"}
    spec = {
        "provider": "fake",
        "wholeCores": True,
        "fake": {},
        "flavors": [{"name": "f", "count": 1, "allocatable": allocatable}],
    }
    head = {"apiVersion": "federator.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "c"}}
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({**head, "spec": spec}))
    [document] = read_files([file]).clusters
    provider = make_provider(document, Surroundings(tmp_path, VirtualClock(0.0), "fed", FakeLines()))
    one = order(range(10), cpu=500)
    await provider.submit(one)
    assert (await observe(provider)).intents[one.intent.id].bound == 4
