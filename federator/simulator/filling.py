"""What backfill did in a run, for its record."""

from __future__ import annotations

from federator.documents.backfill import PREFIX
from federator.simulator.looks import Looks
from federator.simulator.measures import HOUR_S, Measures
from federator.simulator.record import FillerRow


def filler_rows(measures: Measures) -> list[FillerRow]:
    """What each filler did on each cluster, by name."""
    places = {*measures.backfill_useful_s, *measures.backfill_lost_s, *measures.evicted}
    return [
        FillerRow(
            name_of(workload), cluster,
            round(measures.backfill_useful_s[workload, cluster] / HOUR_S, 6),
            round(measures.backfill_lost_s[workload, cluster] / HOUR_S, 6),
            dict(sorted(measures.evicted[workload, cluster].items())),
        )
        for workload, cluster in sorted(places)
    ]  # fmt: skip


def kept_at_looks(looks: Looks) -> dict[str, list[float]]:
    """Cores that each filler that ever kept any kept free, at each look."""
    names = sorted({name for look in looks.looks for name, cores in look.kept.items() if cores})
    return {name_of(name): [look.kept.get(name, 0.0) for look in looks.looks] for name in names}


def name_of(workload: str) -> str:
    """The name of a filler's document."""
    return workload.removeprefix(PREFIX)
