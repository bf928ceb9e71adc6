"""Opens logs, packed or not, and finds them: errors name the file and the line."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from zstandard import ZstdDecompressor, ZstdError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
READ_BYTES = 1 << 16
UTF16 = (b"\xff\xfe", b"\xfe\xff")
"""How text of two bytes to a letter begins, as Windows writes it."""


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


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, from 1 on, as they are needed.

    Raises TraceError, which names the last line that could be read where a packed log is cut off or damaged.
    """
    number = 0
    with _opened(path) as file:
        try:
            for number, line in enumerate(file, start=1):
                yield number, line
        except (EOFError, OSError, zlib.error, ZstdError) as error:
            wrong = "ends in the middle" if isinstance(error, EOFError) else "cannot be unpacked"
            after = "nothing of it is whole" if number == 0 else "no line after this one is whole"
            raise TraceError(str(path), number, f"{wrong}, {after}: {error}", "fetch it again") from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """The log as text, unpacked where it is packed (told by its first bytes, not its name)."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise TraceError(str(path), 0, f"cannot be read: {error.strerror or error}", "check its name") from None
    with file:
        begin = file.peek(4)[:4]
        if begin[:2] in UTF16:
            raise TraceError(str(path), 0, "is text in UTF-16", "write it in UTF-8")
        yield io.TextIOWrapper(_unpacked(file, begin), encoding="utf-8-sig", errors="replace")


def _unpacked(file: io.BufferedReader, begin: bytes) -> io.BufferedReader | gzip.GzipFile:
    if begin == ZSTD:
        return io.BufferedReader(_Unzstd(file), READ_BYTES)
    return gzip.GzipFile(fileobj=file) if begin[:2] == GZIP else file


class _Unzstd(io.RawIOBase):
    """Frames of Zstandard unpacked, one after the other. Raises EOFError where the last is cut off.

    The library's own stream says nothing of that.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._frame, self._begun = file, ZstdDecompressor().decompressobj(), False
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        into = memoryview(buffer).cast("B")
        while not self._ready:
            packed = (self._frame.unused_data if self._frame.eof else b"") or self._file.read(READ_BYTES)
            if not packed:
                if self._begun and not self._frame.eof:
                    raise EOFError("the last frame of Zstandard is cut off")
                return 0
            if self._frame.eof:
                self._frame = ZstdDecompressor().decompressobj()
            self._begun = True
            self._ready = self._frame.decompress(packed)
        count = min(len(into), len(self._ready))
        into[:count], self._ready = self._ready[:count], self._ready[count:]
        return count
