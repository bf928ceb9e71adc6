"""What became of checkpoints, told from where a replica runs."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from federator.clusters.outcomes import told_in, without
from federator.telling import ATTRIBUTE, CHIRP, INDEX, WHY, Telling, chirp
from tests.patience import PATIENCE_S

FULL = "a checkpoint was not kept: the store answers 507"


def telling(place: Path | str, said: list[str]) -> Telling:
    return Telling(str(place), "3", said.append)


def test_a_line_has_all_that_became_of_them_and_is_written_anew_in_its_place(tmp_path: Path) -> None:
    one = telling(tmp_path / INDEX, said := [])
    for outcome, words in (
        ("resumed", "goes on"),
        ("kept", ""),
        ("failed", FULL + "x" * WHY),
        ("", "begins"),
        ("kept", ""),
    ):
        one.hear(outcome, words)
    (line,) = (tmp_path / "3").read_text().splitlines()
    assert told_in(line) == {"kept": 2, "failed": 1, "resumed": 1}
    assert f'"why":"{FULL}' in line
    assert len(line) < 2 * WHY
    assert not said


@pytest.mark.parametrize("end", ["", "\n"])
def test_what_others_write_in_the_same_file_stays(tmp_path: Path, end: str) -> None:
    """As a payload may that tells Kubernetes its last words: before us, after us, or from the beginning."""
    place = tmp_path / "log"
    place.write_text(f"its first words{end}")
    one = telling(place, [])
    one.hear("kept", "")
    one.hear("kept", "")
    assert place.read_text().startswith("its first words\n")
    with place.open("a") as file:
        file.write(f"its last words{end}")
    one.hear("kept", "")
    one.hear("failed", FULL)
    assert without(place.read_text()).split("\n") == ["its first words", "its last words"]
    assert told_in(place.read_text()) == {"kept": 3, "failed": 1}
    place.write_text("other words")
    one.hear("kept", "")
    assert without(place.read_text()) == "other words"
    assert told_in(place.read_text()) == {"kept": 4, "failed": 1}


def test_who_comes_after_it_for_the_same_replica_goes_on_counting(tmp_path: Path) -> None:
    """As who drops what was kept, at Slurm, when its end is written down."""
    for _ in range(2):
        telling(tmp_path / "log", []).hear("failed", FULL)
    assert told_in((tmp_path / "log").read_text()) == {"failed": 2}
    (tmp_path / "log").write_text("federator: checkpoints {")
    telling(tmp_path / "log", []).hear("kept", "")
    assert told_in((tmp_path / "log").read_text()) == {"kept": 1}


def test_what_hinders_it_is_said_once_and_it_goes_on_when_that_is_over(tmp_path: Path) -> None:
    one = telling(tmp_path / "none/log", said := [])
    one.hear("kept", "")
    one.hear("kept", "")
    assert said == ["nobody is told what becomes of checkpoints: No such file or directory"]
    (tmp_path / "none").mkdir()
    one.hear("kept", "")
    assert told_in((tmp_path / "none/log").read_text()) == {"kept": 3}
    telling("", said).hear("kept", "")


def starter(folder: Path, monkeypatch: pytest.MonkeyPatch, *answers: bytes) -> Callable[[], list[bytes]]:
    """A stand-in for HTCondor's; what it was sent."""
    server, sent = socket.create_server(("127.0.0.1", 0)), list[bytes]()
    (folder / ".chirp.config").write_text(f"127.0.0.1 {server.getsockname()[1]} biscuit\n")
    monkeypatch.setenv("_CONDOR_SCRATCH_DIR", str(folder))

    def serve() -> None:
        with server, server.accept()[0] as line, line.makefile("rb") as questions:
            for answer in answers:
                sent.append(questions.readline())
                line.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()

    def ended() -> list[bytes]:
        thread.join(PATIENCE_S)
        return sent

    return ended


def test_at_htcondor_it_is_an_attribute_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = starter(tmp_path, monkeypatch, b"0\n", b"0\n")
    one = telling(CHIRP, said := [])
    one.hear("failed", 'the "store"\\is away')
    cookie, words = sent()
    assert cookie == b"cookie biscuit\n"
    verb, name, value = _words(words.decode())
    assert (verb, name, said) == ("set_job_attr_delayed", ATTRIBUTE, [])
    line = json.loads(value)  # a string of the ClassAd language is written so
    assert told_in(line) == {"failed": 1}
    assert json.loads(line.partition("{")[1] + line.partition("{")[2])["why"] == 'the "store"\\is away'


def _words(line: str) -> list[str]:
    """Those of a line of the protocol: a backslash takes the next letter as it is."""
    words, letters = [""], iter(line.rstrip("\n"))
    for letter in letters:
        if letter == " ":
            words.append("")
        else:
            words[-1] += next(letters) if letter == "\\" else letter
    return words


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ((b"-1\n",), "the starter answers -1 to cookie"),
        ((b"0\n", b"-2\n"), "the starter answers -2 to set_job_attr_delayed"),
        ((b"0\n", b""), "the starter answers nothing to set_job_attr_delayed"),
    ],
)
def test_a_starter_that_refuses_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[bytes, ...], why: str
) -> None:
    sent = starter(tmp_path, monkeypatch, *answers)
    with pytest.raises(ValueError, match=why):
        chirp(ATTRIBUTE, "x")
    sent()
    one = telling(CHIRP, said := [])
    one.hear("kept", "")
    assert said == ["nobody is told what becomes of checkpoints: Connection refused"]
