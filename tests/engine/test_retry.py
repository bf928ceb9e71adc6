"""What becomes of a replica that failed."""

from federator.engine.retry import IN_A_ROW, LONGEST_REST_S, decide, filler_rest_s
from federator.model.intent import Failure


def test_a_replica_that_was_taken_away_goes_back_at_once_and_pays_nothing() -> None:
    decision = decide(Failure(3, "Evicted", own_fault=False), failed_before=99, retries=0)
    assert (decision.again, decision.rest_s, decision.code) == (True, 0.0, "TakenAway")


def test_a_replica_is_run_again_as_often_as_its_workload_allows_and_no_more() -> None:
    outcomes = [decide(Failure(0, "Error", exit_code=1), n, retries=3).again for n in range(5)]
    assert outcomes == [True, True, True, False, False]


def test_it_rests_longer_each_time_up_to_a_limit() -> None:
    rests = [decide(Failure(0, "Error"), n, retries=100).rest_s for n in range(12)]
    assert rests == sorted(rests)
    assert rests[:4] == [2, 4, 8, 16]
    assert rests[-1] == LONGEST_REST_S


def test_the_words_name_the_replica_the_reason_the_node_and_the_exit_code() -> None:
    words = decide(Failure(7, "OOMKilled", "used 3 GiB", 137, "n-2"), 0, 1).words
    assert words == ("replica 7 ended with OOMKilled (exit code 137) on n-2: used 3 GiB; retry 1 of 1 in 2 s")


def test_a_filler_rests_once_too_many_of_its_tasks_were_set_aside_in_a_row() -> None:
    rests = [filler_rest_s(failed) for failed in (0, IN_A_ROW - 1, IN_A_ROW, IN_A_ROW + 1, IN_A_ROW + 2, 10**6)]
    assert rests == [0, 0, 2, 4, 8, LONGEST_REST_S]
