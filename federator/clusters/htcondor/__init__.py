"""An HTCondor pool: replicas as jobs of one schedd.

``jobs`` (orders into jobs), ``slots`` (machines into flavors) and ``seen`` (jobs into observations) are pure;
``calls`` alone touches the bindings, in a process of its own that ``helper`` starts, asks and ends.
"""

from federator.clusters.htcondor.pilot_queue import ScheddQueue
from federator.clusters.htcondor.provider import HTCondorProvider
from federator.clusters.htcondor.settings import HTCondorSettings

__all__ = ["HTCondorProvider", "HTCondorSettings", "ScheddQueue"]
