"""Proves a plan legal without knowing how it was made. Shares no code with the planner, only the model's values."""

from __future__ import annotations

from federator.engine.checks.answers import answered, gangs_whole, refusals_reasoned
from federator.engine.checks.backfill import backfill_yields
from federator.engine.checks.budgets import blamed_budgets_are_spent, budgets_kept
from federator.engine.checks.capacity import within_capacity, within_limits
from federator.engine.checks.facts import Facts
from federator.engine.checks.leaving import with_leaving
from federator.engine.checks.limits import blamed_limits_are_reached, limits_kept
from federator.engine.checks.moves import moves_legal
from federator.engine.checks.preemptions import preemptions_legal
from federator.engine.checks.quotas import within_cluster_quotas, within_quotas
from federator.engine.checks.reservations import reservations_kept
from federator.engine.checks.rules import hard_rules_kept, maxima_kept
from federator.engine.checks.tiers import tiers_in_order
from federator.model.plan import Plan, Snapshot

CHECKS = (
    answered,
    refusals_reasoned,
    hard_rules_kept,
    maxima_kept,
    within_limits,
    within_quotas,
    within_cluster_quotas,
    within_capacity,
    limits_kept,
    blamed_limits_are_reached,
    budgets_kept,
    blamed_budgets_are_spent,
    gangs_whole,
    tiers_in_order,
    moves_legal,
    reservations_kept,
    backfill_yields,
)


def violations(snapshot: Snapshot, plan: Plan) -> tuple[str, ...]:
    """What is wrong with the plan, one sentence each; empty where it is legal.

    Whether replicas of different shapes fit their nodes together is a packing problem. It is answered by finding a
    packing, or by a proof that there is none; the rare case between the two, where a search gave up, passes.
    """
    facts = Facts(with_leaving(snapshot, plan), plan)
    found = tuple(sentence for check in CHECKS for sentence in check(facts))
    return found + tuple(preemptions_legal(Facts(snapshot, plan))) if plan.preemptions else found


__all__ = ["CHECKS", "violations"]
