"""All that is known of a cluster, kept so that an observation costs no more than what changed since the last."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from federator.clusters.kubernetes.flavors import flavors_of, free_of
from federator.clusters.kubernetes.nodes import NodeRecord, read_node
from federator.clusters.kubernetes.objects import JOB, Kind, ObjectRecord, read_object
from federator.clusters.kubernetes.observe import Known, observed_intent
from federator.clusters.kubernetes.pods import Ending, PodRecord, read_pod
from federator.clusters.kubernetes.quantities import PODS
from federator.clusters.kubernetes.quotas import QuotaRecord, limits_of, read_quota
from federator.clusters.kubernetes.table import Table
from federator.clusters.kubernetes.timestamps import seconds
from federator.clusters.outcomes import Outcomes
from federator.model.cluster import Flavor
from federator.model.intent import Note, ObservedIntent
from federator.model.resources import Resources

Amounts = dict[str, int]


class Cache:
    """Nodes, pods, our objects and quotas of one cluster, and what they amount to.

    ``changed`` is set by every change; its reader clears it.
    """

    def __init__(self, federation: str, outcomes: Outcomes) -> None:
        """``outcomes`` hears what pods tell of checkpoints."""
        self.changed = asyncio.Event()
        self.nodes: Table[NodeRecord] = Table(self._node_moved)
        self.pods: Table[PodRecord] = Table(self._pod_moved)
        self.quotas: Table[QuotaRecord] = Table(lambda old, new: self.changed.set())
        self.intents: dict[str, Known] = {}
        # Each kind has a table of its own: a list of Deployments says nothing of Jobs.
        self._objects: dict[Kind, Table[ObjectRecord]] = {}
        self._federation = federation
        self._outcomes = outcomes
        self._used: dict[str, Amounts] = defaultdict(lambda: defaultdict(int))
        self._foreign: dict[str, Amounts] = defaultdict(lambda: defaultdict(int))
        self._free: dict[str, Resources] = {}
        self._flavors: tuple[Flavor, ...] | None = None
        self._observed: dict[str, ObservedIntent] = {}

    # -- what comes in: one reader for each kind of object --------------------

    def read_node(self, raw: Mapping[str, Any]) -> NodeRecord | None:
        return read_node(raw)

    def read_pod(self, raw: Mapping[str, Any]) -> PodRecord | None:
        return read_pod(raw, self._federation)

    def read_quota(self, raw: Mapping[str, Any]) -> QuotaRecord | None:
        return read_quota(raw)

    def read_object(self, raw: Mapping[str, Any], kind: Kind) -> ObjectRecord | None:
        return read_object(raw, kind, self._federation)

    def objects(self, kind: Kind) -> Table[ObjectRecord]:
        """Our objects of a kind."""
        if kind not in self._objects:
            self._objects[kind] = Table(self._object_moved)
        return self._objects[kind]

    def keep(self, raw: Mapping[str, Any], kind: Kind) -> None:
        """Take in the answer to a write: an observation after it shows it, however late the watch is."""
        record = self.read_object(raw, kind) if "metadata" in raw else None
        if record is not None:
            self.objects(kind).put(record)

    def hear(self, raw: Mapping[str, Any]) -> None:
        """An event in which a controller says why it cannot make the pods of a Job of ours."""
        involved = raw.get("involvedObject") or {}
        at_s = seconds(raw.get("lastTimestamp")) or seconds((raw.get("metadata") or {}).get("creationTimestamp"))
        job = self.objects(JOB).rows.get(str(involved.get("uid")))
        if job is not None:
            words = Note(0, str(raw.get("reason")), str(raw.get("message")), at_s)
            self.intents[job.intent].words[job.name] = words
            self._touch(job.intent)

    def leaving(self, row: ObjectRecord) -> None:
        """We have asked for the object's removal; the watch will say so later."""
        current = self.objects(row.kind).rows.get(row.uid)
        if current is not None and not current.deleting:
            self.objects(row.kind).put(replace(current, deleting=True))

    # -- what comes out ------------------------------------------------------

    def flavors(self) -> tuple[Flavor, ...]:
        """The flavors of the nodes that are there."""
        if self._flavors is None:
            there = [node for node in self.nodes.rows.values() if node.there]
            self._flavors = flavors_of([(node, self._free_of(node)) for node in there])
        return self._flavors

    def foreign(self) -> Resources:
        """What others' pods use of the nodes that are there."""
        total: Amounts = defaultdict(int)
        for node in self.nodes.rows.values():
            for name, amount in (self._foreign.get(node.name) or {}).items() if node.there else ():
                total[name] += amount
        return Resources.of(total)

    def limits(self, namespace: str) -> Resources | None:
        """What the quotas of our namespace leave us."""
        return limits_of([quota for quota in self.quotas.rows.values() if quota.namespace == namespace], self.flavors())

    def observed(self) -> dict[str, ObservedIntent]:
        """All intents that the cluster has something of."""
        for intent, known in self.intents.items():
            if intent not in self._observed:
                self._observed[intent] = observed_intent(intent, known)
        return dict(self._observed)

    # -- what changes with each arrival ----------------------------------------

    def _node_moved(self, old: NodeRecord | None, new: NodeRecord | None) -> None:
        if old is not None and new is not None and replace(old, version=new.version) == new:
            return  # a heartbeat
        for node in (old, new):
            if node is not None:
                self._free.pop(node.name, None)
        self._flavors = None
        self.changed.set()

    def _pod_moved(self, old: PodRecord | None, new: PodRecord | None) -> None:
        if old is not None and new is not None and replace(old, version=new.version) == new:
            return
        self._count(old, -1)
        self._count(new, 1)
        for pod in (old, new):
            if pod is not None and pod.ours is not None:
                known = self.intents.setdefault(pod.ours.intent, Known())
                if pod is new:
                    known.pods[pod.uid] = pod
                    if pod.ours.told:
                        self._outcomes.hear(pod.name, pod.ours.told)
                elif new is None or new.ours is None:
                    known.pods.pop(pod.uid, None)
                    self._outcomes.forget(pod.name)
                    _remember(known, pod)
                self._touch(pod.ours.intent)
        self.changed.set()

    def _object_moved(self, old: ObjectRecord | None, new: ObjectRecord | None) -> None:
        row = new or old
        assert row is not None
        known = self.intents.setdefault(row.intent, Known())
        if new is not None:
            known.objects[new.uid] = new
        else:
            known.objects.pop(row.uid, None)
        self._touch(row.intent)

    def _touch(self, intent: str) -> None:
        self._observed.pop(intent, None)
        known = self.intents.get(intent)
        if known is not None and not known.objects and not known.pods:
            del self.intents[intent]
        self.changed.set()

    def _count(self, pod: PodRecord | None, sign: int) -> None:
        """Add what the pod uses to its node, or take it away. What backfill uses counts as free."""
        if pod is None or pod.ended or not pod.node or (pod.ours is not None and pod.ours.backfill):
            return
        for amounts in (self._used[pod.node], *((self._foreign[pod.node],) if pod.ours is None else ())):
            for name, amount in (*pod.requests.items_, (PODS, 1)):
                amounts[name] += sign * amount
        self._free.pop(pod.node, None)
        self._flavors = None

    def _free_of(self, node: NodeRecord) -> Resources:
        free = self._free.get(node.name)
        if free is None:
            free = self._free[node.name] = free_of(node, self._used.get(node.name) or {})
        return free


def _remember(known: Known, pod: PodRecord) -> None:
    """Keep how a pod ended that is gone now: its Job may count it later, and cannot say why."""
    ours = pod.ours
    if ours is None or ours.index is None:
        return
    if pod.phase == "Succeeded":
        known.memory[ours.index] = (None, pod.node)
    elif pod.phase == "Failed":
        known.memory[ours.index] = (ours.ending or Ending("Error"), pod.node)
    else:
        message = "the pod was deleted before it ended"
        known.memory.setdefault(ours.index, (Ending("Deleted", message, own_fault=False), pod.node))
