"""Whether a replica that ended badly is run again: a pure decision, with a code for metrics and words for people."""

from __future__ import annotations

from dataclasses import dataclass

from federator.model.intent import Failure

FIRST_REST_S = 2.0
LONGEST_REST_S = 300.0
IN_A_ROW = 10
"""So many tasks of a filler may fail one after the other before it starts none for a while."""


@dataclass(frozen=True, slots=True)
class Decision:
    """``again``: the replica goes back to the queue, but not before ``rest_s`` seconds have passed."""

    again: bool
    rest_s: float
    code: str
    words: str


def decide(failure: Failure, failed_before: int, retries: int) -> Decision:
    """What becomes of a replica that failed, having failed ``failed_before`` times by its own fault.

    A replica that the cluster took away (evicted, node lost) goes back at once and pays nothing. One that failed by
    itself is run again up to ``retries`` times, after a rest that doubles each time, as Kubernetes does for Jobs.
    """
    where = f" on {failure.node}" if failure.node else ""
    exit_words = f" (exit code {failure.exit_code})" if failure.exit_code is not None else ""
    what = f"replica {failure.index} ended with {failure.reason}{exit_words}{where}"
    if failure.message:
        what = f"{what}: {failure.message}"
    if not failure.own_fault:
        return Decision(True, 0.0, "TakenAway", f"{what}; not by its own fault, it goes back to the queue")
    if failed_before >= retries:
        return Decision(False, 0.0, "RetriesExhausted", f"{what}; it has failed {failed_before + 1} times")
    rest_s = min(FIRST_REST_S * 2**failed_before, LONGEST_REST_S)
    return Decision(True, rest_s, "Retry", f"{what}; retry {failed_before + 1} of {retries} in {rest_s:g} s")


def filler_rest_s(failed_in_a_row: int) -> float:
    """How long a filler starts no task, so that a bag whose tasks all fail is not burnt through; 0: it may go on."""
    too_many = failed_in_a_row - IN_A_ROW
    return min(FIRST_REST_S * 2.0 ** min(too_many, 10), LONGEST_REST_S) if too_many >= 0 else 0.0
