"""Amounts as people write them: exact, whatever the suffix, and written back to the same value."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.documents import quantities as q
from federator.model.resources import Resources


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500m", Fraction(1, 2)),
        ("100n", Fraction(1, 10**7)),
        ("7u", Fraction(7, 10**6)),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("2M", 2_000_000),
        ("1E", 10**18),
        ("1e3", 1000),
        ("1E3", 1000),
        ("12e-1", Fraction(6, 5)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("+3", 3),
        (2, 2),
        (0.1, Fraction(1, 10)),
        ("0", 0),
    ],
)
def test_every_suffix_of_kubernetes_is_read_exactly(text: object, amount: Fraction) -> None:
    assert q.parse_quantity(text) == amount


@pytest.mark.parametrize("text", ["", "1x", "1GB", "-1", "1e99", "Gi", "1 2", "2Ei", True, None, [], "1" * 60, "0x1"])
def test_what_is_no_quantity_is_refused_with_a_cure(text: object) -> None:
    with pytest.raises(ValueError, match="; "):
        q.parse_quantity(text)


def test_amounts_round_up_to_millicores_bytes_and_pieces() -> None:
    assert q.amount_of("cpu", Fraction(1, 10**6)) == 1
    assert q.amount_of("memory", Fraction(3, 2)) == 2
    assert q.amount_of("nvidia.com/gpu", Fraction(1, 2)) == 1


def test_a_limit_of_nothing_differs_from_no_limit() -> None:
    assert "cpu" in q.limits_of({"cpu": Fraction(0)})
    assert "cpu" not in q.resources_of({"cpu": Fraction(0)})


@given(st.sampled_from(["cpu", "memory", "x/y"]), st.integers(0, q.MOST // 1000))
def test_an_amount_is_read_back_as_it_was_written(resource: str, amount: int) -> None:
    text = q.format_amount(resource, amount)
    assert q.amount_of(resource, q.parse_quantity(text)) == amount


@given(st.dictionaries(st.sampled_from(["cpu", "memory", "x/y"]), st.integers(1, 10**15)))
def test_resources_are_read_back_as_they_were_written(amounts: dict[str, int]) -> None:
    resources = Resources.of(amounts)
    written = q.format_resources(resources)
    assert q.resources_of({name: q.parse_quantity(text) for name, text in written.items()}) == resources


@given(st.integers(0, 3_000_000_000_000))
def test_a_duration_is_read_back_to_the_millisecond(millis: int) -> None:
    assert round(q.parse_duration(q.format_duration(millis / 1000)) * 1000) == millis


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("7d", 604800), ("50ms", 0.05), ("1.5h", 5400), ("2w", 1209600)]
)
def test_durations_are_read_with_their_units(text: str, seconds: float) -> None:
    assert q.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "cure"), [(90, "90s"), ("90", "90s"), ("2 h", "90s"), ("1y", "7d"), ("999999w", "100 years")]
)
def test_a_duration_without_its_unit_is_told_how(text: object, cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        q.parse_duration(text)


@given(st.integers(0, q.FULL_PPM))
def test_a_share_is_read_back_as_it_was_written(ppm: int) -> None:
    assert q.parse_share(q.format_share(ppm)) == ppm


def test_shares_and_rates_say_what_they_are() -> None:
    assert q.parse_share("99.5%") == 995_000
    assert q.parse_rate("10%/h", "10%") == ("10%", 3600.0)
    assert q.parse_rate("10%/30m", "10%") == ("10%", 1800.0)
    for bad in (95, 0.95, "95", "101%"):
        with pytest.raises(ValueError, match="%"):
            q.parse_share(bad)


@given(st.integers(0, 4_000_000_000))
def test_a_time_is_read_back_as_it_was_written(seconds: int) -> None:
    assert q.parse_time(q.format_time(seconds)) == seconds
