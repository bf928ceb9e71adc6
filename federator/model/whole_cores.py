"""What a replica takes of a cluster that gives it whole cores: one that asks for a part of a core takes all of it, and
one that asks for none takes one.

Sources: condor_submit(1), ``request_cpus``, and sbatch(1), ``--cpus-per-task``: whole numbers; 1 where nothing is said.
"""

from __future__ import annotations

from federator.model.resources import CPU, Resources

CORE = 1000
"""Millicores."""


def takes_more(requests: Resources) -> bool:
    """Whether a replica takes more cpu there than it asks for: it asks for a part of a core, or for none."""
    return requests[CPU] % CORE > 0 or requests[CPU] == 0


def rounded(requests: Resources) -> Resources:
    """What a replica takes that is given whole cores; one at least."""
    return Resources.of({**requests, CPU: (requests[CPU] // CORE + 1) * CORE}) if takes_more(requests) else requests
