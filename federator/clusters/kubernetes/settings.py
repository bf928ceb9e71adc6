"""How one Kubernetes cluster is reached and used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """The ``kubernetes`` block of a Cluster document."""

    kubeconfig: str = ""
    """The file with the server and the credentials. Empty: the pod's service account when the federator runs in a
    pod, else what ``KUBECONFIG`` names, else ``~/.kube/config``."""

    context: str = ""
    """The context of the file; empty: its current one."""

    namespace: str = "federator"
    """Where our objects live, unless ``namespace_per_queue``."""

    namespace_per_queue: bool = False
    """Each queue's objects live in a namespace that is named after the queue."""

    qps: float = 50.0
    """Writes per second, on average; 0: no limit."""

    burst: int = 100
    """Writes that may follow each other at once after a quiet time."""

    concurrency: int = 50
    """Writes under way at one time."""

    timeout_s: float = 15.0
    """The deadline of every call, and how long the cluster may be silent before it counts as unreachable."""

    priority_class: str = "federator-work"
    """The PriorityClass of our pods, made if it is missing; empty: none."""

    backfill_priority_class: str = "federator-backfill"
    """That of backfill."""
