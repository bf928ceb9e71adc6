"""The clusters that pilots pull from, found by their names and by those of their pilots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from federator.daemon.service import Conflict, NotFound
from federator.daemon.state import State
from federator.model.pilots import Mail, Pilot
from federator.ports import PilotSite, UnknownPilot


def sites(state: State) -> list[PilotSite]:
    """All clusters that pilots pull from, by name."""
    found = (state.members[name].provider for name in sorted(state.members))
    return [provider for provider in found if isinstance(provider, PilotSite)]


def site(state: State, cluster: str) -> PilotSite:
    """One of them. Raises NotFound."""
    found = sites(state)
    for one in found:
        if one.name == cluster:
            return one
    names = ", ".join(one.name for one in found) or "none"
    raise NotFound(f"no cluster of provider pilots is called {cluster!r}; there are: {names}")


async def register(state: State, pilot: Pilot) -> Mail:
    """A pilot joins its cluster. Raises NotFound; Conflict where another cluster has a pilot of that name."""
    wanted = site(state, pilot.cluster)
    for other in sites(state):
        if other is not wanted and pilot.name in other.names():
            raise Conflict(f"a pilot called {pilot.name!r} belongs to {other.name}; names are unique for all clusters")
    return await wanted.register(pilot)


def pilot_names(state: State) -> Sequence[str]:
    """All pilots, by name."""
    return sorted(name for one in sites(state) for name in one.names())


def pilot_rows(state: State, names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """These pilots, by name; there may be thousands of others."""
    wanted = set(names)
    rows = (row for one in sites(state) for row in one.pilots(wanted & set(one.names())))
    return sorted(rows, key=lambda row: str(row["name"]))


def site_of(state: State, pilot: str, cluster: str) -> PilotSite:
    """The cluster that a pilot's token is for. Raises UnknownPilot where there is no such cluster (any more)."""
    for one in sites(state):
        if one.name == cluster:
            return one
    raise UnknownPilot(f"pilot {pilot}: no cluster of provider pilots is called {cluster!r} (any more)")


def count_states(state: State) -> dict[tuple[str, ...], float]:
    """How many pilots are in which state, by (cluster, state)."""
    none = dict.fromkeys(("active", "draining", "lost"), 0)
    return {(one.name, name): float(n) for one in sites(state) for name, n in {**none, **one.states()}.items()}


def marks(state: State) -> dict[tuple[str, ...], float]:
    """1 where a site that is sent pilots takes none now, else 0, by (cluster, mark)."""
    return {(one.name, mark): float(holds) for one in sites(state) for mark, holds in one.marks.items()}
