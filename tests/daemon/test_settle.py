"""What may be concluded from an observation depends on when it began."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from federator.daemon.draft import Draft
from federator.daemon.settle import Answer, Rules, Settler
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, Intent, IntentState, ObservedIntent
from tests.daemon.federation import Federation, fake, named


async def dispatched(federation: Federation) -> str:
    """One running intent of four replicas at CERN; returns its id."""
    await federation.start()
    await federation.submit("reco", 4)
    await federation.run(3)
    (intent,) = federation.store.intents.values()
    assert intent.state is IntentState.SENT
    return intent.id


def settle(federation: Federation, *, began: int, intents: dict[str, ObservedIntent]) -> Draft:
    """Settle one observation of CERN that began at this tick."""
    state = federation.daemon.state
    member = state.members["cern"]
    assert member.observation is not None
    member.observation = replace(member.observation, intents=intents)
    member.began, member.settled_tick = began, -1
    draft = Draft(state, federation.clock.now_s())
    settler = Settler(state, draft, Rules())
    for _ in chain(settler.observation(member), settler.progress()):
        pass
    return draft


async def test_an_observation_that_began_before_the_answer_proves_no_absence(federation: Federation) -> None:
    """The watch lags: the order was answered while the observation was on its way."""
    sent = await dispatched(federation)
    answered = federation.daemon.state.answered[sent]
    assert settle(federation, began=answered - 1, intents={}).intents == {}
    late = settle(federation, began=answered + 1, intents={})
    assert late.intents == {sent: None}
    assert late.history[0].kind == "vanished"


async def test_a_removal_counts_only_when_the_cluster_has_answered_to_it(federation: Federation) -> None:
    sent = await dispatched(federation)
    state = federation.daemon.state
    state.intents[sent] = replace(state.intents[sent], state=IntentState.LEAVING)
    state.answered.pop(sent)
    assert settle(federation, began=10**6, intents={}).intents == {}
    state.answered[sent] = 10**6 + 1
    assert settle(federation, began=10**6 + 2, intents={}).intents == {sent: None}


async def test_an_end_that_is_reported_again_is_counted_once(federation: Federation) -> None:
    sent = await dispatched(federation)
    seen = {sent: ObservedIntent(sent, succeeded=IndexSet.span(0, 4))}
    first = settle(federation, began=10**6, intents=seen)
    assert first.records["reco"] is not None
    federation.daemon.state.adopt(first)
    again = settle(federation, began=10**6 + 1, intents=seen)
    assert again.history == []


async def test_a_late_answer_to_an_order_that_changed_meanwhile_settles_nothing(federation: Federation) -> None:
    sent = await dispatched(federation)
    state = federation.daemon.state
    state.intents[sent] = replace(state.intents[sent], state=IntentState.RECORDED, indices=IndexSet.span(0, 2))
    draft = Draft(state, 0.0)
    for _ in Settler(state, draft, Rules()).answers([Answer(sent, 1, IndexSet.span(0, 4), 0.0)]):
        pass
    assert draft.intents == {}


async def test_an_order_that_was_overtaken_by_its_withdrawal_closes_no_cluster(federation: Federation) -> None:
    sent = await dispatched(federation)
    state = federation.daemon.state
    state.intents[sent] = replace(state.intents[sent], state=IntentState.LEAVING)
    late = Answer(sent, 1, IndexSet.span(0, 4), 0.0, refused="Cancelled: it was cancelled before")
    for _ in Settler(state, Draft(state, 0.0), Rules()).answers([late]):
        pass
    assert state.exclusions == {}


@pytest.mark.parametrize(("own_fault", "counted"), [(True, {"": {1: 1}}), (False, {})])
async def test_only_a_replicas_own_failures_are_counted_against_it(
    federation: Federation, tmp_path: Path, own_fault: bool, counted: dict[str, dict[int, int]]
) -> None:
    sent = await dispatched(federation)
    failure = Failure(1, "Error", exit_code=1, own_fault=own_fault)
    draft = settle(federation, began=10**6, intents={sent: ObservedIntent(sent, failed=(failure,))})
    record = draft.records["reco"]
    assert record is not None
    assert record.failures == counted


async def filler_of_four(federation: Federation) -> Intent:
    """Four running replicas of a filler at CERN."""
    federation.write(fake("cern", cpu=4))
    await federation.start()
    work = {"replicas": 4, "requests": {"cpu": 1}, "container": {"command": ["simulate"], "env": {"FAKE_RUN_S": "900"}}}
    document = named("Backfill", "lhc", {"workload": work, "keepFree": "0%"})
    await federation.daemon.service.apply([document], owner="me", permit=lambda queue: None)
    await federation.until(lambda: federation.running("cern") == 4)
    await federation.run(2)
    (intent,) = federation.store.intents.values()
    return intent


def spent(federation: Federation, intent: Intent, *news: Answer) -> list[tuple[str, int]]:
    """(cause, replicas) of what is counted once its cluster has nothing of the intent any more."""
    state = federation.daemon.state
    state.intents[intent.id] = intent
    state.answered[intent.id] = 10**6
    member = state.members["cern"]
    assert member.observation is not None
    member.observation = replace(member.observation, intents={})
    member.began, member.settled_tick = 10**6 + 1, -1
    settler = Settler(state, Draft(state, federation.clock.now_s()), Rules())
    for _ in chain(settler.answers(news), settler.observation(member)):
        pass
    return [(one.cause, one.replicas) for one in settler.spent]


async def test_a_filler_whose_withdrawal_overtook_the_answer_to_its_order_is_counted(federation: Federation) -> None:
    """The order was taken, and the plan withdrew it before the answer was settled: it may have begun to run."""
    running = await filler_of_four(federation)
    overtaken = replace(running, state=IntentState.LEAVING, sent_s=0.0, reason="NoRoom: a replica needs 1 cpu")
    assert spent(federation, overtaken) == [], "nobody knows that it was ever sent"
    late = Answer(running.id, running.generation, running.indices, federation.clock.now_s() - 1.0)
    assert spent(federation, overtaken, late) == [("NoRoom", 4)]


async def test_fillers_that_their_cluster_has_lost_are_counted_beside_those_that_were_withdrawn(
    federation: Federation,
) -> None:
    """One was done, one was to leave; then the cluster shows nothing of the intent any more."""
    running = await filler_of_four(federation)
    left = replace(running, settled=IndexSet.of([0]), withdrawn=IndexSet.of([1]), reason="KeptFree: 1 cpu is free")
    assert spent(federation, left) == [("KeptFree", 1), ("Lost", 2)]


async def test_what_no_plan_asked_for_is_counted_as_withdrawn(federation: Federation) -> None:
    running = await filler_of_four(federation)
    gone = replace(running, state=IntentState.LEAVING, reason="the workload was cancelled")
    assert spent(federation, gone) == [("Withdrawn", 4)]
