"""From numbers to indices: nothing is given to two clusters at once."""

import itertools
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from federator.engine.assign import Assignment, Holder, assign, intent_id
from federator.model.indexset import IndexSet
from federator.model.intent import Intent, IntentState
from federator.model.plan import Placement
from federator.model.workload import Lifetime

CLUSTERS = ("a", "b", "c")


def holder(wanted: int, *intents: Intent, lifetime: Lifetime = Lifetime.BATCH, gang: bool = False) -> Holder:
    return Holder("w", "u1", "", lifetime, 1, IndexSet.span(0, wanted), intents, gang=gang)


def held(cluster: str, start: int, stop: int, wave: int = 0, state: IntentState = IntentState.SENT) -> Intent:
    return Intent(intent_id("w", "u1", wave), "w", "u1", "", cluster, IndexSet.span(start, stop), state, created_s=wave)


def settle(who: Holder, numbers: Mapping[str, int], lost: frozenset[str] = frozenset()) -> Assignment:
    placements = [Placement("w", "", c, n, "t", "p") for c, n in numbers.items()]
    return assign(who, placements, lost=lost, at_s=100.0, plan_id="p", next_wave=10)


def test_free_indices_go_to_where_too_few_run() -> None:
    made = settle(holder(9, held("a", 0, 2)), {"a": 6, "b": 3})
    assert {(i.cluster, str(i.indices)) for i in made.new} == {("a", "2-5"), ("b", "6-8")}
    assert made.changed == ()


def test_a_moved_replica_starts_again_only_when_it_has_left() -> None:
    running = held("a", 0, 6)
    first = settle(holder(6, running), {"a": 4, "b": 2})
    assert first.new == (), "both its indices are still at a"
    (shrunk,) = first.changed
    assert shrunk.withdrawn == IndexSet.of([4, 5])
    left = replace(running, indices=IndexSet.span(0, 4))
    then = settle(holder(6, left), {"a": 4, "b": 2})
    assert [(i.cluster, str(i.indices)) for i in then.new] == [("b", "4-5")]


def test_replicas_that_do_not_run_yet_are_withdrawn_first() -> None:
    who = replace(holder(6, held("a", 0, 3, 1), held("a", 3, 6, 2)), pending=IndexSet.of([1, 2]))
    changed = settle(who, {"a": 4}).changed
    assert [str(i.withdrawn) for i in changed] == ["1-2"]


def test_of_a_filler_what_loses_least_is_withdrawn_first_and_then_the_youngest() -> None:
    """At 100 s, with checkpoints every 40 s: who began at 1 has lost 19 s, at 25 35 s, at 59 1 s, at 99 1 s."""
    waves = [held("a", 2 * at, 2 * at + 2, wave) for at, wave in enumerate((1, 25, 59, 99))]
    saves = replace(holder(8, *waves), checkpoint_every_s=40.0)
    leaving = {i.created_s: str(i.withdrawn) for i in settle(saves, {"a": 3}).changed}
    assert sorted(leaving) == [1, 59, 99]
    assert leaving[1] == "1", "its two lose more than those of the last two"
    youngest = {i.created_s for i in settle(replace(saves, checkpoint_every_s=None), {"a": 6}).changed}
    assert youngest == {99}, "without checkpoints the youngest lose least"


def test_a_lost_cluster_gives_up_only_what_runs_elsewhere() -> None:
    away = held("a", 0, 4)
    made = settle(holder(4, away), {"b": 3}, lost=frozenset({"a"}))
    assert [(i.cluster, str(i.indices)) for i in made.new] == [("b", "0-2")]
    assert [(i.id, str(i.withdrawn)) for i in made.changed] == [(away.id, "0-2")]
    everything = settle(holder(4, away), {"b": 4}, lost=frozenset({"a"}))
    assert everything.changed[0].state is IntentState.LEAVING


def test_a_gang_waits_until_all_of_it_can_start() -> None:
    leaving = held("a", 0, 1, state=IntentState.LEAVING)
    assert settle(holder(4, leaving, gang=True), {"b": 4}).new == ()
    assert len(settle(holder(4, gang=True), {"b": 4}).new) == 1


