"""Averages over time stay exact, however many spans have become one, and however much is kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.simulator.history import MOST_NAMES, OTHERS, SPANS, History

LASTS = st.tuples(st.floats(0, 5000), st.floats(0, 5000), st.integers(1, 9))


@settings(max_examples=20, deadline=None)
@given(st.lists(LASTS, min_size=1, max_size=30), st.floats(0, 100))
def test_each_average_is_what_adding_up_by_hand_gives(drawn: list[tuple[float, float, int]], longer_s: float) -> None:
    """Some things last from here to there; the run ends no sooner than they. In every span the average is the sum of
    their parts in it, by its length, whether the spans were made twice as long on the way or not."""
    lasts = [(min(a, b), max(a, b), amount) for a, b, amount in drawn]
    until_s = max(end_s for _, end_s, _ in lasts) + longer_s + 1
    history = History()
    for few in (lasts[:3], lasts[3:]):
        starts_s, ends_s, amounts = zip(*few, strict=True) if few else ((), (), ())
        history.lasted([("cores", "north")] * len(few), starts_s, ends_s, amounts)
    starts = history.starts_s(until_s).tolist()
    assert len(starts) <= SPANS
    assert len(starts) > SPANS / 2 or history.span_s == 1.0
    for start_s, mean in zip(starts, history.means("cores", "north", until_s).tolist(), strict=True):
        end_s = min(start_s + history.span_s, until_s)
        inside = sum(n * max(0.0, min(e, end_s) - max(s, start_s)) for s, e, n in lasts)
        assert mean == pytest.approx(inside / (end_s - start_s), abs=1e-6)


def test_what_is_counted_is_counted_once_even_at_the_very_end() -> None:
    history = History()
    for at_s in (0.0, 3.0, 700.0, 1024.0):
        history.changed("moves", "", at_s, 2)
    assert history.counts("moves", "", 1024.0).sum() == 8
    assert history.counts("moves", "nobody", 1024.0).sum() == 0


def test_names_beyond_the_bound_are_taken_together() -> None:
    history = History()
    for number in range(MOST_NAMES + 50):
        history.lasted([("queue", f"user-{number}")], [0.0], [10.0], [1.0])
    assert len(history.names("queue")) == MOST_NAMES + 1
    assert history.means("queue", OTHERS, 10.0).tolist() == [50.0] * 10
