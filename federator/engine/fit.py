"""How well what is free on a cluster matches what is asked for: the part of ``weightBy: fit`` that is not the room.

Work that asks for much memory and few cores goes where much memory and few cores are free, so that no resource of a
cluster is left over without the others. Compiled; whole numbers throughout, so that every machine agrees.
"""

from __future__ import annotations

import numpy as np

from federator.engine.arrays import Array, Mask
from federator.engine.compiled import compiled
from federator.engine.federation import Federation
from federator.engine.whole_cores import CORES
from federator.model.resources import Resources

BITS = 15
FITS = 2**BITS
"""A perfect fit on an empty cluster."""
_SHARE = 31
_SIDE = 14
_SQUARINGS = 4
"""The likeness is the cosine of the angle between the two, squared; and that so many times squared again."""
_NO_LIMITS: Array = np.zeros((0, 0), dtype=np.int64)


def fit(federation: Federation, requests: Resources, held: Array) -> Array:
    """By cluster, in parts of ``FITS``: how alike are what is free there and what is asked for, times how empty it is.

    Both are compared by shares of the federation, over all resources that anybody asks for. What the role holds on the
    cluster counts as free: it could be placed there again.
    """
    nodes, limits = federation.nodes, federation.limits
    sums, offer, quotas = nodes.sums, federation.offer, _NO_LIMITS if limits is None else limits
    counted = [at for at, name in enumerate(nodes.resources) if name != CORES]
    if nodes.counts_cores:
        sums, offer = np.ascontiguousarray(sums[:, :, counted]), np.ascontiguousarray(offer[:, counted])
        quotas = quotas[counted] if len(quotas) else quotas
    whole = federation.once("whole", lambda: np.maximum(offer.sum(axis=0), 1))
    offered = federation.once("shares", lambda: _shares(offer, whole).sum(axis=1))
    asked = np.array([requests[nodes.resources[at]] for at in counted], dtype=np.int64)
    return fits(sums, quotas, held, asked, _direction(asked, whole), whole, offered, federation.unknown)


@compiled
def fits(
    sums: Array, limits: Array, held: Array, asked: Array, direction: Array, whole: Array, offered: Array, unknown: Mask
) -> Array:
    """``sums`` and ``limits`` are what is free (see ``Nodes``) and what quotas leave, ``offered`` the shares of the
    federation that each cluster has when it is empty."""
    found = np.full(len(held), FITS, dtype=np.int64)
    shares, length = np.empty(len(asked), dtype=np.int64), 0
    for resource in range(len(asked)):
        length += direction[resource] * direction[resource]
    for cluster in range(len(held)):
        if unknown[cluster]:
            continue
        largest, free_shares = 1, 0
        for resource in range(len(asked)):
            own = held[cluster] * asked[resource]
            free = sums[0, cluster, resource] + sums[1, cluster, resource] + own
            if len(limits) > 0:
                free = min(free, limits[resource, cluster] + own)
            shares[resource] = share(max(free, 0), whole[resource])
            largest, free_shares = max(largest, shares[resource]), free_shares + shares[resource]
        product, across = 0, 0
        for resource in range(len(asked)):
            turned = (shares[resource] << _SIDE) // largest
            product, across = product + turned * direction[resource], across + turned * turned
        alike = min((product << BITS) // max(1, length) * product // max(across, 1), FITS)
        for _ in range(_SQUARINGS):
            alike = alike * alike >> BITS
        emptiness = min((free_shares << BITS) // max(offered[cluster], 1), FITS)
        found[cluster] = alike * emptiness >> BITS
    return found


@compiled
def share(amount: int, whole: int) -> int:
    """An amount in parts of 2**31 of the whole."""
    length, left = 0, whole
    while left > 0:
        length, left = length + 1, left >> 1
    shift = max(length - _SHARE, 0)
    return int(((amount >> shift) << _SHARE) // max(whole >> shift, 1))


@compiled
def _shares(amounts: Array, whole: Array) -> Array:
    """The same of amounts by cluster and resource."""
    shares = np.empty_like(amounts)
    for cluster in range(len(amounts)):
        for resource in range(len(whole)):
            shares[cluster, resource] = share(amounts[cluster, resource], whole[resource])
    return shares


def _direction(asked: Array, whole: Array) -> Array:
    """What is asked for, by share of the whole; the largest is 2**14."""
    shares = [(amount << 2 * _SHARE) // total for amount, total in zip(asked.tolist(), whole.tolist(), strict=True)]
    largest = max([1, *shares])
    return np.array([(one << _SIDE) // largest for one in shares], dtype=np.int64)
