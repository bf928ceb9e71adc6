"""Opens logs, packed or not, and finds them: errors name the file and the line."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class TraceError(Exception):
    """A log cannot be read. ``line`` counts from 1; 0: the file as a whole."""

    def __init__(self, file: str, line: int, message: str, cure: str) -> None:
        place = f"{file}:{line}" if line else file
        super().__init__(f"{place}: {message}; {cure}")
        self.file, self.line = file, line


def find(file: str, beside: Path, traces: Path) -> Path:
    """The log of this name: beside the document that names it, else in the folder of logs."""
    for folder in (beside, traces):
        if (folder / file).is_file():
            return folder / file
    raise TraceError(
        file, 0, f"is neither in {beside} nor in {traces}", "put it there, or name its folder in FEDERATOR_TRACES"
    )


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """The log as text, unpacked where it is gzip (told by its first bytes, not its name)."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise TraceError(str(path), 0, f"cannot be read: {error.strerror or error}", "check its name") from None
    with file:
        begin = file.peek(4)[:4]
        if begin == ZSTD:
            raise TraceError(str(path), 0, "is packed with zstd, which is not unpacked here", "unpack it with unzstd")
        raw = gzip.GzipFile(fileobj=file) if begin[:2] == GZIP else file
        yield io.TextIOWrapper(raw, encoding="utf-8", errors="replace")
