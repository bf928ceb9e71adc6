"""Every kind of document, by apiVersion and kind."""

from __future__ import annotations

from collections.abc import Mapping

from federator.documents.backfill import BackfillDocument
from federator.documents.cluster import ClusterDocument
from federator.documents.common import API_VERSION, Envelope
from federator.documents.configuration import ConfigurationDocument
from federator.documents.limit import LimitDocument
from federator.documents.policy import RSP_VERSIONS, PolicyDocument, PreferenceDocument
from federator.documents.policy_test import PolicyTestDocument
from federator.documents.queue import CohortDocument, PlacementDocument, PlanningDocument, QueueDocument
from federator.documents.scenario import ScenarioDocument
from federator.documents.workload import WorkloadDocument

KINDS: Mapping[str, type[Envelope]] = {
    "Cluster": ClusterDocument,
    "Workload": WorkloadDocument,
    "PlacementPolicy": PolicyDocument,
    "ReplicaSchedulingPreference": PreferenceDocument,
    "Queue": QueueDocument,
    "Cohort": CohortDocument,
    "Limit": LimitDocument,
    "Planning": PlanningDocument,
    "Placement": PlacementDocument,
    "Backfill": BackfillDocument,
    "PolicyTest": PolicyTestDocument,
    "Scenario": ScenarioDocument,
    "Configuration": ConfigurationDocument,
}
"""The model of each kind of ours (and KubeFed's), by its name."""

VERSIONS: Mapping[str, tuple[str, ...]] = {
    kind: RSP_VERSIONS if kind == "ReplicaSchedulingPreference" else (API_VERSION,) for kind in KINDS
}
"""The apiVersions in which each kind is read."""

NATIVE_KINDS: Mapping[str, str] = {
    "Job": "batch/v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "MPIJob": "kubeflow.org/v2beta1",
}
"""Native kinds that are known by name; others are read by their annotations."""

PLAIN_GROUPS = ("apps", "batch", "extensions")
"""Groups of Kubernetes itself: a kind of theirs that is not among the native kinds is no workload."""
