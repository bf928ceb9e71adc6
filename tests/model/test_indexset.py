"""IndexSet must behave as a set of integers does."""

from hypothesis import given
from hypothesis import strategies as st

from federator.model.indexset import IndexSet

INDICES = st.frozensets(st.integers(0, 40), max_size=30)


@given(INDICES, INDICES)
def test_an_index_set_is_a_set(one: frozenset[int], other: frozenset[int]) -> None:
    a, b = IndexSet.of(one), IndexSet.of(other)
    assert set(a | b) == one | other
    assert set(a - b) == one - other
    assert set(a & b) == one & other
    assert len(a) == len(one)
    assert all((i in a) == (i in one) for i in range(42))
    assert (a == b) == (one == other), "equal sets are equal values"


@given(INDICES)
def test_what_is_written_is_read_again(indices: frozenset[int]) -> None:
    assert IndexSet.parse(str(IndexSet.of(indices))) == IndexSet.of(indices)


@given(INDICES, st.integers(0, 50))
def test_first_and_last_split_a_set(indices: frozenset[int], count: int) -> None:
    every = IndexSet.of(indices)
    assert sorted(every.first(count)) == sorted(indices)[:count]
    assert sorted(every.last(count)) == sorted(indices)[max(0, len(indices) - count) :][: count or 0]
