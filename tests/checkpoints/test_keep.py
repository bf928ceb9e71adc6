"""One errand: a folder is put whole, as it was at one moment, and comes back the same; what is damaged does not."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from federator import keep
from tests.web_store import WebStore

LIMIT = 10_000_000


@pytest.fixture(params=["file", "http"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a place where checkpoints are kept."""
    if request.param == "file":
        yield f"file://{tmp_path}/kept"
        return
    web = WebStore()
    yield f"{web.url}/kept"
    web.stop()


def errand(folder: Path, **more: Any) -> dict[str, Any]:
    return {"folder": str(folder), "draft": f"{folder}.draft", "limitBytes": LIMIT, "last": None, **more}


def save(folder: Path, put: str, worked_s: float = 1.0, **more: Any) -> dict[str, Any]:
    return keep.save(errand(folder, put=put, worked_s=worked_s, **more))


def fetch(folder: Path, *get: str, patience_s: float = 0.0) -> dict[str, Any]:
    return keep.fetch(errand(folder, get=list(get), patience_s=patience_s))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_put_comes_back_without_what_is_not_whole(tmp_path: Path, store: str) -> None:
    folder, back = tmp_path / "task", tmp_path / "elsewhere"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "state").write_bytes(b"\0" * 100_000)
    (folder / "run").write_text("17")
    (folder / "run").chmod(0o755)
    (folder / "half.part").write_text("not whole")
    (folder / "new.part").mkdir()
    (folder / "new.part" / "state").write_text("not whole")
    (folder / "link").symlink_to("/etc/passwd")
    assert save(folder, f"{store}/a", 12.5)["put"]
    answer = fetch(back, f"{store}/b", f"{store}/a")
    assert answer == {"worked_s": 12.5, "wrong": []}
    assert content(back) == {"deep/state": b"\0" * 100_000, "run": b"17"}
    assert os.access(back / "run", os.X_OK)
    assert not list(tmp_path.glob("*.draft*")), "drafts are left"


def test_what_is_not_new_is_not_put_again(tmp_path: Path, store: str) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    assert not save(folder, f"{store}/a")["put"], "there is nothing in it"
    (folder / "state").write_text("1")
    first = save(folder, f"{store}/a")
    assert first["put"]
    assert not save(folder, f"{store}/a", last=first["last"])["put"]
    (folder / "state.part").write_text("2")
    (folder / "state.part").rename(folder / "state")
    assert save(folder, f"{store}/a", last=first["last"])["put"]


def test_the_one_with_most_work_in_it_is_taken_whoever_kept_it(tmp_path: Path, store: str) -> None:
    for number, worked_s in enumerate((5.0, 30.0, 20.0)):
        folder = tmp_path / f"task-{number}"
        folder.mkdir()
        (folder / "state").write_text(str(number))
        save(folder, f"{store}/{number}", worked_s)
    assert fetch(tmp_path / "back", *(f"{store}/{number}" for number in (2, 1, 0)))["worked_s"] == 30.0
    assert content(tmp_path / "back") == {"state": b"1"}


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda whole: b"", "its first line cannot be read"),
        (lambda whole: whole[:-20], "its checksum is wrong"),
        (lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]), "its checksum is wrong"),
        (lambda whole: b"<html>moved</html>\n", "its first line cannot be read"),
    ],
)
def test_a_damaged_one_is_passed_over_for_the_one_before_and_that_is_said(
    tmp_path: Path, harm: Any, words: str
) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    for number in (1, 2):
        (folder / "state").write_text(str(number))
        save(folder, f"file://{tmp_path}/kept/{number}", number)
    newest = tmp_path / "kept" / "2"
    newest.write_bytes(harm(newest.read_bytes()))
    places = [f"file://{newest}", f"file://{tmp_path}/kept/1"]
    answer = fetch(tmp_path / "back", *places)
    assert answer == {"worked_s": 1.0, "wrong": [words]}
    assert content(tmp_path / "back") == {"state": b"1"}
    alone = fetch(tmp_path / "anew", places[0])
    assert alone == {"worked_s": None, "wrong": [words]}
    assert content(tmp_path / "anew") == {}


