"""How well what is free on a cluster matches what is asked for: the part of ``weightBy: fit`` that is not the room.

Work that asks for much memory and few cores goes where much memory and few cores are free, so that no resource of a
cluster is left over without the others. Whole numbers throughout, so that every machine agrees.
"""

from __future__ import annotations

import numpy as np

from federator.engine.arrays import Array
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


def fit(federation: Federation, requests: Resources, held: Array) -> Array:
    """By cluster, in parts of ``FITS``: how alike are what is free there and what is asked for, times how empty it is.

    Both are compared by shares of the federation, over all resources that anybody asks for. What the role holds on the
    cluster counts as free: it could be placed there again.
    """
    nodes = federation.nodes
    columns = [at for name, at in nodes.at.items() if name != CORES]
    offer = federation.offer[:, columns]
    whole = np.maximum(offer.sum(axis=0), 1)
    offered = _shares(offer, whole).sum(axis=1)
    asked = np.array([requests[nodes.resources[at]] for at in columns], dtype=np.int64)
    free = nodes.sums[:, :, columns].sum(axis=0) + held[:, None] * asked
    if federation.limits is not None:
        free = np.minimum(free, federation.limits.T[:, columns] + held[:, None] * asked)
    shares = _shares(np.maximum(free, 0), whole)
    fits = _alike(_turned(shares), _direction(asked, whole))
    for _ in range(_SQUARINGS):
        fits = fits * fits >> BITS
    emptiness = np.minimum((shares.sum(axis=1) << BITS) // np.maximum(offered, 1), FITS)
    found: Array = np.where(federation.unknown, FITS, fits * emptiness >> BITS)
    return found


def _shares(amounts: Array, whole: Array) -> Array:
    """Amounts in parts of 2**31 of the whole."""
    shift = np.maximum(np.array([int(one).bit_length() for one in whole], dtype=np.int64) - _SHARE, 0)
    shares: Array = ((amounts >> shift) << _SHARE) // np.maximum(whole >> shift, 1)
    return shares


def _direction(asked: Array, whole: Array) -> Array:
    """What is asked for, by share of the whole; the largest is 2**14."""
    shares = [(amount << 2 * _SHARE) // total for amount, total in zip(asked.tolist(), whole.tolist(), strict=True)]
    largest = max([1, *shares])
    return np.array([(share << _SIDE) // largest for share in shares], dtype=np.int64)


def _turned(shares: Array) -> Array:
    """The same directions, the largest of each row 2**14."""
    turned: Array = (shares << _SIDE) // np.maximum(shares.max(axis=1, initial=0), 1)[:, None]
    return turned


def _alike(free: Array, asked: Array) -> Array:
    """The square of the cosine between each row and what is asked for, in parts of ``FITS``; 0: nothing is free."""
    product, length = free @ asked, (free * free).sum(axis=1)
    alike: Array = (product << BITS) // max(1, int((asked * asked).sum())) * product // np.maximum(length, 1)
    found: Array = np.minimum(alike, FITS)
    return found
