"""Hundreds of thousands of replicas are told in pieces, and what is told is of one instant."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator import turns
from federator.clusters.pilots import entry
from federator.clusters.pilots.board import Board, Standing
from federator.model.indexset import IndexSet
from federator.model.resources import CPU, MEMORY, Resources
from federator.turns import Turns
from tests.clusters.pilots.site import GIB, Place, done, order

MARKS = st.lists(st.tuples(st.integers(0, 20_000), st.sampled_from(list(Standing))), max_size=60)


RANGES = st.lists(st.tuples(st.integers(0, 21_000), st.integers(0, 21_000)), max_size=6)


@settings(max_examples=25, deadline=None)
@given(MARKS, RANGES)
def test_a_board_tells_what_a_dictionary_would(
    marks: list[tuple[int, Standing]], ranges: list[tuple[int, int]]
) -> None:
    board, told, some = Board(), dict(marks), IndexSet.join(ranges)
    for index, standing in marks:
        board.mark(index, standing)
    for standing in list(Standing)[1:]:
        wanted = IndexSet.of(index for index, stands in told.items() if stands is standing)
        assert asyncio.run(board.all(standing, Turns())) == wanted
    held = {index for index, stands in told.items() if stands in (Standing.HANDED, Standing.RUNNING)}
    assert board.held == len(held)
    assert board.held_but(some).tolist() == sorted(held - set(some))
    assert board.free_of(some) == some - IndexSet.of(index for index, stands in told.items() if stands)


async def test_what_changes_while_it_is_told_is_told_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have a turn at every step; each replica is told of once, in one state, and nothing is forgotten."""
    monkeypatch.setattr(turns, "PIECE_S", -1.0)
    place = Place()
    await place.provider.submit(order(count=40, cpu=100))
    await place.register("a")
    await place.register("b")
    held = [grant.lease for grant in await place.lease("a", limit=8)]

    async def goes_on() -> None:
        for number, lease in enumerate(held):
            await place.provider.finish("a", lease, done("Error" if number % 3 == 0 else ""))
            await place.lease("b", limit=1)

    going = asyncio.create_task(goes_on())
    looks = 0
    while not going.done():
        seen = await place.seen("w")
        looks += 1
        states = [seen.pending, seen.running, seen.succeeded, IndexSet.of(f.index for f in seen.failed)]
        assert sorted(index for state in states for index in state) == list(range(40))
    assert looks > 3, "it was never seen half done, so this test shows nothing"
    await going
    seen = await place.seen("w")
    assert (len(seen.succeeded), len(seen.failed), seen.bound) == (5, 3, 8)


async def test_an_order_is_cancelled_and_let_go_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have a turn after every replica that is stopped, and while seats are let go."""
    monkeypatch.setattr(turns, "PIECE_S", -1.0)
    monkeypatch.setattr(entry, "LET_GO_AT_ONCE", 1)
    place = Place()
    await place.provider.submit(order(count=40, cpu=100))
    await place.register(resources=Resources.of({CPU: 4000, MEMORY: 40 * GIB}))
    held = [grant.lease for grant in await place.lease(limit=40)]
    turns_of_others = 0

    async def others() -> None:
        nonlocal turns_of_others
        while True:
            await asyncio.sleep(0)
            turns_of_others += 1

    waiting = asyncio.create_task(others())
    for lease in held[:30]:
        await place.provider.finish("p", lease, done())
    turns_of_others = 0
    await place.provider.cancel("w", 5.0)
    assert turns_of_others >= 10
    mail = await place.provider.heartbeat("p", held[30:])
    assert [stop.lease for stop in mail.stop] == held[30:], "what has ended is told nothing"
    for lease in held[30:-1]:
        await place.provider.finish("p", lease, done("Stopped"))
    turns_of_others = 0
    await place.provider.finish("p", held[-1], done("Stopped"))
    assert turns_of_others >= 30
    waiting.cancel()
    assert (place.lines.orders, place.lines.leases, place.provider._line.entries) == ({}, {}, {})
