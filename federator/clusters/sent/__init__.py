"""Pilots that the federator sends to a batch system itself, as many as what waits needs; for every batch system alike.

``queue`` is what a batch system is asked, ``missing`` remembers what it does not tell, ``provider`` keeps watch.
"""

from federator.clusters.sent.provider import SentPilots
from federator.clusters.sent.queue import PilotQueue, QueueAway, Queued
from federator.clusters.sent.settings import PilotJobs

__all__ = ["PilotJobs", "PilotQueue", "QueueAway", "Queued", "SentPilots"]
