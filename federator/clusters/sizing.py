"""How many pilots a site should be sent now, or have taken back: pure, for every batch system alike.

One look at a site in, one decision out. What is asked for is what waits in this site's own line, which the planner
divided over all sites before: no replica is a reason for a pilot at two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from federator.model.resources import Resources

CLOSED_AFTER = 3
"""Pilots that end badly in a row, until the site is closed: then one at a time is tried."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a site allows."""

    size: Resources
    """Of one pilot."""
    most: int = 100
    """Pilots in all, waiting ones among them."""
    waiting: int = 20
    """Pilots that wait in the site's queue."""
    first: int = 5
    """Pilots that are tried before one has come; with those that live it may be twice as many as they."""
    backoff_s: float = 60.0
    """After a pilot that ended badly; doubled for each in a row."""
    backoff_max_s: float = 3600.0
    keep_waiting_s: float = 60.0
    """How long a pilot waits in the queue before it may be taken back, if it is not needed."""
    patience_s: float = 600.0
    """A site where a pilot has waited longer is full: it is sent no more, and what waits there is not counted on."""


@dataclass(frozen=True, slots=True)
class End:
    """How a pilot ended. ``well``: it said so itself (no work, its lifetime, its drain)."""

    at_s: float
    well: bool


@dataclass(frozen=True, slots=True)
class Look:
    """A site at one instant. ``demand``: what waits in its line, by shape, the most urgent first."""

    now_s: float
    demand: tuple[tuple[Resources, int], ...] = ()
    free: tuple[Resources, ...] = ()
    """Of each pilot that lives and takes work."""
    live: int = 0
    """Pilots that live, those that take no more work among them."""
    starting: int = 0
    """Pilots that the site has started and that have not registered."""
    ending: int = 0
    """Pilots that never registered and end just now: how, the next look tells."""
    waiting_s: tuple[float, ...] = ()
    """For how long each pilot has waited in the site's queue."""
    heard_s: float = 0.0
    """When a pilot last registered; 0: never."""
    ends: tuple[End, ...] = ()
    """Ends of the last while, in any order."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why not more."""

    submit: int = 0
    withdraw: int = 0
    """Of those that wait, the youngest of those that waited long enough."""
    needed: int = 0
    """New pilots that what waits would fill, if nothing stood in the way; those on their way among them."""
    to_come: int = 0
    """Pilots that may be counted on besides those that live: on their way, or allowed to be sent."""
    closed: bool = False
    """The site is marked: its pilots end badly."""
    full: bool = False
    """The site is marked: its pilots wait too long."""
    again_s: float = 0.0
    """Not before is another one sent; 0: no such time."""
    reasons: tuple[str, ...] = ()
    """Every cut, with its numbers."""


def decide(look: Look, limits: Limits) -> Decision:
    """How many pilots to send or to take back."""
    needed, reasons = _needed(look, limits.size)
    waiting = len(look.waiting_s)
    coming = waiting + look.starting
    failures, last_s = _in_a_row(look)
    again_s = last_s + _backoff_s(failures, limits) if failures else 0.0
    closed = failures >= CLOSED_AFTER
    overdue = sum(age > limits.patience_s for age in look.waiting_s)
    allowed = 0 if overdue else max(0, min(limits.most - look.live - coming, limits.waiting - waiting))
    if failures:
        allowed = min(allowed, 1 if look.now_s >= again_s and not coming else 0)
    missing = needed - coming
    if missing <= 0:
        old = sum(age >= limits.keep_waiting_s for age in look.waiting_s)
        withdraw = min(-missing, old)
        reasons += [_full(overdue, limits)] if overdue else []
        reasons += [_bad(failures)] if closed else []
        to_come = max(0, coming - max(withdraw, overdue)) + allowed
        return Decision(0, withdraw, needed, to_come, closed, overdue > 0, again_s, tuple(reasons))
    submit = missing
    for cut, words in _cuts(look, limits, coming, failures, again_s):
        if submit > cut:
            reasons.append(f"{submit} wanted, {cut} sent: {words}")
            submit = cut
    return Decision(submit, 0, needed, coming - overdue + allowed, closed, overdue > 0, again_s, tuple(reasons))


def _cuts(look: Look, limits: Limits, coming: int, failures: int, again_s: float) -> Iterable[tuple[int, str]]:
    """How many may be sent by each rule, and the rule in words."""
    waiting = len(look.waiting_s)
    alive = look.live + coming
    if failures:
        left_s = again_s - look.now_s
        when = f"the next is tried in {left_s:.0f} s" if left_s > 0 else "one is tried at a time"
        yield (0 if left_s > 0 or coming else 1), f"{_bad(failures)}, {when}"
    if overdue := sum(age > limits.patience_s for age in look.waiting_s):
        yield 0, _full(overdue, limits)
    yield max(0, limits.most - alive), f"{alive} of at most {limits.most} are there or on their way"
    yield max(0, limits.waiting - waiting), f"{waiting} of at most {limits.waiting} wait in the site's queue"
    trusted = max(limits.first, 2 * look.live)
    unproved = coming + look.ending
    yield max(0, trusted - unproved), f"{look.live} live, so at most {trusted} are on their way at once; {unproved} are"


def _full(overdue: int, limits: Limits) -> str:
    return f"the site is full: {overdue} have waited longer than {limits.patience_s:g} s"


def _bad(failures: int) -> str:
    mark = "the site is closed: " if failures >= CLOSED_AFTER else ""
    return f"{mark}{failures} in a row ended badly"


def _in_a_row(look: Look) -> tuple[int, float]:
    """How many of the latest pilots ended badly since one registered or ended well, and when the last did."""
    good_s = max([look.heard_s, *(end.at_s for end in look.ends if end.well)], default=0.0)
    bad = [end.at_s for end in look.ends if not end.well and end.at_s > good_s]
    return len(bad), max(bad, default=0.0)


def _backoff_s(failures: int, limits: Limits) -> float:
    return min(limits.backoff_s * 2.0 ** min(failures - 1, 30), limits.backoff_max_s)


def _needed(look: Look, size: Resources) -> tuple[int, list[str]]:
    """How many new pilots hold what waits and finds no room on those that live."""
    reasons: list[str] = []
    rooms: list[Room] = list(Counter(look.free).items())
    fresh: list[Room] = []
    pilots = 0
    for shape, count in look.demand:
        rooms, left = _fill(rooms, shape, count)
        fresh, left = _fill(fresh, shape, left)
        if left and not shape.fits_in(size):
            reasons.append(f"{left} replicas are larger than a pilot")
        elif left:
            more = -(-left // _fits(size, shape))
            pilots += more
            fresh += _fill([(size, more)], shape, left)[0]
    return pilots, reasons


Room = tuple[Resources, int]
"""What is free on each of so many pilots."""


def _fill(rooms: Sequence[Room], shape: Resources, count: int) -> tuple[list[Room], int]:
    """The rooms with as many replicas as they hold, and how many are left."""
    after: list[Room] = []
    for free, pilots in rooms:
        each = _fits(free, shape)
        full = min(pilots, count // each) if each else 0
        part = min(each, count - full * each) if full < pilots else 0
        count -= full * each + part
        parts = ((free - shape * each, full), (free - shape * part, int(part > 0)), (free, pilots - full - (part > 0)))
        after += [(left, number) for left, number in parts if number]
    return after, count


def _fits(free: Resources, shape: Resources) -> int:
    return min((free[name] // amount for name, amount in shape.items_), default=1 << 30)
