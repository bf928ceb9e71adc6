"""What jobs write, in files of their owners."""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
