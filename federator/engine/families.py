"""Families of plain workloads: alike but for how much they ask for and how many they are. Laid out once.

Whatever depends on amounts is left to compiled code (``engine/plain_turns.py``, which names the tables' columns).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from federator.engine.arrays import Array
from federator.engine.constraints import likeness
from federator.engine.federation import Federation
from federator.engine.fill import offered
from federator.engine.filling import BOUND, MAXIMUM, MINIMUM, TAKES, Times
from federator.engine.governing import Rule
from federator.engine.kinds import Kinds
from federator.engine.plain_tables import LASTING, PASSING
from federator.engine.weights import COSTS
from federator.engine.whole_cores import CORES
from federator.model.policy import FULL_PPM
from federator.model.reasons import Reason
from federator.model.resources import CPU, MEMORY
from federator.model.workload import Role, Workload

T = TypeVar("T", bound=np.generic)

NONE = -1
"""Of no family."""
_MOST = 256
"""Where there are more, the others take their turns one by one."""
_BY_AMOUNTS = frozenset({"fit", "foresight", "price"})
"""Weights that depend on how much is asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Of all families, a line each, but for what is by lot."""

    lot_classes: Array
    classes: Array
    scaled: Array
    sizes: Array
    resources: Array
    lots: Array
    members: Array
    desks: Array
    tiers: Array
    times: Times
    offers: Array
    closed: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    resources: Array
    lots: Array
    members: Array
    desk: Array
    tiers: Array
    times: Times
    offers: Array
    closed: Array
    hard: Sequence[Reason | None]
    """Why clusters take no such replica, whatever it asks for."""


class Families:
    """The families met so far."""

    def __init__(self, federation: Federation, kinds: Kinds) -> None:
        self._federation, self._kinds = federation, kinds
        self._numbers: dict[Hashable, int] = {}
        self._last: dict[int, tuple[Hashable, int]] = {}
        """By rule what was found last: mostly that is asked for again."""
        self._families: list[_Family] = []
        self._tables: Tables | None = None

    def again(self, federation: Federation, kinds: Kinds) -> Families:
        """The same families in the same federation at another moment."""
        other = copy(self)
        other._federation, other._kinds = federation, kinds
        return other

    @property
    def many(self) -> bool:
        """Whether there are nearly as many as there may be."""
        return 2 * len(self._families) > _MOST

    def of(self, workload: Workload, role: Role, rule: Rule, names: tuple[str, ...]) -> int:
        """The number of a workload's family; ``NONE`` where more than amounts must be looked at. ``names`` are the
        resources that the role asks the tables for."""
        key = (id(rule), workload.clusters, workload.needs, role.flavors, role.tolerations, names)
        last = self._last.get(id(rule))
        if last is not None and last[0] == key:
            return last[1]
        number = self._numbers.get(key)
        if number is None:
            number = NONE
            if len(self._families) < _MOST and not _looks_closer(workload, role, rule):
                number = len(self._families)
                self._families.append(self._lay_out(workload, role, rule, names))
            self._numbers[key] = number
        self._last[id(rule)] = key, number
        return number

    @property
    def tables(self) -> Tables:
        """The families' tables."""
        if self._tables is None or len(self._tables.sizes) < len(self._families):
            self._tables = self._stack()
        return self._tables

    def hard(self, family: int) -> Sequence[Reason | None]:
        """By cluster why it takes no replica of the family, whatever that asks for."""
        return self._families[family].hard

    def _lay_out(self, workload: Workload, role: Role, rule: Rule, names: tuple[str, ...]) -> _Family:
        federation = self._federation
        takes, lots, ranks = federation.feasibility.outline(workload, role, rule)
        eligibility = federation.feasibility.of(workload, role, rule, ())
        kind = self._kinds.of(workload, rule, eligibility)
        lasting = [eligibility.lasting(at) for at in range(len(federation.names))]
        hard = [one or state for one, state in zip(lasting, eligibility.states, strict=True)]
        closed = [LASTING if one else PASSING if any_ else 0 for one, any_ in zip(lasting, hard, strict=True)]
        desk = kind.desk.copy()
        desk[:, TAKES], desk[:, BOUND] = takes, federation.unbounded
        desk[:, MINIMUM], desk[:, MAXIMUM] = rule.minima, rule.maxima
        resources = [federation.nodes.at[name] for name in names]
        offers = np.zeros((2, len(rule.tiers), len(resources), 2), dtype=np.int64)
        for place, tier in enumerate(rule.tiers):
            for potential in range(2) if tier.fill_to_ppm < FULL_PPM else ():
                known = offered(federation, rule)[potential and federation.nodes.any_potential][place]
                offers[potential, place] = [
                    (known[at], -(-tier.fill_to_ppm * known[at] // FULL_PPM)) if name != CORES else (0, 0)
                    for at, name in zip(resources, names, strict=True)
                ]
        return _Family(
            np.array(resources, dtype=np.int64),
            np.stack([lots.astype(np.int64), ranks], axis=1),
            kind.members, desk, kind.tiers, kind.times, offers, np.array(closed, dtype=np.int64),
            [verdict.reason if verdict is not None else None for verdict in hard],
        )  # fmt: skip

    def _stack(self) -> Tables:
        nodes, families = self._federation.nodes, self._families
        lot_classes, classes = nodes.classes()
        return Tables(
            lot_classes=lot_classes,
            classes=classes,
            scaled=np.array([nodes.at.get(name, -1) for name in (CPU, MEMORY)], dtype=np.int64),
            sizes=np.array([(len(one.resources), len(one.tiers)) for one in families], dtype=np.int64),
            resources=_padded([one.resources for one in families]),
            lots=_padded([one.lots for one in families]),
            members=_padded([one.members for one in families]),
            desks=_padded([one.desk for one in families]),
            tiers=_padded([one.tiers for one in families]),
            times=_padded([one.times for one in families]),
            offers=_padded([one.offers for one in families]),
            closed=_padded([one.closed for one in families]),
        )


def _looks_closer(workload: Workload, role: Role, rule: Rule) -> bool:
    """Whether it depends on amounts in ways that are not laid out, or on what expressions read of the workload."""
    policy = rule.policy
    by = [tier.weight_by for tier in policy.tiers]
    if policy.flavors.by_price or not _BY_AMOUNTS.isdisjoint(by):
        return True
    sources = [policy.require.where, workload.clusters.where, role.flavors.where]
    sources += [choice.constraint.where for choice in policy.flavors.choices]
    sources += [one for one in by if one not in ("room", *COSTS)]
    return likeness(workload, *sources) is not None


def _padded(arrays: Sequence[NDArray[T]]) -> NDArray[T]:
    """The arrays as one, each with zeros behind it where another is longer."""
    sizes = np.max([one.shape for one in arrays], axis=0)
    stacked = np.zeros((len(arrays), *sizes), dtype=arrays[0].dtype)
    for line, one in zip(stacked, arrays, strict=True):
        line[tuple(map(slice, one.shape))] = one
    return stacked
