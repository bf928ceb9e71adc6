"""What a replica takes of a cluster that gives it whole cores: one that asks for a part of a core takes all of it.

Sources: condor_submit(1), ``request_cpus``, and sbatch(1), ``--cpus-per-task``: whole numbers; 1 where nothing is said.
"""

from __future__ import annotations

from federator.model.resources import CPU, Resources

CORE = 1000
"""Millicores."""


def is_part(requests: Resources) -> bool:
    """Whether a part of a core is asked for."""
    return requests[CPU] % CORE > 0


def rounded(requests: Resources) -> Resources:
    """What a replica takes that is given whole cores."""
    return Resources.of({**requests, CPU: -(-requests[CPU] // CORE) * CORE}) if is_part(requests) else requests
