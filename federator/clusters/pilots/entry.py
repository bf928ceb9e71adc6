"""One order in the line: which of its replicas wait, which are in whose hands, how they ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from federator.clusters.pilots.line_order import Standing
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, Note, ObservedIntent
from federator.model.pilots import Lease, LeaseState

NOTES_SHOWN = 64
STEADY_S = 10.0
"""A replica of a service that ran for so long is not one that ends again and again."""


class Seat:
    """The latest lease of one replica."""

    __slots__ = ("lease", "started_s")

    def __init__(self, lease: Lease, started_s: float | None = None) -> None:
        self.lease = lease
        self.started_s = started_s

    @property
    def granted(self) -> bool:
        """Whether it is in a pilot's hands."""
        return self.lease.state is LeaseState.GRANTED


class Entry:
    """An order and its replicas' seats. ``waiting`` are those that any pilot may have."""

    def __init__(self, order: Standing, now_s: float, seats: Iterable[Seat] = ()) -> None:
        self.order = order
        self.seats = {seat.lease.index: seat for seat in seats}
        self.resting: dict[int, float] = {}
        """When replicas of a service that ended may run again."""
        self.streaks: dict[int, int] = {}
        self.waiting = order.wanted - IndexSet.of(self.seats)
        self.waits_since_s = now_s
        self.stuck = ""
        """Why no pilot that lives can take what waits; empty: one can, or nobody has looked yet."""
        self.seen: ObservedIntent | None = None

    def change(self, order: Standing, now_s: float) -> None:
        """Another number of replicas, another spec, fewer wanted."""
        self.order = order
        self.resting = {index: at for index, at in self.resting.items() if index in order.wanted}
        self.waiting = order.wanted - IndexSet.of((*self.seats, *self.resting))
        self.waits_since_s = now_s
        self.touch()

    def touch(self) -> None:
        """Something changed that observers see."""
        self.seen = None

    def put(self, seat: Seat) -> None:
        """A replica is in a pilot's hands."""
        self.seats[seat.lease.index] = seat
        self.waiting -= IndexSet.span(seat.lease.index, seat.lease.index + 1)
        self.touch()

    def clear(self, index: int, now_s: float) -> None:
        """A replica is in nobody's hands; it waits again, if it is wanted."""
        self.seats.pop(index, None)
        one = IndexSet.span(index, index + 1)
        if index in self.order.wanted and index not in self.resting:
            if not self.waiting:
                self.waits_since_s = now_s
            self.waiting |= one
        self.touch()

    def rest(self, index: int, ran_s: float, now_s: float, backoff_s: float, longest_s: float) -> None:
        """A replica of a service ended by itself: it waits a while, ever longer if it ends soon each time."""
        streak = self.streaks.get(index, 0) + 1 if ran_s < STEADY_S else 1
        self.streaks[index] = streak
        self.resting[index] = now_s + min(longest_s, backoff_s * 2.0 ** min(streak - 1, 30))

    def rested(self, now_s: float) -> bool:
        """Let those wait again whose rest is over; whether there are any."""
        over = [index for index, at in self.resting.items() if at <= now_s]
        for index in over:
            del self.resting[index]
            self.clear(index, now_s)
        return bool(over)

    def granted(self) -> Iterator[Seat]:
        """The seats in pilots' hands."""
        return (seat for seat in self.seats.values() if seat.granted)

    def to_stop(self) -> list[Seat]:
        """The seats in pilots' hands that should not be."""
        wanted = self.order.wanted
        if wanted == self.order.indices:
            wanted_set = set(wanted) if len(self.seats) > len(wanted) or self.order.service else None
            return [] if wanted_set is None else [s for s in self.granted() if s.lease.index not in wanted_set]
        keep = set(wanted)
        return [seat for seat in self.granted() if seat.lease.index not in keep]

    def to_exchange(self, now_s: float, ready_s: float) -> Seat | None:
        """The next seat of a service whose spec is no longer the order's, once all others have run for a while."""
        if not self.order.service or self.order.leaving:
            return None
        seats = list(self.granted())
        old = [seat for seat in seats if seat.lease.spec_hash != self.order.spec_hash]
        settled = all(seat.started_s is not None and now_s - seat.started_s >= ready_s for seat in seats)
        if not old or self.waiting or self.resting or not settled:
            return None
        return min(old, key=lambda seat: seat.lease.index)

    def observed(self) -> ObservedIntent:
        """What the federator is told of it; made once for every change."""
        if self.seen is None:
            self.seen = self._observed()
        return self.seen

    def _observed(self) -> ObservedIntent:
        running: list[int] = []
        handed: list[int] = []
        succeeded: list[int] = []
        failed: list[Failure] = []
        started: list[float] = []
        for index, seat in self.seats.items():
            lease = seat.lease
            if seat.granted:
                (handed if seat.started_s is None else running).append(index)
                started.append(lease.granted_s if seat.started_s is None else seat.started_s)
            else:
                started.append(lease.granted_s)
                if lease.state is LeaseState.SUCCEEDED:
                    succeeded.append(index)
                else:
                    failed.append(_failure(lease))
        pending = self.waiting | IndexSet.of((*handed, *self.resting))
        return ObservedIntent(
            id=self.order.intent,
            pending=pending,
            running=IndexSet.of(running),
            succeeded=IndexSet.of(succeeded),
            failed=tuple(sorted(failed, key=lambda failure: failure.index)),
            bound=len(running) + len(handed),
            notes=self._notes(),
            spec_hash=self.order.spec_hash,
            replicas=len(self.order.wanted),
            leaving=self.order.leaving,
            started_s=min(started, default=None) if running or succeeded or failed else None,
        )

    def _notes(self) -> tuple[Note, ...]:
        backoff = [Note(i, "CrashLoopBackOff", f"ended {self.streaks.get(i, 1)} times in a row") for i in self.resting]
        if not self.stuck:
            return tuple(backoff)
        waiting = self.waiting.first(NOTES_SHOWN)
        return (*backoff, *(Note(i, "Unschedulable", self.stuck, self.waits_since_s) for i in waiting))


def _failure(lease: Lease) -> Failure:
    return Failure(lease.index, lease.reason, lease.message, lease.exit_code, lease.node, lease.own_fault)
