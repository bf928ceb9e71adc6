"""Clusters whose replicas are pulled by pilots: agents on worker nodes that somebody else has started."""

from federator.clusters.pilots.provider import PilotsProvider
from federator.clusters.pilots.settings import PilotsSettings

__all__ = ["PilotsProvider", "PilotsSettings"]
