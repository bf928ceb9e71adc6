"""The clusters that pilots pull from, found by their names and by those of their pilots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federator.daemon.service import Conflict, NotFound
from federator.daemon.state import State
from federator.model.pilots import Mail, Pilot, PilotState
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


def pilots(state: State) -> dict[str, PilotSite]:
    """The site of each pilot, by the pilot's name."""
    return {name: one for one in sites(state) for name in one.names()}


def pilot_row(site: PilotSite, name: str) -> Mapping[str, Any]:
    """A pilot of that site, as people see it."""
    return next(iter(site.pilots([name])))


def site_of(state: State, pilot: str, cluster: str) -> PilotSite:
    """The cluster that a pilot's token is for. Raises UnknownPilot where there is no such cluster (any more)."""
    for one in sites(state):
        if one.name == cluster:
            return one
    raise UnknownPilot(f"pilot {pilot}: no cluster of provider pilots is called {cluster!r} (any more)")


def count_states(state: State) -> dict[tuple[str, ...], float]:
    """How many pilots are in which state, by (cluster, state)."""
    none = {str(state): 0 for state in PilotState}
    return {(one.name, name): float(n) for one in sites(state) for name, n in {**none, **one.states()}.items()}


def marks(state: State) -> dict[tuple[str, ...], float]:
    """1 where a site that is sent pilots takes none now, else 0, by (cluster, mark)."""
    return {(one.name, mark): float(holds) for one in sites(state) for mark, holds in one.marks.items()}
