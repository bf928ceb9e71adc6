"""One order in the line: which of its replicas wait, which are in whose hands, how they ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from federator.clusters.pilots import board
from federator.clusters.pilots.board import Board
from federator.clusters.pilots.line_order import Standing
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, Note, ObservedIntent
from federator.model.pilots import Lease, LeaseState
from federator.turns import Turns

NOTES_SHOWN = 64
LET_GO_AT_ONCE = 1024
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
        self._board = Board()
        self._failed: dict[int, Failure] = {}
        self._started_s: float | None = None
        """When the first of them began to run."""
        for seat in self.seats.values():
            self._stand(seat)
        self.resting: dict[int, float] = {}
        """When replicas of a service that ended may run again."""
        self.streaks: dict[int, int] = {}
        self.waiting = order.wanted - IndexSet.of(self.seats)
        self.waits_since_s = now_s
        self.stuck = ""
        """Why no pilot that lives can take what waits; empty: one can, or nobody has looked yet."""
        self.seen: ObservedIntent | None = None
        self._changes = 0

    def change(self, order: Standing, now_s: float) -> None:
        """Another number of replicas, another spec, fewer wanted."""
        self.order = order
        self.resting = {index: at for index, at in self.resting.items() if index in order.wanted}
        self.waiting = self._board.free_of(order.wanted - IndexSet.of(self.resting))
        self.waits_since_s = now_s
        self.touch()

    def touch(self) -> None:
        """Something changed that observers see."""
        self.seen = None
        self._changes += 1

    def put(self, seat: Seat) -> None:
        """A replica is in a pilot's hands."""
        self.seats[seat.lease.index] = seat
        self._stand(seat)
        self.waiting -= IndexSet.span(seat.lease.index, seat.lease.index + 1)
        self.touch()

    def start(self, seat: Seat, now_s: float) -> None:
        """Its pilot says that a replica runs."""
        seat.started_s = now_s
        self._stand(seat)
        self.touch()

    def end(self, seat: Seat, ended: Lease) -> None:
        """A replica has ended, and how is kept."""
        seat.lease = ended
        self._stand(seat)
        self.touch()

    def _stand(self, seat: Seat) -> None:
        lease = seat.lease
        began_s = lease.granted_s if seat.started_s is None else seat.started_s
        standing = board.Standing.HANDED if seat.started_s is None else board.Standing.RUNNING
        if not seat.granted:
            succeeded = lease.state is LeaseState.SUCCEEDED
            standing = board.Standing.SUCCEEDED if succeeded else board.Standing.FAILED
        if standing is board.Standing.FAILED:
            self._failed[lease.index] = _failure(lease)
        if standing is not board.Standing.HANDED:
            self._started_s = began_s if self._started_s is None else min(self._started_s, began_s)
        self._board.mark(lease.index, standing)

    def clear(self, index: int, now_s: float) -> None:
        """A replica is in nobody's hands; it waits again, if it is wanted."""
        self.seats.pop(index, None)
        self._failed.pop(index, None)
        self._board.mark(index, board.Standing.NOWHERE)
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

    @property
    def held(self) -> bool:
        """Whether any is in a pilot's hands."""
        return self._board.held > 0

    def to_stop(self) -> Iterator[Seat]:
        """The seats in pilots' hands that should not be; no more of them once the order is changed again."""
        order = self.order
        for index in self._board.held_but(order.wanted).tolist():
            if self.order is not order:
                return
            seat = self.seats.get(index)
            if seat is not None and seat.granted:
                yield seat

    async def dissolve(self, turns: Turns) -> None:
        """Let go of all seats, for good: letting go of hundreds of thousands at once takes long."""
        while self.seats:
            for _ in range(min(len(self.seats), LET_GO_AT_ONCE)):
                self.seats.popitem()
            if turns.due:
                await turns.rest()

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

    async def observed(self, turns: Turns) -> ObservedIntent:
        """What the federator is told of it, as it was when this was asked; made once for every change."""
        if self.seen is not None:
            return self.seen
        changes = self._changes
        seen = await self._observed(self._board.copy(), turns)
        if changes == self._changes:
            self.seen = seen
        return seen

    async def _observed(self, now: Board, turns: Turns) -> ObservedIntent:
        seen = ObservedIntent(
            id=self.order.intent,
            pending=self.waiting | IndexSet.of(self.resting),
            failed=tuple(self._failed[index] for index in sorted(self._failed)),
            notes=self._notes(),
            spec_hash=self.order.spec_hash,
            replicas=len(self.order.wanted),
            leaving=self.order.leaving,
            started_s=self._started_s,
        )
        # From here on it may change.
        handed, running = await now.all(board.Standing.HANDED, turns), await now.all(board.Standing.RUNNING, turns)
        succeeded = await now.all(board.Standing.SUCCEEDED, turns)
        return replace(
            seen,
            pending=seen.pending | handed,
            running=running,
            succeeded=succeeded,
            bound=len(running) + len(handed),
            started_s=seen.started_s if running or succeeded or seen.failed else None,
        )

    def _notes(self) -> tuple[Note, ...]:
        backoff = [Note(i, "CrashLoopBackOff", f"ended {self.streaks.get(i, 1)} times in a row") for i in self.resting]
        if not self.stuck:
            return tuple(backoff)
        waiting = self.waiting.first(NOTES_SHOWN)
        return (*backoff, *(Note(i, "Unschedulable", self.stuck, self.waits_since_s) for i in waiting))


def _failure(lease: Lease) -> Failure:
    return Failure(lease.index, lease.reason, lease.message, lease.exit_code, lease.node, lease.own_fault)
