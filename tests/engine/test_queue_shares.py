"""What queues and cohorts have and may have, as a plan tells it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from federator.engine import queue_shares
from federator.engine.answer import explanation_document
from federator.engine.planner import plan
from federator.model.cluster import Health
from federator.model.plan import QueueShare, Snapshot
from federator.model.policy import BILLIONTHS, Cohort, Planning, Queue, QueueUsage
from federator.model.resources import Resources
from tests.engine.build import amounts, cluster, snapshot, workload

EIGHT = [cluster("cern", nodes=1, cpu=8, memory=64)]


def shares(seen: Snapshot, what: str) -> dict[str, float]:
    """One number of every queue, by name, rounded."""
    return {name: round(getattr(one, what), 6) for name, one in plan(seen).queues.items()}


def test_a_share_is_the_largest_part_of_any_resource_and_of_what_runs_now() -> None:
    """a uses 2 of 8 cores and 32 of 64 GiB; what waits, and what a lost or unknown cluster holds, is not used."""
    clusters = [*EIGHT, cluster("dark", health=Health.LOST)]
    work = [workload("w", 9, cpu=1, memory=16, queue="a"), workload("v", 4, queue="b")]
    held = {("w", "cern"): 2, ("w", "dark"): 1, ("v", "gone"): 1, ("old", "cern"): 1}
    found = plan(snapshot(clusters, work, held=held)).queues
    assert (found["a"].share, found["a"].dominant) == (0.25, "memory"), "32 of 128 GiB: a lost cluster's nodes count"
    assert found["a"].used == amounts(2, 32)
    assert found["b"] == QueueShare("b", by_weight=0.5, due=0.25)


def test_what_weights_give_goes_down_the_cohorts_and_what_nobody_asks_for_goes_to_the_others() -> None:
    lines = [
        Queue("a", cohort="x", weight=3),
        Queue("b", cohort="x"),
        Queue("c", weight=2),
        Queue("idle", weight=4),
    ]
    work = [workload(name, 99, queue=name) for name in "ac"] + [workload("b", 1, queue="b")]
    seen = snapshot([cluster("cern", cpu=100)], work, queues=lines, cohorts=[Cohort("x", weight=2)])
    assert shares(seen, "by_weight") == {"a": 0.1875, "b": 0.0625, "c": 0.25, "idle": 0.5}
    # Half each for the cohort and c; of the cohort's half b asks for one core, and a takes the rest of it.
    assert shares(seen, "due") == {"a": 0.49, "b": 0.01, "c": 0.5, "idle": 0.0}
    assert {name: one.by_weight for name, one in plan(seen).cohorts.items()} == {"x": 0.25}


def test_nothing_is_due_beyond_a_quota_and_what_is_borrowed_and_left_is_told() -> None:
    lines = [Queue("a", cohort="x", quota=amounts(1)), Queue("b", cohort="x", quota=amounts(3)), Queue("c")]
    work = [workload(name, 99, queue=name) for name in "ac"]
    seen = snapshot(EIGHT, work, queues=lines, held={("a", "cern"): 2})
    found = plan(seen).queues
    assert (found["a"].due, found["c"].due) == (0.5, 0.5)
    assert found["a"].borrowed == 0.25
    assert {name: dict(one.left) for name, one in found.items()} == {"a": {"cpu": 2000}, "b": {"cpu": 2000}, "c": {}}
    alone = snapshot(EIGHT, work, queues=[Queue("a", quota=amounts(1)), Queue("c")])
    assert shares(alone, "due") == {"a": 0.125, "c": 0.875}
    large = [workload("a", 99, memory=4, queue="a")]
    assert shares(snapshot(EIGHT, large, queues=lines), "due") == {"a": 0.5, "b": 0.0, "c": 0.0}, "of its memory too"


def test_what_was_had_lately_is_a_part_of_the_federation_and_of_a_cohort_the_sum() -> None:
    usage = [QueueUsage(name, Resources.of({"cpu": 2 * BILLIONTHS})) for name in ("a", "b", "gone")]
    lines = [Queue("a", cohort="x"), Queue("b", cohort="x")]
    seen = snapshot(EIGHT, [], queues=lines, usage=usage)
    assert shares(seen, "lately") == {"a": 0.25, "b": 0.25, "gone": 0.25}
    assert plan(seen).cohorts["x"].lately == 0.5


def test_weight_zero_gets_what_nobody_else_asks_for_and_a_federation_without_nodes_has_no_parts() -> None:
    lines, work = [Queue("a"), Queue("z", weight=0)], [workload("a", 2, queue="a"), workload("z", 99, queue="z")]
    seen = snapshot(EIGHT, work, queues=lines)
    assert shares(seen, "by_weight") == {"a": 1.0, "z": 0.0}
    assert shares(seen, "due") == {"a": 0.25, "z": 0.75}
    assert set(shares(snapshot([], work, queues=lines), "due").values()) == {0.0}


def test_an_explanation_tells_the_place_in_the_queue_and_its_share() -> None:
    work = [workload(name, 2, queue=name[0], submitted_at_s=float(at)) for at, name in enumerate(("a1", "b1", "a2"))]
    made = plan(snapshot(EIGHT, work, held={("a1", "cern"): 2}), explain=("a2", "b1"))
    places = {name: (one.queue.name, one.queue_position, one.position) for name, one in made.explanations.items()}
    assert places == {"a2": ("a", 2, 3), "b1": ("b", 1, 2)}
    document = explanation_document(made.explanations["a2"])
    assert (document["queue"], document["queuePosition"], document["queueShare"]["share"]) == ("a", 2, 0.25)
    in_turns = plan(snapshot(EIGHT, work, planning=Planning(order="fair")), explain=("a2",)).explanations["a2"]
    assert (in_turns.queue_position, in_turns.position) == (2, 0), "there is no order over all queues"


def test_shares_are_computed_once_and_only_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Snapshot] = []
    original = queue_shares.queue_shares

    def counting(seen: Snapshot) -> Any:
        calls.append(seen)
        return original(seen)

    monkeypatch.setattr(queue_shares, "queue_shares", counting)
    made = plan(snapshot(EIGHT, [workload("w", 1, queue="a")]))
    assert not calls
    assert (len(made.queues), len(made.cohorts), list(made.queues)) == (1, 0, ["a"])
    assert len(calls) == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_lists_changes_nothing_and_parts_make_no_more_than_a_whole(seed: int) -> None:
    random = Random(seed)
    cohorts = [Cohort("x", weight=random.randrange(3)), Cohort("y", parent="x", quota=amounts(random.randrange(4)))]
    lines = [
        Queue(
            f"q{at}",
            random.randrange(4),
            cohort=random.choice(("", "x", "y")),
            quota=random.choice((None, amounts(at))),
        )
        for at in range(6)
    ]
    work = [workload(f"w{at}", random.randrange(1, 9), queue=f"q{random.randrange(7)}") for at in range(12)]
    held = {(one.name, "cern"): 1 for one in work[:4]}
    usage = [QueueUsage(one.name, Resources.of({"cpu": random.randrange(10**10)})) for one in lines]
    given: Mapping[str, Any] = {"held": held, "planning": Planning(order=random.choice(("fifo", "fair")))}
    first = plan(snapshot(EIGHT, work, queues=lines, cohorts=cohorts, usage=usage, **given))
    for some in (work, lines, cohorts, usage):
        random.shuffle(some)
    second = plan(snapshot(EIGHT, work, queues=lines, cohorts=cohorts, usage=usage, **given))
    assert dict(first.queues) == dict(second.queues)
    assert dict(first.cohorts) == dict(second.cohorts)
    queues = first.queues.values()
    assert sum(one.due for one in queues) <= 1 + 1e-9
    assert sum(one.by_weight for one in queues) <= 1 + 1e-9
