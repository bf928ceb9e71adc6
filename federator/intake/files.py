"""Where the output of a job belongs: files of its owner, written as its owner. Run on the schedd's machine.

Nothing is written with other rights than the owner's: each file by a process that has become the owner. One process
writes many small files.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import secrets
from collections.abc import AsyncIterator, Mapping
from itertools import islice
from pathlib import Path
from subprocess import DEVNULL, PIPE

from federator.intake.ads import Job, Unfit
from federator.intake.sides import NotWritten

WRITE = 'exec cat > "$1"'
WRITE_ALL = """
while IFS= read -r mark && [ "$mark" = "$1" ] && IFS= read -r size && IFS= read -r path; do
    if [ "$size" = 0 ]; then : > "$path"; else head -c "$size" > "$path"; fi || exit
    echo
done
"""
"""A line comes back for each file. What is read must be marked: if anything was misread, it ends."""
MAY_WRITE = '[ -d "$1" ] && [ -w "$1" ]'
ROOT = 0


class OwnersFiles:
    """See ``sides.Files``."""

    async def check(self, owner: str, folder: Path) -> None:
        """By a shell of the owner's."""
        process = await _shell(MAY_WRITE, owner, str(folder), stdin=DEVNULL, stderr=DEVNULL)
        if await process.wait():
            raise Unfit(f"its output belongs into {folder}, where {owner} can make no files on this machine")

    async def write(self, job: Job, path: Path, pieces: AsyncIterator[bytes]) -> None:
        """Piece by piece."""
        first = await anext(pieces, b"")  # a file stays as it is where there is nothing to be had
        process = await _shell(WRITE, job.owner, str(path), stdin=PIPE, stderr=PIPE)
        assert process.stdin is not None
        try:
            process.stdin.write(first)
            async for piece in pieces:
                process.stdin.write(piece)
                try:
                    await process.stdin.drain()
                except ConnectionError:
                    break  # it has ended, and says why
            process.stdin.close()
            _, words = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode:
            why = words.decode(errors="replace").strip() or f"exit status {process.returncode}"
            raise NotWritten(f"its output could not be written to {path}: {why}")

    async def together(self, owner: str, contents: Mapping[Path, bytes]) -> set[Path]:
        """By one shell, which ends at the first file that it cannot write."""
        plain = {path: whole for path, whole in contents.items() if "\n" not in str(path)}
        mark = secrets.token_hex(16)
        words = b"".join(
            f"{mark}\n{len(whole)}\n".encode() + os.fsencode(path) + b"\n" + whole for path, whole in plain.items()
        )
        try:
            process = await _shell(WRITE_ALL, owner, mark, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        except Unfit:
            return set()
        try:
            told, _ = await process.communicate(words)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        return set(islice(plain, told.count(b"\n")))


async def _shell(
    script: str, owner: str, word: str, *, stdin: int, stderr: int, stdout: int = DEVNULL
) -> asyncio.subprocess.Process:
    """A shell that is the owner. Raises Unfit."""
    account = _account(owner)
    mine = account.pw_uid == os.geteuid()
    return await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", script, "sh", word, stdin=stdin, stdout=stdout, stderr=stderr, cwd="/", umask=0o022,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, start_new_session=True,
        user=None if mine else account.pw_uid,
        group=None if mine else account.pw_gid,
        extra_groups=None if mine else os.getgrouplist(owner, account.pw_gid),
    )  # fmt: skip


def _account(owner: str) -> pwd.struct_passwd:
    """Whom a process of ours can become. Raises Unfit."""
    try:
        account = pwd.getpwnam(owner)
    except KeyError:
        raise Unfit(f"its output would have to be written as {owner}, who is not known on this machine") from None
    can = os.geteuid() == ROOT and account.pw_uid != ROOT
    if account.pw_uid != os.geteuid() and not can:
        raise Unfit(f"its output would have to be written as {owner}, which this intake may not")
    return account
