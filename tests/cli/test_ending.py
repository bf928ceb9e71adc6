"""However a command ends, it says so in words and a status, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator
from multiprocessing import active_children
from pathlib import Path
from types import ModuleType

import pytest

from federator import __main__ as program
from federator.cli.comparing import Json, Task, _on_cores
from tests.cli.conftest import Run

COMMAND = f"{sys.executable} -m federator"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of the line."""
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("line", "status"),
    [("plan - <&- 2>&-", 2), ("schema Queue >&-", 0)],
)
def test_a_closed_stream_is_no_failure(line: str, status: int) -> None:
    ended = shell(f"{COMMAND} {line}")
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("command", "status"),
    [("--help", 0), ("schema Workload", 0), ("--version", 0), ("get nothing 2>&1", 2), ("get --nothing 2>&1", 2)],
)
def test_nobody_has_to_read_to_the_end(command: str, status: int) -> None:
    """The reader has gone before the first word."""
    ended = shell(f"({{ {COMMAND} {command}; echo $? >&3; }} | true) 3>&1")
    assert (int(ended.stdout), ended.stderr) == (status, "")


def test_an_interrupt_ends_a_command_quietly_even_while_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "federator.cli.main", Slow("federator.cli.main"))
    assert program.main() == 130


def run_for(task: Task) -> Json:
    """A run that takes as many seconds as its seed says."""
    time.sleep(task[2])
    return {}


def test_runs_are_cut_off_when_a_comparison_is_interrupted() -> None:
    """Two runs at a time: one ends, the next would take ten minutes."""
    before = set(active_children())
    runs = _on_cores(2, run_for, [(Path(), Path(), lasts_s) for lasts_s in (0, 600, 600)])
    assert isinstance(runs, Generator)
    next(runs)
    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        runs.throw(KeyboardInterrupt())
    assert time.monotonic() - began_s < 60
    assert set(active_children()) == before


def test_documents_that_hold_nothing_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    ended = run("plan", "empty.yaml")
    assert (ended.status, ended.err) == (2, "error: there is no document in empty.yaml\n")


def test_a_file_that_cannot_be_read_is_named_in_words(run: Run) -> None:
    ended = run("report", "nothing.json")
    assert (ended.status, ended.err) == (2, "error: nothing.json: no such file or directory\n")


def test_a_state_directory_that_cannot_be_one_is_told_with_its_field(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "apiVersion: federator.dev/v1alpha1\nkind: Configuration\nmetadata: {name: t}\nspec: {stateDirectory: c.yaml}\n"
    )
    ended = run("run", "--config", str(config))
    assert (ended.status, f"{config}: spec.stateDirectory: {config} cannot be a folder" in ended.err) == (2, True)
