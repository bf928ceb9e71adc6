"""BOINC as a filler, with a stand-in for its client: what it is given, how it ends, what is kept, what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from federator.documents import read_files
from tests.patience import PATIENCE_S

FOLDER = Path(__file__).parents[2] / "config" / "fillers"
STAND_IN = Path(__file__).with_name("boinc_stand_in.py")
KEY = "0123456789abcdef-weak"
URL = "https://boinc.example.org/counting"


class Filler:
    """One attempt in a folder of its own."""

    def __init__(self, folder: Path, *options: str, manner: str = "works", kept: Path | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.log = folder / "log"
        self.client = folder / "client"
        program, key = folder / "boinc", folder / "key"
        program.write_text(f'#!/bin/sh\ncd "$2" && exec {sys.executable} {STAND_IN} "$@"\n')
        program.chmod(0o755)
        key.write_text(f"{KEY}\n")
        command = [sys.executable, str(FOLDER / "boinc.py"), "--project", URL, "--key-file", str(key)]
        command += ["--client", str(program), "--hold", "0", *options]
        env = {"STAND_IN": manner, "PATH": os.environ["PATH"], "BOINC_ACCOUNT_KEY": KEY}
        if kept is not None:
            env["FEDERATOR_CHECKPOINT_DIR"] = str(kept)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=env, cwd=folder, stdout=log, stderr=log)

    def started(self, client: Path | None = None) -> dict[str, Any]:
        """What the stand-in was started with, once this attempt's works."""
        path = (client or self.client) / "started.json"
        until(lambda: "2 tasks done" in self.said and path.exists(), "the client to work", lambda: self.said)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    @property
    def said(self) -> str:
        return self.log.read_text()

    def end(self) -> int:
        """Tell it to end, as a cluster does to its first process; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def until(condition: Callable[[], bool], what: str, story: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"in vain waited for {what}: {story()}"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process is there that has not ended."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def filler(tmp_path: Path) -> Iterator[Callable[..., Filler]]:
    made: list[Filler] = []

    def begin(*options: str, name: str = "one", **how: Any) -> Filler:
        made.append(Filler(tmp_path / name, *options, **how))
        return made[-1]

    yield begin
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
    for process in psutil.process_iter(["cwd"]):
        if (process.info["cwd"] or "").startswith(f"{tmp_path}/"):
            process.kill()


def test_it_is_suspended_and_quits_by_its_own_commands(filler: Callable[..., Filler]) -> None:
    one = filler()
    pid = one.started()["pid"]
    assert one.end() == 75
    assert not runs(pid)
    commands = (one.client / "commands").read_text()
    assert "<always/>" in commands.splitlines()[0]
    assert commands.index("<never/>") < commands.index("<quit/>")
    assert "s of CPU time" in one.said


def test_a_client_that_does_not_quit_is_killed_in_time_with_what_it_left(filler: Callable[..., Filler]) -> None:
    one = filler("--stop-within", "0.5", manner="deaf")
    told = one.started()
    began = time.monotonic()
    assert one.end() == 75
    assert time.monotonic() - began < PATIENCE_S
    assert not runs(told["pid"])
    assert not runs(told["stray"])
    assert "has not quit within 0.5 s and is killed" in one.said


def test_the_key_is_in_one_file_of_the_client_and_nowhere_else(filler: Callable[..., Filler], tmp_path: Path) -> None:
    one = filler("--checkpoint", "0.2", kept=tmp_path / "kept")
    told = one.started()
    until((tmp_path / "kept" / "client").exists, "a checkpoint", lambda: one.said)
    (account,) = one.client.glob("account_*.xml")
    assert KEY in account.read_text()
    assert account.stat().st_mode & 0o777 == 0o600
    assert KEY not in str((told["argv"], told["env"]))
    assert "the key is ***" in one.said
    assert one.client.stat().st_mode & 0o777 == 0o700
    assert one.end() == 75
    assert KEY not in one.said
    assert list((tmp_path / "kept").rglob("*.json")), "nothing was kept, so this test shows nothing"
    for path in (p for folder in (tmp_path / "kept", one.client) for p in folder.rglob("*") if p.is_file()):
        assert KEY not in path.read_text() or path == one.client / "slots/0/other.xml", path


def test_what_was_kept_is_gone_on_with_elsewhere_and_copied_while_tasks_are_suspended(
    filler: Callable[..., Filler], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    one = filler("--checkpoint", "0.2", kept=kept)
    pid = one.started()["pid"]
    until(lambda: (one.client / "commands").read_text().count("<always/>") > 1, "a checkpoint", lambda: one.said)
    commands = (one.client / "commands").read_text()
    assert commands.index("<never/>") < commands.rindex("<always/>")
    one.process.kill()  # what was kept before stays, and the client does not
    one.process.wait()
    until(lambda: not runs(pid), "the client to end", lambda: one.said)
    other = filler(name="other", kept=kept)
    assert other.started()["times"] == 2
    assert other.end() == 75
    assert {path.name for path in kept.iterdir()} == {"client"}


def test_two_clients_never_have_one_directory_and_the_first_free_one_is_taken(
    filler: Callable[..., Filler], tmp_path: Path
) -> None:
    keep = tmp_path / "keep"
    one = filler("--keep", str(keep))
    assert one.started(keep / "client-0")["times"] == 1
    two = filler("--keep", str(keep), name="two")
    assert two.started(keep / "client-1")["times"] == 1
    assert one.end() == 75
    three = filler("--keep", str(keep), name="three")
    assert three.started(keep / "client-0")["times"] == 2
    assert [each.end() for each in (two, three)] == [75, 75]


def test_the_client_may_use_what_it_is_given_and_listens_in_its_directory_only(filler: Callable[..., Filler]) -> None:
    one = filler("--cpus", "3", "--memory-mib", "512")
    argv = one.started()["argv"]
    assert argv[1:] == ["--dir", str(one.client), "--gui_rpc_unix_domain"]
    config, preferences = ((one.client / f"{n}.xml").read_text() for n in ("cc_config", "global_prefs_override"))
    assert "<ncpus>3</ncpus>" in config
    share = 100 * 512 / (psutil.virtual_memory().total / 2**20)
    assert f"<ram_max_used_busy_pct>{share:.4f}</ram_max_used_busy_pct>" in preferences
    assert one.end() == 75


@pytest.mark.parametrize(
    ("manner", "options", "status", "words"),
    [
        ("refused", [], 77, f"{URL}/ refuses the account key"),
        ("away", ["--patience", "0.1"], 69, f"{URL}/ did not answer as a BOINC project for 0.1 s"),
        ("ends", [], 70, "the client ended with 3: [Counting] the key is ***; [---] the state file is damaged"),
        ("works", ["--client", "/no/boinc"], 78, "the client '/no/boinc' cannot be started: No such file"),
        ("works", ["--key-file", "/no/key"], 78, "the key cannot be read from /no/key"),
        ("works", ["--key-file", os.devnull], 78, "holds no account key"),
        ("works", ["--project", "lhcathome"], 78, "'lhcathome' is no address of a project"),
    ],
)
def test_what_goes_wrong_is_said_in_the_last_line(
    filler: Callable[..., Filler], manner: str, options: list[str], status: int, words: str
) -> None:
    one = filler(*options, manner=manner)
    assert one.process.wait(PATIENCE_S) == status, one.said
    assert words in one.said.splitlines()[-1]


def test_no_attempt_fails_sooner_than_it_may_but_leaves_when_its_room_is_wanted(filler: Callable[..., Filler]) -> None:
    """A bag has a million tasks, and each would be tried at once; the line is there at once."""
    one = filler("--hold", "600", manner="refused")
    until(lambda: "refuses the account key" in one.said, "the line", lambda: one.said)
    assert "ends in" in one.said.splitlines()[-1]
    assert one.process.poll() is None
    assert one.end() == 75


def test_the_document_that_ships_is_sound_and_asks_for_what_the_client_may_use() -> None:
    path = FOLDER / "boinc.yaml"
    read_files([path])
    spec = yaml.safe_load(path.read_text())["spec"]
    command = spec["workload"]["container"]["command"]
    given = dict(word[2:].split("=") for word in command if word.startswith("--"))
    assert int(given["cpus"]) == spec["workload"]["requests"]["cpu"]
    assert int(given["memory-mib"]) <= 2048
    assert float(given["checkpoint"]) == 300
    assert spec["checkpointEvery"] == "5m"
    assert float(given["stop-within"]) < float(spec["grace"].rstrip("s"))
