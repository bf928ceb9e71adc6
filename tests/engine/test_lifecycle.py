"""The tables of lives hold what people rely on."""

import pytest

from federator.engine.lifecycle import (
    INTENT_STEPS,
    WORKLOAD_STEPS,
    ImpossibleStep,
    IntentEvent,
    WorkloadEvent,
    next_intent_state,
    next_workload_state,
)
from federator.model.intent import IntentState
from federator.model.records import WorkloadState


def test_a_workload_that_is_over_stays_over() -> None:
    for (state, _), after in WORKLOAD_STEPS.items():
        if state.over:
            assert after is state


def test_every_workload_can_come_to_an_end_from_where_it_is() -> None:
    for state in WorkloadState:
        reached, before = {state}, set()
        while reached != before:
            before = set(reached)
            reached |= {after for (at, _), after in WORKLOAD_STEPS.items() if at in reached}
        assert any(s.over for s in reached), f"{state} never ends"


def test_what_leaves_never_comes_back() -> None:
    for (state, _), after in INTENT_STEPS.items():
        if state is IntentState.LEAVING:
            assert after is IntentState.LEAVING


def test_an_impossible_step_tells_whose_story_it_is() -> None:
    with pytest.raises(ImpossibleStep, match="workload reco is finished: 'started' cannot happen to it"):
        next_workload_state("reco", WorkloadState.FINISHED, WorkloadEvent.STARTED)
    with pytest.raises(ImpossibleStep, match="intent reco-1-0 is leaving"):
        next_intent_state("reco-1-0", IntentState.LEAVING, IntentEvent.CHANGED)
