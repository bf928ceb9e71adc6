"""The state as JSON-able values, in the shapes that ``Service`` promises. Pure reading."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from federator.daemon.measure import capacity_of, free_of, used_of
from federator.daemon.state import Live, Member, State
from federator.engine.downtimes import coming, in_force
from federator.model.cluster import Downtime
from federator.model.intent import Intent
from federator.model.plan import Refusal
from federator.model.records import HistoryEntry, WorkloadRecord
from federator.model.resources import Resources, in_base_units
from federator.ports import PilotSite


def workload(state: State, live: Live, *, whole: bool = False) -> dict[str, Any]:
    """A workload; ``whole`` adds the document."""
    placements: Counter[str] = Counter()
    running = pending = 0
    policy = ""
    for intent in state.intents_of(live):
        member = state.members.get(intent.cluster)
        seen = member.observed(intent.id) if member else None
        runs = len(seen.running & intent.live) if seen else 0
        running += runs
        pending += len(intent.live) - runs
        if intent.live:
            placements[intent.cluster] += len(intent.live)
            policy = intent.policy
    finished = sum(len(indices) for indices in live.record.finished.values())
    wanted = max(live.spec.workload.replicas, running + pending)
    refused = refusals_of(state, live.record.name)
    if live.service and refused:
        wanted = running + pending + sum(r.replicas for r in refused)
    view = record(live.record)
    view |= {
        "labels": dict(live.spec.workload.labels),
        "priority": live.spec.workload.priority,
        "lifetime": str(live.spec.workload.lifetime),
        "replicas": wanted,
        "running": running,
        "pending": pending,
        "finished": finished,
        "waiting": 0 if live.record.state.over else max(0, wanted - finished - running - pending),
        "placements": dict(sorted(placements.items())),
        "policy": policy or (refused[0].policy if refused else ""),
        "message": live.record.message or why(refused),
    }
    if whole:
        view["document"] = live.record.document
    return view


def record(kept: WorkloadRecord) -> dict[str, Any]:
    """A workload as the store alone knows it: what is over is shown by this."""
    finished = sum(len(indices) for indices in kept.finished.values())
    return {
        "name": kept.name,
        "uid": kept.uid,
        "queue": kept.queue,
        "owner": kept.owner,
        "labels": {},
        "priority": 0,
        "lifetime": "",
        "state": str(kept.state),
        "replicas": finished,
        "running": 0,
        "pending": 0,
        "finished": finished,
        "failed": sum(sum(by_index.values()) for by_index in kept.failures.values()),
        "waiting": 0,
        "placements": {},
        "policy": "",
        "message": kept.message,
        "generation": kept.generation,
        "submittedAt": kept.submitted_s,
        "startedAt": kept.started_s,
        "endedAt": kept.ended_s,
    }


def refusals_of(state: State, name: str) -> Sequence[Refusal]:
    """What the last plan refused of a workload."""
    return state.refused.get(name, ())


def why(refusals: Iterable[Refusal]) -> str:
    """The reasons of a refusal in one line, clusters with the same words together."""
    for refusal in refusals:
        by_words: dict[str, list[str]] = defaultdict(list)
        for cluster, verdict in sorted(refusal.reasons.items()):
            by_words[verdict.message].append(cluster)
        return "; ".join(f"{', '.join(clusters)}: {words}" for words, clusters in by_words.items())
    return ""


def cluster(state: State, member: Member, at_s: float) -> dict[str, Any]:
    """A cluster."""
    seen = member.observation
    intents = [state.intents[i] for i in member.intents if i in state.intents]
    running = sum(len(s.running & i.live) for i in intents if (s := member.observed(i.id)))
    flavors = (seen.flavors if seen else member.cluster.flavors) or ()
    return {
        "name": member.cluster.name,
        "provider": member.cluster.provider,
        "labels": dict(member.cluster.labels),
        "health": str(member.health),
        "message": member.message,
        "version": seen.version if seen else "",
        "cordoned": member.cluster.cordoned or member.cluster.name in state.cordoned,
        "draining": member.retired or member.cluster.name in state.draining,
        "drainBy": state.drain_by_s.get(member.cluster.name),
        "downtime": _downtime(member.cluster.downtimes, at_s),
        "source": member.source,
        "capacity": in_base_units(capacity_of(member)),
        "used": {kind: in_base_units(amount) for kind, amount in used_of(member, state).items()},
        "free": in_base_units(free_of(member)),
        "flavors": [
            {
                "name": flavor.name,
                "count": flavor.count,
                "allocatable": in_base_units(flavor.allocatable),
                "free": in_base_units(sum((g.free.floor() * g.count for g in flavor.nodes), Resources())),
                "labels": dict(flavor.labels),
                "taints": [str(taint) for taint in flavor.taints],
            }
            for flavor in flavors
        ],
        "running": running,
        "pending": sum(len(i.live) for i in intents) - running,
        "lastSeen": seen.at_s if seen else None,
        "productionStart": state.starts.medians([member.cluster.name]),
        **_pilots(member),
    }


def _downtime(announced: Sequence[Downtime], at_s: float) -> dict[str, Any] | None:
    """The announced downtime that the cluster is drained for, else the next; None: there is none."""
    one = in_force(announced, at_s) or coming(announced, at_s)
    if one is None:
        return None
    state = "announced" if at_s < one.drained_from_s else "draining" if at_s < one.from_s else "begun"
    return {"from": one.from_s, "to": one.to_s, "drainFrom": one.drained_from_s, "reason": one.reason, "state": state}


def _pilots(member: Member) -> dict[str, Any]:
    """How many pilots it has, by state, and what they were used for since the daemon began; of no others."""
    site = member.provider
    if not isinstance(site, PilotSite):
        return {}
    return {"pilots": dict(site.states()), "pilotCpuSeconds": {use: round(s, 1) for use, s in site.used.items()}}


def policy(state: State, name: str) -> dict[str, Any]:
    """A policy, with how many workloads of the last plan it governs; its message: why its file was not read anew."""
    found = next(p for p in state.policies if p.name == name)
    governed = {p.workload for p in state.plan.placements if p.policy == name}
    governed |= {r.workload for r in state.plan.refusals if r.policy == name}
    return {
        "name": name,
        "order": found.order,
        "source": found.source,
        "document": document_of(state, "PlacementPolicy", name),
        "governs": len(governed),
        "shadow": found.shadow,
        "differs": state.shadows.get(name, 0),
        "message": "" if found.source == "api" else state.file_problem,
    }


def placements(state: State) -> list[dict[str, Any]]:
    """Where replicas are, by workload, role and cluster."""
    grouped: dict[tuple[str, str, str], list[Intent]] = defaultdict(list)
    for intent in state.intents.values():
        if intent.live:
            grouped[intent.workload, intent.role, intent.cluster].append(intent)
    rows = []
    for (name, role, at), intents in sorted(grouped.items()):
        member = state.members.get(at)
        running = sum(len(s.running & i.live) for i in intents if member and (s := member.observed(i.id)))
        replicas = sum(len(i.live) for i in intents)
        rows.append(
            {
                "name": f"{name}/{role}/{at}" if role else f"{name}/{at}",
                "workload": name,
                "role": role,
                "cluster": at,
                "replicas": replicas,
                "running": running,
                "pending": replicas - running,
                "tier": intents[-1].tier,
                "policy": intents[-1].policy,
                "intents": [i.id for i in intents],
            }
        )
    return rows


def document_of(state: State, kind: str, name: str) -> Mapping[str, Any]:
    """The document that an object was made from; empty for what has none."""
    for candidate in (kind, "ReplicaSchedulingPreference"):
        if (candidate, name) in state.file_objects:
            return state.file_objects[candidate, name][0]
        if (candidate, name) in state.objects:
            return state.objects[candidate, name].document
    return {}


def source_of(state: State, kind: str, name: str) -> str:
    """ "file:line" of what a file owns, "api" for the rest."""
    owned = state.file_objects.get((kind, name))
    return owned[1] if owned else "api"


def notes(state: State, live: Live) -> list[dict[str, Any]]:
    """What the clusters say of replicas that are there and do not run."""
    found = []
    for intent in state.intents_of(live):
        member = state.members.get(intent.cluster)
        seen = member.observed(intent.id) if member else None
        found += [
            {"cluster": intent.cluster, "index": note.index, "reason": note.reason, "message": note.message}
            for note in (seen.notes if seen else ())
        ]
    return found


def entry(item: HistoryEntry) -> dict[str, Any]:
    """A history entry."""
    return {
        "id": item.id,
        "at": item.at_s,
        "kind": item.kind,
        "message": item.message,
        "cluster": item.cluster,
        "plan": item.plan_id,
        "workload": item.workload,
        "details": dict(item.details),
    }
