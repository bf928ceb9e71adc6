"""What an intake asks of those around it: the federator, the schedd, and the files of those whose jobs it takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from federator.intake.ads import Job
from federator.intake.mirror import View


class QueueAway(Exception):
    """The schedd does not answer, or refuses; the words say which."""


class Rejected(Exception):
    """The server will not have what it was given; the words say why."""


class OutputGone(Exception):
    """What a workload wrote is kept nowhere any more."""


class OutputLater(Exception):
    """What a workload wrote cannot be had now: its cluster does not answer."""


class NotWritten(Exception):
    """The output could not be written; the words say where and why."""


class Server(Protocol):
    """A federator. Each call raises ``Rejected`` for a no, and ``ConnectionError`` where nobody answers."""

    async def submit(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Hand in workloads, all or none."""

    async def look(self, name: str) -> View | None:
        """A workload; None: there is none."""

    async def exit_code(self, name: str) -> int | None:
        """With which exit status the last replica of a workload failed, where that is known."""

    def output(self, name: str) -> AsyncIterator[bytes]:
        """What a workload that has ended wrote. Raises OutputGone before the first piece, and OutputLater anywhere."""

    async def cancel(self, name: str) -> None:
        """Cancel a workload."""

    async def delete(self, name: str) -> None:
        """Cancel a workload and forget it."""

    async def changed(self, since: str) -> tuple[set[str], str]:
        """The workloads of which there is news since then ("": from now on), and what to ask for next."""


class Schedd(Protocol):
    """A schedd."""

    async def call(self, name: str, **arguments: object) -> Any:
        """One of the calls ``wanted``, ``edit`` and ``act``. Raises QueueAway."""


class Files(Protocol):
    """Where the output of jobs belongs."""

    async def check(self, owner: str, folder: Path) -> None:
        """Whether the owner of jobs may make files in a folder. Raises Unfit."""

    async def write(self, job: Job, path: Path, pieces: AsyncIterator[bytes]) -> None:
        """Write a file anew. Raises NotWritten, and what the pieces raise: it is then not whole."""

    async def together(self, owner: str, contents: Mapping[Path, bytes]) -> set[Path]:
        """Write small files of one owner anew; those that were written. Of the others nothing is known."""
