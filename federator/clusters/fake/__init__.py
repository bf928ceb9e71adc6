"""A cluster in memory, with faults to order: for tests, rehearsals and measurements of the daemon."""

from federator.clusters.fake.provider import FakeProvider
from federator.clusters.fake.settings import FakeSettings
from federator.clusters.fake.world import FakeCluster

__all__ = ["FakeCluster", "FakeProvider", "FakeSettings"]
