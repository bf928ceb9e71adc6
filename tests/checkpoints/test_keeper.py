"""Who keeps the checkpoints of a task: real errands against a store on loopback."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from federator.keeper import Keeper
from federator.model.checkpoints import Attempt, Checkpoints, errand, without
from federator.model.indexset import IndexSet
from tests.patience import PATIENCE_S
from tests.web_store import WebStore


class Task:
    """One attempt at task 3 of a bag, with what its keeper told."""

    def __init__(self, web: WebStore, folder: Path, number: int, *before: int, every_s: float = 0.05) -> None:
        kept = Checkpoints(f"{web.url}/kept", every_s, 1_000_000)
        tried = {earlier: IndexSet.span(0, 10) for earlier in before}
        attempt = Attempt.of(kept, f"bag-1a2b-{number}", IndexSet.span(3, 4), tried)
        self.told: list[tuple[str, str]] = []
        self.folder = folder / f"attempt-{number}"
        self.keeper = Keeper(errand(attempt, 3), str(self.folder), lambda *one: self.told.append(one))

    def begin(self) -> None:
        self.wait(self.keeper.ready)

    def write(self, words: str) -> None:
        (self.folder / "state.part").write_text(words)
        (self.folder / "state.part").rename(self.folder / "state")

    def read(self) -> str:
        state = self.folder / "state"
        return state.read_text() if state.exists() else ""

    def run_until(self, outcome: str, times: int = 1) -> None:
        def told() -> bool:
            self.keeper.step()
            return [one for one, _ in self.told].count(outcome) >= times

        self.wait(told)

    def end(self) -> None:
        self.wait(lambda: self.keeper.finish(time.monotonic() + PATIENCE_S))

    def complete(self) -> None:
        self.keeper.drop()
        self.wait(self.keeper.dropped)

    @staticmethod
    def wait(condition: object) -> None:
        until = time.monotonic() + PATIENCE_S
        assert callable(condition)
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_task_goes_on_elsewhere_and_leaves_nothing_when_it_is_complete(web: WebStore, tmp_path: Path) -> None:
    first = Task(web, tmp_path, 1)
    first.begin()
    assert first.read() == ""
    first.write("half")
    first.run_until("kept")
    first.write("more")
    first.end()
    assert [outcome for outcome, _ in first.told] == ["kept", "kept"]
    assert len(web.kept) == 2, "by turns, so that one is whole whatever happens to the other"
    second = Task(web, tmp_path, 2, 1)
    second.begin()
    assert second.read() == "more"
    assert second.told[0][0] == "resumed"
    second.write("most")
    second.run_until("kept")
    # What the first kept is of no more use.
    Task.wait(lambda: second.keeper.step() is None and list(web.kept) == ["/kept/bag-1a2b-3-2-0"])
    second.complete()
    assert not web.kept


def test_one_that_was_given_up_cannot_harm_its_successor(web: WebStore, tmp_path: Path) -> None:
    """The lease of the first is void, but it lives: what it keeps late is not in the place of what the second has."""
    first = Task(web, tmp_path, 1)
    first.begin()
    first.write("begun")
    first.run_until("kept")
    second = Task(web, tmp_path, 2, 1)
    second.begin()
    second.keeper._worked_s += 100.0  # it has worked longer than the first
    second.write("far on")
    second.end()
    first.write("late")
    first.end()
    third = Task(web, tmp_path, 3, 2, 1)
    third.begin()
    assert len(web.puts) == 3, "nothing came late, so this test shows nothing"
    assert third.read() == "far on"


def test_with_one_place_for_all_attempts_it_would(
    web: WebStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake that the test above is there for."""
    monkeypatch.setattr("federator.model.checkpoints._place", lambda *of_which: f"{web.url}/kept/one")
    with pytest.raises(AssertionError, match="late"):
        test_one_that_was_given_up_cannot_harm_its_successor(web, tmp_path)


def test_while_the_store_is_away_a_task_goes_on_and_that_is_told(web: WebStore, tmp_path: Path) -> None:
    task = Task(web, tmp_path, 1)
    task.begin()
    task.write("1")
    task.run_until("kept")
    web.trouble = 507
    task.write("2")
    task.run_until("failed", times=2)
    assert task.told[-1] == ("failed", "a checkpoint was not kept: the store answers 507 Insufficient Storage")
    web.trouble = 0
    task.run_until("kept", times=2)
    task.end()
    again = Task(web, tmp_path, 2, 1)
    again.begin()
    assert again.read() == "2"


def test_an_end_in_the_middle_of_a_checkpoint_leaves_the_one_before(web: WebStore, tmp_path: Path) -> None:
    task = Task(web, tmp_path, 1)
    task.begin()
    task.write("1")
    task.run_until("kept")
    task.write("2")
    while not task.keeper.busy:
        task.keeper.step()
    task.keeper.break_off()
    web.kept["/kept/bag-1a2b-3-1-1"] = b'{"worked_s": 99.0, "sha256": "00"}\nhalf of it'  # a server that keeps halves
    again = Task(web, tmp_path, 2, 1)
    again.begin()
    assert again.read() == "1"
    assert ("damaged", "a checkpoint was passed over: its checksum is wrong") in again.told


def test_the_last_checkpoint_has_no_more_time_than_the_grace(web: WebStore, tmp_path: Path) -> None:
    task = Task(web, tmp_path, 1, every_s=3600.0)
    task.begin()
    task.write("1")
    until = time.monotonic()
    Task.wait(lambda: task.keeper.finish(until))
    assert task.told == [("failed", "the last checkpoint was not kept in time")]


def test_only_the_tasks_that_are_not_complete_are_remembered() -> None:
    tried = {1: IndexSet.span(0, 4), 2: IndexSet.of([1])}
    assert without(tried, IndexSet.of([1])) == {1: IndexSet.of([0, 2, 3])}
    attempt = Attempt.of(Checkpoints("file:///kept", 60.0, 1), "bag-1a2b-5", IndexSet.span(0, 8), tried)
    assert [number for number, _ in attempt.tried] == [1, 2]
    assert errand(attempt, 1)["get"] == [f"file:///kept/bag-1a2b-1-{at}" for at in ("2-0", "2-1", "1-0", "1-1")]
    assert errand(attempt, 7)["get"] == []
