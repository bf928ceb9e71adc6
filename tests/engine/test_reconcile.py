"""What one observation tells of intents."""

from dataclasses import replace

from federator.engine.reconcile import reconcile
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, Intent, IntentState, ObservedIntent

SENT = Intent("w-1-0", "w", "1", "", "cern", IndexSet.span(0, 4), state=IntentState.SENT)


def test_an_intent_that_a_cluster_should_have_and_has_not_has_vanished() -> None:
    (finding,) = reconcile([SENT], {}).findings
    assert finding.vanished
    assert not finding.gone


def test_nothing_is_concluded_from_the_absence_of_what_was_sent_too_late_to_show() -> None:
    assert reconcile([SENT], {}, unproven={"w-1-0"}).findings == ()
    leaving = replace(SENT, state=IntentState.LEAVING)
    assert reconcile([leaving], {}, unproven={"w-1-0"}).findings == ()


def test_an_intent_that_is_recorded_only_cannot_vanish() -> None:
    assert reconcile([replace(SENT, state=IntentState.RECORDED)], {}).findings == ()


def test_what_was_to_leave_and_is_not_there_is_gone() -> None:
    (finding,) = reconcile([replace(SENT, state=IntentState.LEAVING)], {}).findings
    assert finding.gone


def test_an_end_is_found_once() -> None:
    seen = ObservedIntent(
        "w-1-0", running=IndexSet.span(2, 4), succeeded=IndexSet.of([0]), failed=(Failure(1, "Error"),)
    )
    (finding,) = reconcile([SENT], {"w-1-0": seen}).findings
    assert (finding.succeeded, [f.index for f in finding.failed]) == (IndexSet.of([0]), [1])
    settled = replace(SENT, settled=IndexSet.of([0, 1]))
    assert reconcile([settled], {"w-1-0": seen}).findings == ()


def test_a_replica_that_was_told_to_leave_does_not_count_as_failed_but_its_success_counts() -> None:
    leaving = replace(SENT, state=IntentState.LEAVING)
    seen = ObservedIntent("w-1-0", succeeded=IndexSet.of([3]), failed=(Failure(1, "Error", exit_code=143),))
    (finding,) = reconcile([leaving], {"w-1-0": seen}).findings
    assert finding.succeeded == IndexSet.of([3])
    assert finding.failed == ()


def test_replicas_that_were_to_leave_and_have_are_found_while_the_rest_stays() -> None:
    shrinking = replace(SENT, withdrawn=IndexSet.of([2, 3]))
    seen = ObservedIntent("w-1-0", running=IndexSet.of([0, 1, 3]), failed=(Failure(2, "Killed"),))
    (finding,) = reconcile([shrinking], {"w-1-0": seen}).findings
    assert finding.left == IndexSet.of([2])
    assert finding.failed == ()


def test_what_nobody_means_is_an_orphan_unless_it_is_leaving_already() -> None:
    seen = {"x": ObservedIntent("x", running=IndexSet.of([0])), "y": ObservedIntent("y", leaving=True)}
    assert reconcile([], seen).orphans == ("x",)


def test_a_replica_that_somebody_took_out_of_an_intent_is_lost_at_no_cost() -> None:
    seen = ObservedIntent("w-1-0", pending=IndexSet.of([0]), running=IndexSet.of([1]), succeeded=IndexSet.of([3]))
    (finding,) = reconcile([SENT], {"w-1-0": seen}).findings
    assert [(f.index, f.reason, f.own_fault) for f in finding.failed] == [(2, "Lost", False)]
    assert not finding.vanished
    settled = replace(SENT, settled=IndexSet.of([2, 3]))
    assert reconcile([settled], {"w-1-0": seen}).findings == (), "found once"
    (sent_late,) = reconcile([SENT], {"w-1-0": seen}, unproven={"w-1-0"}).findings
    assert sent_late.failed == ()
    (recorded,) = reconcile([replace(SENT, state=IntentState.RECORDED)], {"w-1-0": seen}).findings
    assert recorded.failed == (), "its submission may be under way"
