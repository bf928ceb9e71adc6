"""What replicas leave below the cluster's directory: output and ends. Seen where it is mounted, or by commands, or not.

Jobs write there as a user of the site, who may put a link or a pipe in the place of anything: where it is mounted, no
link is followed and only files are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from federator.clusters.slurm.commands import Commands, Failed
from federator.clusters.slurm.refusals import Unreachable
from federator.clusters.slurm.script import TOLD

T = TypeVar("T")

PIECE = 1 << 20
"""The most that is read at a time."""
AT_ONCE = 100
"""Files of one command."""


class End(NamedTuple):
    """An end that a script wrote: exit status, and its seconds since the epoch."""

    code: int
    began_s: int
    ended_s: int


class Files(Protocol):
    """Blocks for as long as the site's disks do. Intents and indices are safe words."""

    async def ends(self, intent: str) -> Mapping[int, End]:
        """The ends written so far, by index. Raises Unreachable, OSError."""
        ...

    async def told(self, intent: str, indices: Sequence[int]) -> Mapping[int, str]:
        """What the companions of these replicas have told, of those that have. Raises Unreachable, OSError."""
        ...

    async def size(self, intent: str, index: int) -> int | None:
        """The length of a replica's output; None: there is none."""
        ...

    async def read(self, intent: str, index: int, offset: int) -> bytes:
        """Up to a piece of a replica's output from there on."""
        ...

    async def write(self, intent: str, name: str, text: str) -> None:
        """Put a file beside what an intent's replicas left, in one step, for their user alone. Raises OSError."""
        ...

    async def remove(self, intent: str) -> None:
        """Remove all of an intent's files."""
        ...


class Mounted:
    """The directory, mounted on this machine; in threads, for a disk of the network may hang."""

    def __init__(self, root: str, timeout_s: float) -> None:
        self._root = Path(root)
        self._timeout_s = timeout_s

    async def ends(self, intent: str) -> Mapping[int, End]:
        """See Files."""
        return await self._call(self._ends, intent)

    async def told(self, intent: str, indices: Sequence[int]) -> Mapping[int, str]:
        """See Files."""
        return await self._call(self._told, intent, indices)

    async def size(self, intent: str, index: int) -> int | None:
        """See Files."""
        return await self._call(self._size, intent, index)

    async def read(self, intent: str, index: int, offset: int) -> bytes:
        """See Files."""
        return await self._call(self._read, intent, index, offset)

    async def write(self, intent: str, name: str, text: str) -> None:
        """See Files. Only as the user that jobs run as, or as root."""
        await self._call(self._write, intent, name, text)

    async def remove(self, intent: str) -> None:
        """See Files. What cannot be removed (another user's) stays."""
        await self._call(shutil.rmtree, self._root / intent, True)

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.to_thread(function, *args)
        except TimeoutError as error:
            raise Unreachable(f"the directory {self._root} did not answer within {self._timeout_s:g} s") from error

    def _ends(self, intent: str) -> Mapping[int, End]:
        found = {}
        with contextlib.suppress(FileNotFoundError), _folder(self._root, intent, "ends") as folder:
            for name in os.listdir(folder):
                if name.isdigit() and (end := _end(_read(folder, name, 0).decode(errors="replace"))):
                    found[int(name)] = end
        return found

    def _told(self, intent: str, indices: Sequence[int]) -> Mapping[int, str]:
        found = {}
        with contextlib.suppress(FileNotFoundError), _folder(self._root, intent, TOLD) as folder:
            for index in indices:
                with contextlib.suppress(OSError):
                    found[index] = _read(folder, str(index), 0).decode(errors="replace")
        return found

    def _size(self, intent: str, index: int) -> int | None:
        with contextlib.suppress(FileNotFoundError), _folder(self._root, intent, "logs") as folder:
            return os.stat(str(index), dir_fd=folder, follow_symlinks=False).st_size
        return None

    def _write(self, intent: str, name: str, text: str) -> None:
        with _folder(self._root, intent) as folder:
            draft, owner = f"{name}.new", os.fstat(folder)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=folder)
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                os.fchown(fd, owner.st_uid, owner.st_gid)
            os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)

    def _read(self, intent: str, index: int, offset: int) -> bytes:
        with contextlib.suppress(FileNotFoundError), _folder(self._root, intent, "logs") as folder:
            return _read(folder, str(index), offset)
        return b""


class OverCommands:
    """The directory, seen by the commands of a login node."""

    def __init__(self, commands: Commands, root: str) -> None:
        self._commands = commands
        self._root = root

    async def ends(self, intent: str) -> Mapping[int, End]:
        """See Files."""
        text = (await self._run("grep", "-r", ".", f"{self._root}/{intent}/ends")).decode(errors="replace")
        found = {}
        for line in text.splitlines():
            name, _, words = line.rpartition("/")[2].partition(":")
            if name.isdigit() and (end := _end(words)):
                found[int(name)] = end
        return found

    async def told(self, intent: str, indices: Sequence[int]) -> Mapping[int, str]:
        """See Files."""
        found: dict[int, str] = {}
        for at in range(0, len(indices), AT_ONCE):
            paths = [f"{self._root}/{intent}/{TOLD}/{index}" for index in indices[at : at + AT_ONCE]]
            text = (await self._run("grep", "-s", "-m", "1", "-H", ".", *paths)).decode(errors="replace")
            lines = (line.rpartition(f"/{TOLD}/")[2].partition(":") for line in text.splitlines())
            found |= {int(name): words for name, _, words in lines if name.isdigit()}
        return found

    async def size(self, intent: str, index: int) -> int | None:
        """See Files."""
        text = await self._run("stat", "--format=%s", self._log(intent, index))
        return int(text) if text.strip().isdigit() else None

    async def read(self, intent: str, index: int, offset: int) -> bytes:
        """See Files."""
        options = ("iflag=skip_bytes,count_bytes", f"skip={offset}", f"count={PIECE}", "bs=65536", "status=none")
        return await self._run("dd", f"if={self._log(intent, index)}", *options)

    async def write(self, intent: str, name: str, text: str) -> None:
        """See Files."""
        path = f"{self._root}/{intent}/{name}"
        try:
            await self._commands.run("install", "-m", "600", "/dev/null", f"{path}.new")
            await self._commands.run("dd", f"of={path}.new", "status=none", given=text)
            await self._commands.run("mv", f"{path}.new", path)
        except Failed as error:
            raise OSError(str(error)) from error

    async def remove(self, intent: str) -> None:
        """See Files."""
        await self._run("rm", "-r", "-f", f"{self._root}/{intent}")

    def _log(self, intent: str, index: int) -> str:
        return f"{self._root}/{intent}/logs/{index}"

    async def _run(self, *words: str) -> bytes:
        try:
            return await self._commands.run(*words)
        except Failed:  # nothing there to be read
            return b""


@contextlib.contextmanager
def _folder(root: Path, *names: str) -> Iterator[int]:
    """A folder below the root, entered step by step without following links."""
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def _read(folder: int, name: str, offset: int) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        return os.pread(fd, PIECE, offset) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)


def _end(words: str) -> End | None:
    numbers = words.split()
    return End(*map(int, numbers)) if len(numbers) == 3 and all(map(str.isdigit, numbers)) else None
