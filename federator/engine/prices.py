"""What a replica costs by the hour: of money by the prices of flavors and clusters, of CO2 by the energy they take.

Whole numbers: nano-units of money, and micrograms of CO2 equivalent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from federator.documents.quantities import price_unit
from federator.engine.arrays import Array
from federator.engine.lots import Lot
from federator.engine.shapes import ALLOWED, RANK, Shape
from federator.model.cluster import Cluster
from federator.model.resources import CPU, Resources, is_bytes

MOST = 2**40
"""The highest rate an hour: a thousand units of money for a core, and no overflow in what follows."""


class Prices:
    """Rates by lot. What nobody gives a price for costs nothing."""

    def __init__(self, clusters: Sequence[Cluster], lots: Sequence[Lot]) -> None:
        """``clusters`` and ``lots`` as in ``Nodes``."""
        self._clusters, self._lots = clusters, lots
        self._home = np.array([lot.cluster for lot in lots], dtype=np.int64)
        self._rates: dict[tuple[str, str], Array] = {}
        intensity = [min(MOST, max(0, round(cluster.carbon_g_per_kwh * 1000))) for cluster in clusters]
        self.intensity: Array = np.array(intensity, dtype=np.int64)
        """The carbon intensity of each cluster's energy, in mg of CO2 equivalent per kWh."""

    def money(self, requests: Resources) -> Array:
        """What one replica costs for an hour, by lot.

        Each resource by itself, rounded down: cores from millicores, GiB from whole MiB, everything else in pieces.
        """
        return self._sum(requests, "money", self._price)

    def carbon(self, requests: Resources) -> Array:
        """The CO2 of one replica in an hour, by lot: its power (in milliwatts, rounded down) times the intensity."""
        power = self._sum(requests, "power", self._power)
        intensity = self.intensity[self._home]
        carbon: Array = np.minimum(np.minimum(power, 2**31) * np.minimum(intensity, 2**31) // 1000, MOST)
        return carbon

    def first_choice(self, by_lot: Array, shape: Shape | None) -> Array:
        """Of each cluster, the rate of the flavor that such replicas use first; the highest, where several come first.

        Without a shape, or where the cluster has no flavor for them: the highest of all its flavors.
        """
        found = np.zeros(len(self._clusters), dtype=np.int64)
        np.maximum.at(found, self._home, by_lot)
        if shape is None:
            return found
        ranks = np.where(shape.terms[:, ALLOWED] > 0, shape.terms[:, RANK], MOST)
        lowest = np.full(len(self._clusters), MOST, dtype=np.int64)
        np.minimum.at(lowest, self._home, ranks)
        first = (ranks == lowest[self._home]) & (ranks < MOST)
        chosen = np.full(len(self._clusters), -1, dtype=np.int64)
        np.maximum.at(chosen, self._home[first], by_lot[first])
        return np.where(chosen >= 0, chosen, found)

    def _sum(self, requests: Resources, what: str, rate: Callable[[str, Lot], int]) -> Array:
        total = np.zeros(len(self._lots), dtype=np.int64)
        for name, amount in requests.items_:
            parts = 1000 if name == CPU else 1024 if is_bytes(name) else 1
            asked = min(amount >> 20 if is_bytes(name) else amount, 2**22)
            if (what, name) not in self._rates:
                self._rates[what, name] = np.array([rate(name, lot) for lot in self._lots], dtype=np.int64)
            total += self._rates[what, name] * asked // parts
        return np.minimum(total, MOST)

    def _price(self, name: str, lot: Lot) -> int:
        """Nano-units of money for a core, GiB or piece and hour; of the flavor, else of the cluster."""
        cluster = self._clusters[lot.cluster]
        price = lot.flavor.price.get(name, cluster.price.get(name, 0.0))
        return max(0, min(MOST, round(price * price_unit(name) * 1000)))

    def _power(self, name: str, lot: Lot) -> int:
        """Milliwatts of a core, GiB or piece."""
        return max(0, min(MOST, round(self._clusters[lot.cluster].power_w.get(name, 0.0) * 1000)))
