"""Plans and explanations as JSON documents, in the shape that ``federator plan -o json`` prints."""

from __future__ import annotations

from typing import Any

from federator.documents.quantities import format_amount
from federator.model.backfill import Filled, Kept
from federator.model.plan import Explanation, FlavorShare, Plan, QueueShare, Share, WholeCores
from federator.model.resources import CPU, in_base_units


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan: placements are the wanted state, sorted by workload, then cluster (then role).

    ``role`` stands only where a workload has several roles, which is where any of its roles has a name.
    """
    placements = sorted(plan.placements, key=lambda p: (p.workload, p.cluster, p.role))
    refusals = sorted(plan.refusals, key=lambda r: (r.workload, r.role))
    return {
        "placements": [
            {
                "workload": placement.workload,
                **_role(placement.role),
                "cluster": placement.cluster,
                "replicas": placement.replicas,
                "tier": placement.tier,
                "policy": placement.policy,
            }
            for placement in placements
        ],
        "refusals": [
            {
                "workload": refusal.workload,
                **_role(refusal.role),
                "replicas": refusal.replicas,
                "reasons": {
                    name: {"reason": verdict.reason.value, "message": verdict.message}
                    for name, verdict in sorted(refusal.reasons.items())
                },
            }
            for refusal in refusals
        ],
        "preemptions": [
            {
                "workload": preemption.workload,
                **_role(preemption.role),
                "cluster": preemption.cluster,
                "replicas": preemption.replicas,
                "by": preemption.by,
                "reason": preemption.reason,
            }
            for preemption in plan.preemptions
        ],
        "moves": [
            {
                "workload": move.workload,
                **_role(move.role),
                "from": move.source,
                "to": move.target,
                "replicas": move.replicas,
            }
            for move in plan.moves
        ],
        "reservations": [
            {
                "workload": reservation.workload,
                "cluster": reservation.cluster,
                "at_s": reservation.at_s,
                "replicas": reservation.replicas,
            }
            for reservation in plan.reservations
        ],
        "backfill": [filled_document(filled) for filled in plan.backfill],
    }


def filled_document(filled: Filled) -> dict[str, Any]:
    """What a filler should run, by cluster, and why it is no more there."""
    return {
        "workload": filled.workload,
        "replicas": dict(sorted(filled.replicas.items())),
        "reasons": {
            name: {"reason": verdict.reason.value, "message": verdict.message}
            for name, verdict in sorted(filled.why.items())
        },
        "keptFree": {name: [kept_document(one) for one in kept] for name, kept in sorted(filled.kept.items())},
    }


def kept_document(kept: Kept) -> dict[str, Any]:
    """What a filler leaves free of a resource, by which field of its document, and what the others come to."""
    amounts = {"kept": kept.amount, "keepFree": kept.fixed, "idleFor": kept.lately, "idleAtMost": kept.at_most}
    shown = {name: in_base_units({kept.resource: amount})[kept.resource] for name, amount in amounts.items()}
    return {"resource": kept.resource, "rule": kept.rule, **shown}


def filler_explanation(filled: Filled) -> dict[str, Any]:
    """Why a filler is where it is, in the form of the explanation of a workload."""
    clusters = [
        {"cluster": name, "replicas": filled.replicas.get(name, 0), "reason": one.reason.value, "message": one.message}
        for name, one in sorted(filled.why.items())
    ]
    return {"workload": filled.workload, "policy": "backfill", "clusters": clusters}


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """Why a workload is where it is; one entry for each role and cluster."""
    several = any(share.role for share in explanation.shares)
    return {
        "workload": explanation.workload,
        "policy": explanation.policy,
        "source": explanation.policy_source,
        "position": explanation.position,
        "expected_start_s": explanation.expected_start_s,
        "clusters": [_share_document(share, several) for share in explanation.shares],
        "flavors": [_flavor_document(share, several) for share in explanation.flavors],
        "smallest": explanation.smallest,
        "cures": list(explanation.cures),
        "queue": explanation.queue.name,
        "queuePosition": explanation.queue_position,
        "queueShare": share_document(explanation.queue),
    }


def share_document(one: QueueShare) -> dict[str, Any]:
    """What a queue or cohort has and may have: shares from 0 to 1, and what its quotas leave."""
    return {
        "share": round(one.share, 6),
        "dominant": one.dominant,
        "byWeight": round(one.by_weight, 6),
        "due": round(one.due, 6),
        "lately": round(one.lately, 6),
        "borrowed": round(one.borrowed, 6),
        "left": in_base_units(one.left),
    }


def _share_document(share: Share, several: bool) -> dict[str, Any]:
    return {
        **({"role": share.role} if several else {}),
        "cluster": share.cluster,
        "tier": share.tier,
        "room": share.room,
        "weight": share.weight,
        "min": share.minimum,
        "max": share.maximum,
        "running": share.held,
        "share": None if share.ideal is None else round(share.ideal, 3),
        "replicas": share.replicas,
        **({"lacks": share.lacks_bytes, "nearness": round(share.nearness, 3)} if share.lacks_bytes else {}),
        **({"wholeCores": _whole_cores(share.whole_cores)} if share.whole_cores else {}),
        "reason": share.verdict.reason.value if share.verdict else None,
        "message": share.verdict.message if share.verdict else None,
    }


def _whole_cores(told: WholeCores) -> dict[str, Any]:
    return {"asked": format_amount(CPU, told.asked_millicores), "takes": told.takes, "most": told.most}


def _flavor_document(share: FlavorShare, several: bool) -> dict[str, Any]:
    return {
        **({"role": share.role} if several else {}),
        "cluster": share.cluster,
        "flavor": share.flavor,
        "rank": share.rank,
        "room": share.room,
        "couldAdd": share.extra,
        "boot_s": share.boot_s,
        "price": share.price,
        "reason": share.verdict.reason.value if share.verdict else None,
        "message": share.verdict.message if share.verdict else None,
    }


def _role(role: str) -> dict[str, str]:
    return {"role": role} if role else {}
