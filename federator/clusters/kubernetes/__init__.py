"""The provider for Kubernetes clusters."""

from federator.clusters.kubernetes.provider import KubernetesProvider
from federator.clusters.kubernetes.settings import KubernetesSettings

__all__ = ["KubernetesProvider", "KubernetesSettings"]
