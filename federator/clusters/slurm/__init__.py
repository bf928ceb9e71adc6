"""Clusters of Slurm: each intent is a few job arrays, sent through slurmrestd or by Slurm's commands over a prefix.

``records`` and ``flavors`` read what Slurm says, ``jobs`` and ``script`` make what it is sent, ``merging`` tells what
became of it, ``tokens`` why one is not accepted: all pure. ``rest`` and ``commands`` talk to Slurm, ``files`` to the
folder that jobs write to, ``ledger`` to the daemon's disk. ``pilot_jobs`` and ``pilot_queue`` send pilots instead.
"""

from federator.clusters.slurm.pilot_queue import SlurmQueue
from federator.clusters.slurm.provider import SlurmProvider
from federator.clusters.slurm.settings import SlurmSettings

__all__ = ["SlurmProvider", "SlurmQueue", "SlurmSettings"]
