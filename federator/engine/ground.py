"""What plans that follow one another have in common: clusters, policies and kinds of work, laid out once.

From one plan to the next little more changes than what is free, what runs and what waits. Whoever plans again and again
keeps a ``Ground``; a plan made on it is the plan made without it (``tests/properties/test_ground.py``).
"""

from __future__ import annotations

from dataclasses import replace

from federator.engine.families import Families
from federator.engine.federation import Federation, asked_for
from federator.engine.kinds import Kinds
from federator.model.cluster import Cluster
from federator.model.plan import Snapshot
from federator.model.resources import Resources

_PLANS = 1000
"""After so many plans everything is laid out anew, so that what is no longer asked for is forgotten."""
_SHAPES = 20_000
"""The same where more kinds of replicas than this are known."""


class Ground:
    """Kept by one who plans again and again, one plan after the other. Empty at first."""

    def __init__(self) -> None:
        self._laid_out: tuple[Federation, Kinds, Families] | None = None
        self._faces: dict[str, tuple[Cluster, object]] = {}
        self._common: object = None
        self._plans = 0

    def stand(self, snapshot: Snapshot) -> tuple[Federation, Kinds, Families]:
        """The federation as it stands in the snapshot, and its kinds and families of work."""
        common = self._common_of(snapshot)
        if self._laid_out is None or common != self._common or self._is_worn:
            federation = Federation(snapshot)
            kinds = Kinds(federation)
            families = Families(federation, kinds)
            self._laid_out, self._common, self._plans = (federation, kinds, families), common, 0
        else:
            before, kinds, families = self._laid_out
            federation = before.again(snapshot)
            kinds = kinds.again(federation)
            families = families.again(federation, kinds)
        self._plans += 1
        return federation, kinds, families

    @property
    def _is_worn(self) -> bool:
        return self._laid_out is not None and (
            self._plans >= _PLANS or self._laid_out[0].feasibility.known > _SHAPES or self._laid_out[2].many
        )

    def _common_of(self, snapshot: Snapshot) -> object:
        """All that is read of a snapshot when it is laid out."""
        faces = {cluster.name: self._face(cluster) for cluster in snapshot.clusters}
        self._faces = faces
        return tuple(faces[name][1] for name in sorted(faces)), snapshot.policies, asked_for(snapshot)

    def _face(self, cluster: Cluster) -> tuple[Cluster, object]:
        known = self._faces.get(cluster.name)
        return known if known is not None and known[0] is cluster else (cluster, _face(cluster))


def _face(cluster: Cluster) -> object:
    """All of a cluster but what is free or used there now."""
    still = replace(cluster, limits=None, foreign=Resources(), idle={})
    flavors = cluster.flavors
    if flavors is None:
        return still
    numbers = tuple(sum(group.count for group in flavor.nodes) for flavor in flavors)
    return replace(still, flavors=tuple(replace(flavor, nodes=()) for flavor in flavors)), numbers
