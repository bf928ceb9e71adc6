"""What jobs write, in files of their owners."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federator.intake import files
from federator.intake.ads import Job, Unfit
from federator.intake.files import OwnersFiles
from federator.intake.sides import NotWritten, OutputGone

ME = pwd.getpwuid(os.geteuid()).pw_name
FILES = OwnersFiles()


def job(owner: str = ME) -> Job:
    return Job({"Owner": owner}, "w")


async def pieces(*given: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece
    if then is not None:
        raise then


async def test_a_file_is_written_anew_and_readable_as_files_are(tmp_path: Path) -> None:
    path = tmp_path / "it's $HOME.out"
    path.write_text("what was there before, and longer")
    await FILES.write(job(), path, pieces(b"one\n", b"two\n"))
    assert path.read_text() == "one\ntwo\n"
    await FILES.write(job(), tmp_path / "empty", pieces())
    assert ((tmp_path / "empty").read_bytes(), (tmp_path / "empty").stat().st_mode & 0o777) == (b"", 0o644)


async def test_many_small_files_are_written_by_one_process_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in them, and whatever they are called; also what looks like the head of another file."""
    bait = f"0\n{tmp_path}/bait\n".encode()
    names = ["plain", " blanks  in it ", "it's $HOME `x`", "back\\slash\\n", "-n", "*", "größe", os.fsdecode(b"\xff")]
    contents = {tmp_path / name: bytes(range(256)) * 300 + bait + os.fsencode(name) for name in names}
    contents |= {tmp_path / "empty": b"", tmp_path / "bait-only": bait * 3, tmp_path / "last": b"no end of line"}
    (tmp_path / "empty").write_text("what was there before")
    started = counted(monkeypatch)
    assert await FILES.together(ME, contents) == contents.keys()
    assert there(tmp_path) == contents
    assert len(started) == 1


def there(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir()}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scripts of the processes that are started from now on."""
    started: list[str] = []
    whole = files._shell

    async def shell(script: str, *words: str, **streams: int) -> asyncio.subprocess.Process:
        started.append(script)
        return await whole(script, *words, **streams)

    monkeypatch.setattr(files, "_shell", shell)
    return started


@pytest.mark.parametrize("size", [0, 200_000])
async def test_of_many_files_those_are_told_that_were_written(tmp_path: Path, size: int) -> None:
    """It ends at the first that it cannot write; a name that no line can hold is left to others."""
    paths = [tmp_path / name for name in ("one", "no\nline", "two", "no-folder/three", "four")]
    assert await FILES.together(ME, dict.fromkeys(paths, b"x" * size)) == {tmp_path / "one", tmp_path / "two"}
    assert there(tmp_path) == dict.fromkeys((tmp_path / "one", tmp_path / "two"), b"x" * size)
    assert await FILES.together("no-such-user", {tmp_path / "four": b"x"}) == set()


async def test_a_reader_that_takes_too_much_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a ``head`` does that reads ahead: what it took from the next file's head must not pass for something else."""
    greedy = files.WRITE_ALL.replace('head -c "$size"', 'head -c "$((size + 1))" | head -c "$size"')
    monkeypatch.setattr(files, "WRITE_ALL", greedy)
    assert await FILES.together(ME, {tmp_path / name: b"x" for name in "ab"}) == {tmp_path / "a"}
    assert there(tmp_path) == {tmp_path / "a": b"x"}


async def test_a_full_disk_is_not_taken_for_a_written_file(tmp_path: Path) -> None:
    full = Path("/dev/full")
    assert await FILES.together(ME, {tmp_path / "one": b"x", full: b"x" * 70_000, tmp_path / "two": b"x"}) == {
        tmp_path / "one"
    }
    with pytest.raises(NotWritten, match="No space left"):
        await FILES.write(job(), full, pieces(b"x" * 70_000))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_files_of_others_are_theirs_and_in_their_folders_only(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine, theirs):
        folder.mkdir()
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    shutil.chown(theirs, "nobody")
    assert await FILES.together("nobody", {theirs / "a": b"x", mine / "b": b"x"}) == {theirs / "a"}
    assert ((theirs / "a").owner(), there(mine)) == ("nobody", {})


async def test_what_could_not_be_written_says_where_and_why(tmp_path: Path) -> None:
    with pytest.raises(NotWritten, match=f"written to {tmp_path}: .*irectory"):
        await FILES.write(job(), tmp_path, pieces(*[b"x" * 70_000] * 3))


async def test_a_file_stays_as_it_is_where_there_is_nothing_to_write(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("written before")
    with pytest.raises(OutputGone):
        await FILES.write(job(), path, pieces(then=OutputGone()))
    assert path.read_text() == "written before"


async def test_folders_of_others_and_of_nobody_are_refused(tmp_path: Path) -> None:
    await FILES.check(ME, tmp_path)
    with pytest.raises(Unfit, match=f"belongs into {tmp_path}/none, where {ME} can make no files"):
        await FILES.check(ME, tmp_path / "none")
    with pytest.raises(Unfit, match="no-such-user, who is not known on this machine"):
        await FILES.check("no-such-user", tmp_path)


async def test_nobody_becomes_root_and_only_root_becomes_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    for owner in ("root", "nobody"):
        with pytest.raises(Unfit, match=f"written as {owner}, which this intake may not"):
            await FILES.check(owner, tmp_path)