def test_a_service_has_one_intent_a_cluster_whose_number_follows_the_plan() -> None:
    at_a = held("a", 0, 2)
    grown = settle(holder(5, at_a, lifetime=Lifetime.SERVICE), {"a": 4, "b": 1})
    assert [(i.cluster, len(i.indices), i.state) for i in grown.changed] == [("a", 4, IntentState.RECORDED)]
    assert [(i.cluster, len(i.indices)) for i in grown.new] == [("b", 1)]
    gone = settle(holder(1, at_a, lifetime=Lifetime.SERVICE), {"b": 1})
    assert [(i.cluster, i.state) for i in gone.changed] == [("a", IntentState.LEAVING)]


def test_a_service_at_a_lost_cluster_keeps_there_only_what_has_no_place_elsewhere() -> None:
    who = holder(5, held("a", 0, 5), lifetime=Lifetime.SERVICE)
    changed = settle(who, {"b": 3}, lost=frozenset({"a"})).changed
    assert [(i.cluster, len(i.indices)) for i in changed] == [("a", 2)]


def test_an_intent_is_named_alike_every_time_and_the_name_is_a_dns_label() -> None:
    assert intent_id("Reco_2031.x", "0123456789abcdef", 7) == "reco-2031-x-0123456789-7"
    assert len(intent_id("x" * 253, "0123456789ab", 123456)) <= 46
    assert intent_id("123", "ab", 0) == "w123-ab-0"


STATES = st.sampled_from([IntentState.RECORDED, IntentState.SENT, IntentState.LEAVING, IntentState.ENDED])


@st.composite
def holders(draw: st.DrawFn) -> Holder:
    """A workload whose indices are cut into intents at any clusters, in any state."""
    total = draw(st.integers(1, 12))
    cuts = sorted(draw(st.sets(st.integers(0, total), max_size=5)) | {0})
    intents = []
    for wave, (start, stop) in enumerate(itertools.pairwise(cuts)):
        cluster, state = draw(st.sampled_from(CLUSTERS)), draw(STATES)
        settled = IndexSet.span(start, stop) if state is IntentState.ENDED else IndexSet()
        intents.append(replace(held(cluster, start, stop, wave, state), settled=settled))
    finished = draw(st.frozensets(st.integers(0, total - 1), max_size=4))
    return replace(holder(total, *intents), wanted=IndexSet.span(0, total) - IndexSet.of(finished))


@given(
    holders(), st.lists(st.integers(0, 6), min_size=3, max_size=3), st.frozensets(st.sampled_from(CLUSTERS), max_size=2)
)
def test_no_index_is_ever_given_to_two_clusters_that_answer(
    who: Holder, numbers: list[int], lost: frozenset[str]
) -> None:
    made = settle(who, dict(zip(CLUSTERS, numbers, strict=True)), lost)
    after = {i.id: i for i in (*who.intents, *made.changed, *made.new)}.values()
    taken: list[int] = []
    for intent in after:
        if intent.cluster not in lost and intent.state is not IntentState.ENDED:
            taken.extend(intent.indices - intent.settled)
    assert len(taken) == len(set(taken)), "an index is at two clusters"
    given = [index for intent in made.new for index in intent.indices]
    assert set(given) <= set(who.wanted), "an index that is finished is run again"
    for intent in after:
        if intent.cluster in lost:
            assert not set(intent.live) & set(given), "a copy would be left when the cluster returns"


@given(holders(), st.lists(st.integers(0, 6), min_size=3, max_size=3))
def test_no_cluster_gets_more_than_the_plan_says(who: Holder, numbers: list[int]) -> None:
    made = settle(who, dict(zip(CLUSTERS, numbers, strict=True)))
    after = {i.id: i for i in (*who.intents, *made.changed, *made.new)}.values()
    for cluster, number in zip(CLUSTERS, numbers, strict=True):
        assert sum(len(i.live) for i in after if i.cluster == cluster) <= max(number, 0)
