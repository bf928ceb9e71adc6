"""What companions tell of checkpoints is counted once, and only what can be true of it is believed."""

from __future__ import annotations

from collections import Counter

import pytest
from structlog.testing import capture_logs

from federator.clusters.outcomes import MOST_TOLD, Outcomes, told_in, without


class Counted:
    """Outcomes, and what was counted."""

    def __init__(self, *, before: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.outcomes = Outcomes("cern", self._kept, before=before)

    def _kept(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count

    def hear(self, replica: str, words: str) -> Counter[str]:
        self.outcomes.hear(replica, f"its own words\nfederator: checkpoints {words}\n")
        return self.counts


def test_sums_are_counted_once_however_often_they_are_heard() -> None:
    one = Counted()
    assert one.hear("a", '{"kept":2}') == {"kept": 2}
    assert one.hear("a", '{"kept":2}') == {"kept": 2}
    assert one.hear("b", '{"kept":2}') == {"kept": 4}
    assert one.hear("a", '{"kept":3,"failed":1,"resumed":1}') == {"kept": 5, "failed": 1, "resumed": 1}
    for sums in ('{"kept":1}', '{"kept":3}'):
        assert one.hear("a", sums) == {"kept": 5, "failed": 1, "resumed": 1}, "nothing is counted back, and then again"


def test_what_was_told_before_this_process_began_is_not_counted_again() -> None:
    one = Counted(before=True)
    one.hear("a", '{"kept":5}')
    one.outcomes.before = False
    assert not one.hear("a", '{"kept":5}')
    assert one.hear("a", '{"kept":6}') == {"kept": 1}
    assert one.hear("b", '{"kept":1}') == {"kept": 2}


def test_those_that_are_gone_are_forgotten() -> None:
    one = Counted()
    for replica in "abc":
        one.hear(replica, '{"kept":1}')
    one.outcomes.only({"a", "b"})
    one.outcomes.forget("b")
    assert list(one.outcomes._heard) == ["a"]


def test_trouble_is_in_the_log_with_its_words_when_it_is_new() -> None:
    one = Counted()
    with capture_logs() as logs:
        one.hear("a", '{"kept":1}')
        one.hear("a", '{"kept":1,"failed":1,"why":"the store answers 507"}')
        one.hear("a", '{"kept":2,"failed":1,"why":"the store answers 507"}')
        one.hear("b", '{"damaged":1}')
    assert [(entry["event"], entry["replica"], entry["cluster"]) for entry in logs] == [
        ("the store answers 507", "a", "cern"),
        ("a checkpoint was not kept", "b", "cern"),
    ]


@pytest.mark.parametrize(
    "words",
    [
        "", "{", "[1]", '"kept"', "{}", '{"kept":-1}', '{"kept":1.5}', '{"kept":true}', '{"kept":"9"}', '{"mine":7}',
        f'{{"kept":{MOST_TOLD + 1}}}', "[" * 4000,
    ],
)  # fmt: skip
def test_a_payload_can_count_nothing_that_cannot_be(words: str) -> None:
    assert not Counted().hear("a", words)


def test_the_latest_line_counts_and_none_is_shown_to_people() -> None:
    text = 'one\nfederator: checkpoints {"kept":1}\ntwo\nfederator: checkpoints {"kept":2}\n'
    assert told_in(text) == {"kept": 2}
    assert without(text) == "one\ntwo"
    assert without("one\r\ntwo") == "one\r\ntwo"
    assert not told_in("one")
