"""The tables of plain turns (see ``engine/plain.py``): which column means what."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Marks = NDArray[np.int8]

FAMILY, WANTED, LEAST, SHORT, LIKE, AMOUNTS = 0, 1, 2, 3, 4, 5
"""A turn: its family; how many replicas it may have now, with how many at least it starts; whether it wants more than
it may have; its likeness (``NO_LIKE``: unknown); then what one replica asks for, by the family's resources."""
NO_LIKE = -1

NAMES, PLACES = 0, 1
"""The sizes of a family: its resources, its tiers."""

MAY, ORDER = 0, 1
"""Of a lot, for a family: whether it may be used if it is large enough, and its rank."""

CLUSTER, REPLICAS = 0, 1
"""A line of what was placed."""

SHIFTS = 2
"""A class of lots: what one node offers by resource, then, for cpu and for memory, by how many bits amounts are cut,
and the whole (see ``lots.use_scale``)."""

END, FOUND, MOMENT, REPEATS, NOTED = 0, 1, 2, 3, 4
"""What came of a turn: where its lines end; for how many replicas there was room; where what was free then is told
(``NO_MOMENT``: nothing was refused); whether one alike was refused whole since anybody took room; and where its lines
of the journal end."""
NO_MOMENT = -1

LASTING, PASSING = 1, 2
"""Of a cluster, for a family: it takes no such replicas for a reason that waiting does not change, or for one that it
may."""

STAYS, HARD, TOO_BIG, AT_MAXIMUM, NO_ROOM, NO_WEIGHT, SHORTAGE, NOT_OPEN, TIER_FULL, TOO_FEW = range(10)
"""Why a cluster got no more of it: the first of ``verdicts.CHECKS`` that speaks, as far as plain turns know them."""
CODE, ROOM, WEIGHTLESS = 15, 16, 32
"""The parts of a mark: that number, whether it had room for more, and whether its weight was zero."""

DONE, TIGHT, REFUSED, ILLEGAL = 0, 1, 2, 3
"""Why no more turns were taken: there were no more; nodes must be laid out anew, or the journal is full; one was
refused some (where that stops them); numbers were too large to be compared exactly."""

GO_ON, STOP_AFTER, STOP_BEFORE = 0, 1, 2
"""What happens at a turn that is refused some: the next follows; it is the last, if room was wanting; it is not taken
at all."""