def test_nothing_is_written_outside_of_the_folder(tmp_path: Path) -> None:
    """Whoever can write to the store could put anything there."""
    for name, kind in (("../out", tarfile.REGTYPE), ("/tmp/out", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)):
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w:gz") as archive:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry, io.BytesIO())
        told = {"worked_s": 1.0, "sha256": hashlib.sha256(body.getvalue()).hexdigest()}
        evil = tmp_path / "evil"
        evil.write_bytes(json.dumps(told).encode() + b"\n" + body.getvalue())
        answer = fetch(tmp_path / "in", f"file://{evil}")
        assert answer["worked_s"] is None
        assert "something else" in answer["wrong"][0]
        assert not (tmp_path / "out").exists()


def test_files_that_change_all_the_while_are_taken_as_they_were_at_one_moment(tmp_path: Path) -> None:
    """A payload exchanges two files that belong together, one after the other, the second within a moment: what is
    kept never holds a pair that there never was between two checkpoints of it."""
    folder, stop = tmp_path / "task", threading.Event()
    folder.mkdir()

    def write(number: int) -> None:
        new = folder / f"{number}.part"
        new.mkdir()
        (new / "a").write_text(str(number) * 1000)
        (new / "b").write_text(str(number) * 1000)
        new.rename(folder / str(number))

    def go_on() -> None:
        number = 1
        while not stop.wait(0.02):
            write(number)
            number += 1

    write(0)
    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for number in range(5):
            save(folder, f"file://{tmp_path}/kept/{number}")
    finally:
        stop.set()
        writer.join()
    for number in range(5):
        back = tmp_path / f"back-{number}"
        assert fetch(back, f"file://{tmp_path}/kept/{number}")["worked_s"] == 1.0
        held = content(back)
        assert held
        for path, data in held.items():
            name = path.split("/")[0]
            assert data == name.encode() * 1000
            assert {f"{name}/a", f"{name}/b"} <= held.keys()


def test_what_is_too_large_or_finds_no_room_is_said_and_what_was_kept_stays(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "state").write_text("1")
    save(folder, f"file://{tmp_path}/kept/0", 7.0)
    (folder / "state").write_bytes(b"2" * (LIMIT + 1))
    with pytest.raises(keep.Trouble, match="it holds 10000001 bytes, and 10000000 may be kept"):
        save(folder, f"file://{tmp_path}/kept/0")
    (folder / "state").write_bytes(b"2")
    (tmp_path / "kept" / "0.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        save(folder, f"file://{tmp_path}/kept/0")
    assert fetch(tmp_path / "back", f"file://{tmp_path}/kept/0")["worked_s"] == 7.0


def test_a_store_that_is_away_is_asked_again_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "AGAIN_S", 0.05)
    web = WebStore()
    try:
        folder = tmp_path / "task"
        folder.mkdir()
        (folder / "state").write_text("1")
        save(folder, f"{web.url}/a")
        web.trouble = 503
        assert fetch(tmp_path / "back", f"{web.url}/a", patience_s=0.2) == {
            "worked_s": None,
            "wrong": ["the store answers 503 Service Unavailable"],
        }
        threading.Timer(0.3, lambda: setattr(web, "trouble", 0)).start()
        assert fetch(tmp_path / "back", f"{web.url}/a", patience_s=30.0) == {"worked_s": 1.0, "wrong": []}
    finally:
        web.stop()


def test_what_is_dropped_is_gone_and_may_be_gone_already(tmp_path: Path, store: str) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "state").write_text("1")
    save(folder, f"{store}/a")
    for _ in range(2):
        assert keep.drop({"places": [f"{store}/a", f"{store}/b"]}) == {"wrong": []}
    assert fetch(tmp_path / "back", f"{store}/a")["worked_s"] is None
