"""Which holes a filler may not use, and why: prices, quiet hours, holes that are too short."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from federator.documents.quantities import format_amount, format_share
from federator.engine.federation import Federation
from federator.engine.quiet import quiet_for, quiet_in
from federator.engine.shapes import Shape
from federator.model.backfill import Filler
from federator.model.cluster import Cluster
from federator.model.plan import Reservation, Snapshot
from federator.model.reasons import Reason, Verdict
from federator.model.workload import Role

NANO_IN_MICRO = 1000


class Holes:
    """What is known of holes besides their size; verdicts by cluster."""

    def __init__(self, federation: Federation, snapshot: Snapshot, reservations: Sequence[Reservation]) -> None:
        self._federation, self._at_s = federation, snapshot.at_s
        self._ends: dict[str, float] = {}
        for one in reservations:
            self._ends[one.cluster] = min(one.at_s, self._ends.get(one.cluster, inf))

    def bars(self, filler: Filler, shape: Shape) -> list[Verdict | None]:
        """Why nothing of the filler may run on a cluster now, not even what runs already."""
        quiet_s = quiet_for(filler.quiet_hours, self._at_s)
        if quiet_s > 0:
            return [Verdict(Reason.QUIET_HOURS, {"left_s": int(quiet_s)})] * len(self._federation.names)
        prices = self._federation.prices
        cost = prices.first_choice(prices.money(filler.workload.roles[0].requests), shape).tolist()
        return [self._bar(filler, cluster, cost[at]) for at, cluster in enumerate(self._federation.clusters)]

    def _bar(self, filler: Filler, cluster: Cluster, cost: int) -> Verdict | None:
        if cluster.flavors is None:
            return Verdict(Reason.NOT_FILLED, {"detail": "its nodes are not known, so nobody can tell what is idle"})
        if cluster.limits is not None:
            detail = "a quota of its own would count backfill as production"
            return Verdict(Reason.NOT_FILLED, {"detail": detail})
        if filler.max_price is not None and cost > filler.max_price * NANO_IN_MICRO:
            facts = {"what": "a replica and hour", "costs": f"{cost / 1e9:g}", "most": f"{filler.max_price / 1e6:g}"}
            return Verdict(Reason.ABOVE_CAP, facts)
        if filler.max_carbon is not None and cluster.carbon_g_per_kwh > filler.max_carbon:
            costs, most = f"{cluster.carbon_g_per_kwh:g} gCO2e", f"{filler.max_carbon:g}"
            return Verdict(Reason.ABOVE_CAP, {"what": "a kWh", "costs": costs, "most": most})
        return None

    def left_s(self, filler: Filler) -> int | None:
        """How long it is until quiet hours; None: there are none."""
        quiet_s = quiet_in(filler.quiet_hours, self._at_s)
        return None if quiet_s == inf else int(quiet_s)

    def waits(self, filler: Filler, role: Role) -> list[Verdict | None]:
        """Why no more of it may start on a cluster now, though what runs may go on."""
        reported = self._federation.reported(role.requests)
        quiet_s = quiet_in(filler.quiet_hours, self._at_s)
        return [self._wait(filler, name, quiet_s, reported.get(at)) for at, name in enumerate(self._federation.names)]

    def _wait(self, filler: Filler, cluster: str, quiet_s: float, reported: str | None) -> Verdict | None:
        left_s = min(quiet_s, self._ends.get(cluster, inf))
        if left_s < filler.smallest_slice_s:
            return Verdict(Reason.HOLE_TOO_SHORT, {"left_s": int(left_s), "slice_s": int(filler.smallest_slice_s)})
        return Verdict(Reason.UNSCHEDULABLE, {"detail": reported}) if reported is not None else None


def at_share(filler: Filler) -> Verdict:
    """It has its share of the cluster."""
    return Verdict(Reason.AT_SHARE, {"share": format_share(filler.max_share)})


def kept_free(resource: str, free: int, kept: int) -> Verdict:
    """What is free of a resource is no more than what it leaves free."""
    return Verdict(
        Reason.KEPT_FREE,
        {"resource": resource, "free": format_amount(resource, free), "kept": format_amount(resource, kept)},
    )
